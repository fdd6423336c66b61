import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemproof.figures.medians import median_of_medians, track_medians
from stemproof.figures.si_sdr import output_gain, si_sdr, snr


def independent_si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Through the angle between the two signals: cot^2 of it, in dB."""
    cosine = reference @ estimate / (np.linalg.norm(reference) * np.linalg.norm(estimate))
    return 10 * math.log10(cosine**2 / (1 - cosine**2))


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-2, 1e2), level=st.floats(0.05, 3))
def test_si_sdr_is_scale_invariant(seed: int, scale: float, level: float) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal(300)
    estimate = reference + level * rng.standard_normal(300)
    expected = independent_si_sdr(reference, estimate)
    ours = si_sdr(torch.from_numpy(reference), torch.from_numpy(scale * estimate)).item()
    assert ours == pytest.approx(expected, abs=1e-6)
    swapped = si_sdr(torch.from_numpy(scale * reference), torch.from_numpy(estimate)).item()
    assert swapped == pytest.approx(expected, abs=1e-6)


def test_silence_is_finite_and_has_a_gradient() -> None:
    estimate = torch.randn(2, 50, requires_grad=True)
    loss = si_sdr(torch.zeros(2, 50), estimate)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(estimate.grad).all()  # type: ignore[arg-type]
    silent = torch.zeros(1, 50, requires_grad=True)
    si_sdr(torch.zeros(1, 50), silent).sum().backward()
    assert torch.isfinite(silent.grad).all()  # type: ignore[arg-type]


def test_snr_and_gain() -> None:
    signal = torch.ones(1, 100)
    assert snr(signal, 0.1 * signal).item() == pytest.approx(20, abs=1e-4)
    assert output_gain(signal, 3 * signal, 0.5 * signal).item() == pytest.approx(4)


def test_medians_leave_nan_out() -> None:
    names = ["a", "a", "b", "a", "c"]
    assert track_medians(names, [1, 3, 10, 2, math.nan]) == {"a": 2, "b": 10}
    assert median_of_medians([("a", [1, 2]), ("b", [10]), ("a", [3])]) == 6
