"""The informed separators: the STFT oracle, and the mask that is made again under attack."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import scipy.signal
import torch
from torch import Tensor

from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.norms import make_budget
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.steps import Decaying
from stemproof.figures.si_sdr import si_sdr
from stemproof.params import Params
from stemproof.separators.protocol import (
    InformedRSVM,
    InformedSTFT,
    MaskKind,
    ReconstructingSeparator,
    informed,
    straight_through_mask,
)
from stemproof.separators.rsvm.model import binary_mask, build_model
from stemproof.separators.stft import STFT

MakeParams = Callable[..., Params]


def signals(batch: int = 2, samples: int = 1000) -> tuple[Tensor, Tensor]:
    time = torch.arange(samples) / 4000
    draw = torch.Generator().manual_seed(0)
    vocals = torch.stack([0.3 * torch.sin(6.28 * hz * time) for hz in (220, 330)])[:batch]
    return vocals + 0.1 * torch.randn(batch, samples, generator=draw), vocals


def system(params: Params, kind: str, mask: MaskKind) -> ReconstructingSeparator:
    if kind == "stft":
        return informed(STFT(params.model), mask)
    return informed(build_model(params, params.variant("improved"), 0), mask)


@pytest.mark.parametrize("hop", [32, 100, 128])
def test_the_stft_is_scipys_and_inverts(make_params: MakeParams, hop: int) -> None:
    params = make_params(model={"kernel": 128, "hop": hop})
    stft = STFT(params.model)
    waveform, _ = signals()
    spectrum = stft.analyze(waveform)
    theirs = scipy.signal.ShortTimeFFT(
        torch.hamming_window(128, dtype=torch.float64).numpy(), hop, fs=1
    )
    frames = min(spectrum.shape[-1], theirs.p_max(1000))
    reference = theirs.stft(waveform[0].double().numpy(), p0=0, p1=frames)
    # SciPy counts time from the window's middle; the phase differs, the magnitude does not.
    ours = spectrum[0, :, :frames].abs().double()
    assert torch.allclose(ours, torch.from_numpy(abs(reference)), atol=1e-4)
    assert torch.allclose(stft.synthesize(spectrum, 1000), waveform, atol=1e-5)
    assert InformedSTFT(stft).reconstruct(waveform).shape == waveform.shape


def test_the_oracle_mask_separates(make_params: MakeParams) -> None:
    mixture, vocals = signals()
    oracle = InformedSTFT(STFT(make_params().model))
    estimate = oracle.separate(mixture, oracle.context(mixture, vocals))
    assert (si_sdr(vocals, estimate) > si_sdr(vocals, mixture) + 5).all()


@pytest.mark.parametrize("kind", ["rsvm", "stft"])
def test_both_masks_agree_on_the_clean_mixture(make_params: MakeParams, kind: str) -> None:
    params = make_params()
    mixture, vocals = signals()
    estimates = []
    for mask in ("fixed", "recomputed"):
        separator = system(params, kind, mask)  # type: ignore[arg-type]
        estimates.append(separator.separate(mixture, separator.context(mixture, vocals)))
    assert torch.equal(estimates[0], estimates[1])


def test_straight_through_is_binary_forward_and_soft_backward() -> None:
    vocals = torch.tensor([1.0, 1.0, 0.0, 0.0, 2.0])
    rest = torch.tensor([1.0, 3.0, 1.0, 0.0, 0.0], requires_grad=True)
    mask = straight_through_mask(vocals, rest)
    assert torch.equal(mask.detach(), binary_mask(vocals, rest.detach()))
    mask.sum().backward()
    assert rest.grad is not None
    # d/da of v / (v + a / 2) is -v / 2 / (v + a / 2)^2.
    expected = torch.tensor([-0.5 / 1.5**2, -0.5 / 2.5**2, 0.0, 0.0, -1 / 4])
    assert torch.allclose(rest.grad, expected)


@pytest.mark.parametrize("kind", ["rsvm", "stft"])
def test_the_straight_through_gradient_finds_what_the_plain_one_does_not(
    make_params: MakeParams, kind: str
) -> None:
    """Attacking the recomputed mask itself costs more than attacking its fixed twin."""
    params = make_params()
    mixture, vocals = signals()
    separators = {mask: system(params, kind, mask) for mask in ("fixed", "recomputed")}  # type: ignore[arg-type]
    heard = separators["recomputed"]
    budget = make_budget("linf", mixture, 0.05, 0)
    loss = {}
    for mask, separator in separators.items():
        attack = GradientAttack(negative_si_sdr, steps=30, step_size=0.5, rule=Decaying)
        found, _ = attack(
            separator,
            mixture,
            vocals,
            separator.context(mixture, vocals),
            budget,
            torch.Generator().manual_seed(0),
        )
        estimate = heard.separate(found, heard.context(mixture, vocals))
        loss[mask] = -si_sdr(vocals, estimate).mean()
    assert loss["recomputed"] > loss["fixed"] - 0.05


def test_a_mask_is_needed(make_params: MakeParams) -> None:
    params = make_params()
    mixture, _ = signals()
    for separator in (
        InformedRSVM(build_model(params, params.variant("baseline"), 0)),
        InformedSTFT(STFT(params.model)),
    ):
        with pytest.raises(ValueError, match="needs its mask"):
            separator.separate(mixture, None)
