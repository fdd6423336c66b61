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


def one_constant(reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
    """The same ratio with one tiny constant above and below, under which silence is 0 dB."""
    tiny = 1e-20
    energy = reference.square().sum(-1, keepdim=True)
    target = (reference * estimate).sum(-1, keepdim=True) / (energy + tiny) * reference
    distortion = (target - estimate).square().sum(-1)
    return 10 * torch.log10((target.square().sum(-1) + tiny) / (distortion + tiny))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_constants_move_no_figure_by_a_bit(dtype: torch.dtype) -> None:
    """In double precision from an energy of some 1e-4 on; figures are computed in single."""
    double = dtype == torch.float64
    draw = torch.Generator().manual_seed(0)

    def noise(samples: int) -> torch.Tensor:
        return torch.randn(50, samples, generator=draw, dtype=dtype)

    for samples in (1000, 44_100) if double else (20, 1000, 44_100):
        for level in (0.1, 1.0, 30.0) if double else (1e-3, 0.1, 1.0, 30.0):
            reference = level * noise(samples)
            for error in (1e-6, 1e-2, 1.0, 100.0):
                estimate = reference + error * level * noise(samples)
                expected = one_constant(reference, estimate)
                assert torch.equal(si_sdr(reference, estimate), expected)
    # Of silent vocals, and of the vocals themselves.
    for estimate in (reference, 0 * reference):
        silence = torch.zeros_like(reference)
        assert torch.equal(si_sdr(silence, estimate), one_constant(silence, estimate))
    assert torch.equal(si_sdr(reference, reference), one_constant(reference, reference))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silence_is_worse_than_what_sounds_and_the_way_there_has_a_gradient(
    dtype: torch.dtype,
) -> None:
    draw = torch.Generator().manual_seed(1)
    reference = torch.randn(5, 1000, generator=draw, dtype=dtype)
    error = torch.tensor([[1e-3], [0.1], [1.0], [10.0], [1000.0]], dtype=dtype)
    full = reference + error * torch.randn(5, 1000, generator=draw, dtype=dtype)
    falling = [si_sdr(reference, full)]
    for level in (1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-14, 1e-16, 1e-20, 1e-30, 0.0):
        estimate = (level * full).requires_grad_()
        found = si_sdr(reference, estimate)
        (gradient,) = torch.autograd.grad(found.sum(), estimate)
        assert torch.isfinite(gradient).all()
        falling.append(found.detach())
    way = torch.stack(falling)
    assert (way.diff(dim=0) <= 1e-3).all()
    assert torch.allclose(way[-1], torch.full_like(way[-1], -100.0))
    assert (way[0] > way[-1] + 20).all()  # also what is 60 dB below its distortion


def test_snr_and_gain() -> None:
    signal = torch.ones(1, 100)
    assert snr(signal, 0.1 * signal).item() == pytest.approx(20, abs=1e-4)
    assert output_gain(signal, 3 * signal, 0.5 * signal).item() == pytest.approx(4)


def test_medians_leave_nan_out() -> None:
    names = ["a", "a", "b", "a", "c"]
    assert track_medians(names, [1, 3, 10, 2, math.nan]) == {"a": 2, "b": 10}
    assert median_of_medians([("a", [1, 2]), ("b", [10]), ("a", [3])]) == 6
    assert math.isnan(median_of_medians([("a", [math.nan])]))


def test_medians_can_order_what_is_infinite() -> None:
    names, values = ["a", "a", "a", "b", "c"], [-math.inf, 2, -math.inf, 3, math.nan]
    assert track_medians(names, values) == {"a": 2, "b": 3}
    assert track_medians(names, values, ordered=True) == {"a": -math.inf, "b": 3}
    parts = [("a", [-math.inf]), ("b", [2]), ("c", [5])]
    assert median_of_medians(parts, ordered=True) == 2
    assert median_of_medians(parts) == 3.5
