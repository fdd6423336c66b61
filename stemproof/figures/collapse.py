"""Collapse: an estimate without energy, which has no SI-SDR.

SI-SDR asks how much of an estimate is the vocals, whatever its level. Of silence it asks nothing:
any number would be made up, and 0 dB would look better than many a separated voice. Such
estimates are counted and left out. They are no good news: who puts out nothing is broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stemproof.figures.si_sdr import si_sdr

if TYPE_CHECKING:
    from stemproof.figures.played import Played

# Of the true vocals' energy, -120 dB: far below what 16 bits can hold.
WITHOUT_ENERGY = 1e-12

CLEAN, ATTACKED, NOISY = COUNTS = ("n_collapsed_clean", "n_collapsed", "n_collapsed_noise")


def collapsed(reference: Tensor, estimate: Tensor) -> Tensor:
    """Where an estimate has at most ``WITHOUT_ENERGY`` of the energy of the reference.

    Where the reference is silent there is nothing to put out: that is no collapse.

    Args:
        reference: ... x samples.
        estimate: ... x samples.

    Returns:
        One truth per leading index.
    """
    energy = _energy(reference)
    return (_energy(estimate) <= WITHOUT_ENERGY * energy) & (energy > 0)


def sdr_of_sound(reference: Tensor, estimate: Tensor) -> Tensor:
    """SI-SDR in dB, and NaN where the estimate has collapsed; shapes as :func:`collapsed`."""
    found = si_sdr(reference, estimate)
    return found.masked_fill(collapsed(reference, estimate), torch.nan)


def collapses(played: Played) -> dict[str, Tensor]:
    """What collapsed: on the clean mixture, under attack, in any draw of noise.

    Returns:
        By the key of its count, one truth a segment.
    """
    noisy = [collapsed(played.vocals, estimate) for estimate in played.noisy]
    return {
        CLEAN: collapsed(played.vocals, played.clean),
        ATTACKED: collapsed(played.vocals, played.attacked),
        NOISY: torch.stack(noisy).any(0),
    }


def not_numbers(played: Played, figures: dict[str, Tensor]) -> Tensor:
    """Segments on which a signal, or a figure that no collapse explains, is not a number.

    Args:
        played: what was played, and what came back.
        figures: of it, one value a segment each.

    Returns:
        One truth a segment.
    """
    estimates = [played.mixture, played.clean, played.attacked, *played.noisy]
    estimates += [x for x in (played.reconstruction, played.oracle) if x is not None]
    # Of an energy that overflows there is no figure, either.
    signals = torch.stack([_energy(x) for x in (played.vocals, played.adversarial, *estimates)])
    values = torch.stack(list(figures.values()))
    silent = torch.stack([collapsed(played.vocals, x) for x in estimates]).any(0)
    broken = ~torch.isfinite(signals).all(0) | torch.isinf(values).any(0)
    return broken | (torch.isnan(values).any(0) & ~silent)


def _energy(signal: Tensor) -> Tensor:
    return signal.square().sum(-1)
