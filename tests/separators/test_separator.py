"""The informed separators: the STFT oracle, and the mask that is made again under attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import scipy.signal
import torch
from torch import Tensor

from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.steps import Decaying
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.masks import binary_mask, straight_through_mask
from stemproof.separators.protocol import (
    Informed,
    MaskKind,
    Random,
    Reconstructing,
    Separator,
    Side,
    redrawn,
    side_of,
)
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.params import AttentionSettings, RSVMSettings, Sizes
from stemproof.separators.rsvm.separator import InformedRSVM, as_separator
from stemproof.separators.stft import STFT, InformedSTFT, STFTSettings
from stemproof.separators.wrappers import FixedDraws

MASKS: tuple[MaskKind, ...] = ("fixed", "recomputed")
IMPROVED = RSVMSettings(attention=AttentionSettings(heads=2, width=8), dropout=0.2)
RANDOM = RSVMSettings(dropout=0.4, dropout_at_test=True)


def signals(batch: int = 2, samples: int = 1000) -> tuple[Tensor, Tensor]:
    """Mixtures and vocals, each batch x 1 x samples."""
    time = torch.arange(samples) / 4000
    draw = torch.Generator().manual_seed(0)
    vocals = torch.stack([0.3 * torch.sin(6.28 * hz * time) for hz in (220, 330)])[:batch, None]
    return vocals + 0.1 * torch.randn(batch, 1, samples, generator=draw), vocals


def stft(window: int = 128, hop: int = 32) -> STFT:
    return STFT(STFTSettings(window=window, hop=hop), 4000)


def rsvm(variant: RSVMSettings = IMPROVED, mask: MaskKind = "fixed") -> InformedRSVM:
    sizes = Sizes(channels=24, kernel=128, hop=32)
    return as_separator(build_model(sizes, variant, 4000, 1000, 0), mask)


def system(kind: str, mask: MaskKind) -> Any:
    return InformedSTFT(stft(), mask) if kind == "stft" else rsvm(mask=mask)


@pytest.mark.parametrize("hop", [32, 100, 128])
def test_the_stft_is_scipys_and_inverts(hop: int) -> None:
    transform = stft(hop=hop)
    waveform = signals()[0][:, 0]
    spectrum = transform.analyze(waveform)
    theirs = scipy.signal.ShortTimeFFT(
        torch.hamming_window(128, dtype=torch.float64).numpy(), hop, fs=1
    )
    frames = min(spectrum.shape[-1], theirs.p_max(1000))
    reference = theirs.stft(waveform[0].double().numpy(), p0=0, p1=frames)
    # SciPy counts time from the window's middle; the phase differs, the magnitude does not.
    ours = spectrum[0, :, :frames].abs().double()
    assert torch.allclose(ours, torch.from_numpy(abs(reference)), atol=1e-4)
    assert torch.allclose(transform.synthesize(spectrum, 1000), waveform, atol=1e-5)
    back = InformedSTFT(transform).reconstruct(waveform[:, None])
    assert torch.allclose(back, waveform[:, None], atol=1e-5)


def test_the_oracle_mask_separates() -> None:
    mixture, vocals = signals()
    oracle = InformedSTFT(stft())
    estimate = oracle.separate(mixture, oracle.side(mixture, vocals))
    gained = si_sdr(vocals.flatten(1), estimate.flatten(1)) - si_sdr(
        vocals.flatten(1), mixture.flatten(1)
    )
    assert (gained > 5).all()


@pytest.mark.parametrize("kind", ["rsvm", "stft"])
@pytest.mark.parametrize("mask", MASKS)
def test_what_they_can_do(kind: str, mask: MaskKind) -> None:
    separator = system(kind, mask)
    assert isinstance(separator, Separator)
    assert isinstance(separator, Informed)
    assert isinstance(separator, Reconstructing)
    assert not isinstance(separator, Random)
    assert (separator.sample_rate, separator.channels) == (4000, 1)
    assert (separator.mask, separator.twin.mask) in (MASKS, MASKS[::-1])
    assert redrawn(separator, [1, 2]) is separator
    mixture, vocals = signals()
    estimate = separator.separate(mixture, side_of(separator, mixture, vocals))
    assert estimate.shape == mixture.shape
    assert separator.reconstruct(vocals).shape == vocals.shape


@pytest.mark.parametrize("kind", ["rsvm", "stft"])
def test_both_masks_agree_on_the_clean_mixture(kind: str) -> None:
    mixture, vocals = signals()
    estimates = []
    for separator in (system(kind, "fixed"), system(kind, "fixed").twin):
        estimates.append(separator.separate(mixture, separator.side(mixture, vocals)))
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
def test_the_straight_through_gradient_finds_what_the_plain_one_does_not(kind: str) -> None:
    """Attacking the recomputed mask itself costs more than attacking its fixed twin."""
    mixture, vocals = signals()
    heard = system(kind, "recomputed")
    loss = {}
    for mask in MASKS:
        attack = GradientAttack(negative_si_sdr, steps=30, step_size=0.5, rule=Decaying)
        case = Case.of(system(kind, mask), mixture, vocals, Bound("linf", eps=0.05), (0, 1))
        found = case.shaped(attack(case).adversarial)
        estimate = heard.separate(found, heard.side(mixture, vocals))
        loss[mask] = -si_sdr(vocals.flatten(1), estimate.flatten(1)).mean()
    assert loss["recomputed"] > loss["fixed"] - 0.05


def test_a_mask_is_needed() -> None:
    mixture, _ = signals()
    for separator in (rsvm(), InformedSTFT(stft())):
        with pytest.raises(ValueError, match="needs its mask"):
            separator.separate(mixture, None)


def test_fixed_draws_belong_to_the_item() -> None:
    separator = rsvm(RANDOM)
    assert isinstance(separator, Random)
    mixture, vocals = signals()
    side = separator.side(mixture, vocals)
    known = torch.get_rng_state()
    both = redrawn(separator, [5, 6]).separate(mixture, side)
    assert torch.equal(torch.get_rng_state(), known)  # nobody else's numbers change
    assert torch.equal(redrawn(separator, [5, 6]).separate(mixture, side), both)
    alone = redrawn(separator, [6]).separate(mixture[1:], side[1:])
    assert torch.equal(alone, both[1:])
    swapped = redrawn(separator, [6, 5]).separate(mixture, side)
    assert not torch.equal(swapped[0], both[0])
    assert not torch.equal(separator.separate(mixture, side), both)
    again = redrawn(redrawn(separator, [1, 2]), [5, 6])
    assert isinstance(again, FixedDraws) and again.inside is separator
    assert torch.equal(again.separate(mixture, side), both)


def test_fixed_draws_keep_channels_rate_and_gradient() -> None:
    class Noisy:
        sample_rate, channels = 8000, 2

        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return mixture * torch.rand_like(mixture)

        def redrawn(self, seeds: Sequence[int]) -> Separator:
            return FixedDraws(self, tuple(seeds))

    fixed = redrawn(Noisy(), [3, 4])
    assert (fixed.sample_rate, fixed.channels) == (8000, 2)
    mixture = torch.ones(2, 2, 50, requires_grad=True)
    fixed.separate(mixture).sum().backward()
    assert mixture.grad is not None
    assert torch.equal(mixture.grad, fixed.separate(torch.ones(2, 2, 50)))
    # One seed an item: what has none is not left out silently.
    with pytest.raises(ValueError):
        fixed.separate(torch.ones(3, 2, 50))
