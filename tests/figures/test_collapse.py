"""Collapse: what it is, which figures it takes away, and that it excuses nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stemproof.figures.collapse import collapsed, collapses, not_numbers, sdr_of_sound
from stemproof.figures.si_sdr import si_sdr
from stemproof.figures.table import Played, measured


def noise(seed: int, segments: int = 3) -> Tensor:
    return torch.randn(segments, 300, generator=torch.Generator().manual_seed(seed))


def played() -> Played:
    vocals = noise(0)
    return Played(
        mixture=vocals + noise(1),
        vocals=vocals,
        adversarial=vocals + noise(1) + 0.01 * noise(2),
        clean=vocals + 0.3 * noise(3),
        attacked=vocals + 0.5 * noise(4),
        noisy=[vocals + 0.3 * noise(5), vocals + 0.3 * noise(6)],
        reconstruction=vocals + 0.1 * noise(7),
        oracle=vocals + 0.2 * noise(8),
    )


def muted(signal: Tensor, level: float = 0.0) -> Tensor:
    """The second of three segments without its sound."""
    return signal * torch.tensor([[1.0], [level], [1.0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_threshold_is_120_db_below_the_vocals(dtype: torch.dtype) -> None:
    vocals = noise(0).to(dtype)
    for level in (1e-3, 1.0, 100.0):
        reference = level * vocals
        for decibels, expected in ((-119.9, False), (-120.1, True), (-math.inf, True)):
            estimate = reference.flip(-1) * 10 ** (decibels / 20)
            assert (collapsed(reference, estimate) == expected).all()
            found = sdr_of_sound(reference, estimate)
            if expected:
                assert torch.isnan(found).all()
            else:
                assert torch.equal(found, si_sdr(reference, estimate))


def test_silence_of_silent_vocals_is_no_collapse() -> None:
    silence = torch.zeros(2, 300)
    assert not collapsed(silence, silence).any()
    assert torch.isfinite(sdr_of_sound(silence, silence)).all()
    # What is not a number has not collapsed: it is broken.
    assert not collapsed(noise(0), noise(0) * torch.nan).any()


GONE = {
    "clean": {"bs", "drop", "noise_drop", "noise_worst_drop"},
    "attacked": {"at_bs", "drop"},
    "noisy": {"noise_bs", "noise_drop", "noise_worst_drop"},
    "reconstruction": {"si_sdr"},
    "oracle": {"stft_bs"},
    "mixture": {"mixture_si_sdr"},
}


@pytest.mark.parametrize("what", GONE)
def test_a_collapse_takes_the_figures_that_need_what_collapsed(what: str) -> None:
    whole = played()
    silent = muted(getattr(whole, what)) if what != "noisy" else None
    noisy = [whole.noisy[0], muted(whole.noisy[1], 1e-7)]
    there = replace(whole, **({"noisy": noisy} if silent is None else {what: silent}))
    found, expected = measured(there), measured(whole)
    for key, values in found.items():
        # Neither is there anything gone on the other segments, nor anything moved.
        assert torch.isnan(values).tolist() == [False, key in GONE[what], False], key
        if what != "mixture":  # whose level is that of the perturbation
            assert torch.equal(values[[0, 2]], expected[key][[0, 2]])
    counts = {key: found.tolist() for key, found in collapses(there).items()}
    counted = {
        "clean": "n_collapsed_clean",
        "attacked": "n_collapsed",
        "noisy": "n_collapsed_noise",
    }
    for key in ("n_collapsed_clean", "n_collapsed", "n_collapsed_noise"):
        assert counts[key] == [False, counted.get(what) == key, False]
    assert not not_numbers(there, found).any()


@pytest.mark.parametrize(
    "what", ["mixture", "vocals", "adversarial", "clean", "attacked", "reconstruction", "oracle"]
)
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])  # whose square is no float32
def test_a_collapse_excuses_no_output_that_is_not_a_number(what: str, value: float) -> None:
    whole = replace(played(), noisy=[muted(noise(1)), muted(noise(2))])
    broken = getattr(whole, what).clone()
    broken[1, 7] = value
    there = replace(whole, **{what: broken})
    assert not_numbers(there, measured(there)).tolist() == [False, True, False]
    assert not not_numbers(whole, measured(whole)).any()


def test_nor_a_figure_that_is_none() -> None:
    whole = played()
    figures = {**measured(whole), "own": torch.tensor([0.0, torch.nan, torch.inf])}
    assert not_numbers(whole, figures).tolist() == [False, True, True]
    silent = replace(whole, attacked=muted(whole.attacked))
    assert not_numbers(silent, figures).tolist() == [False, False, True]
