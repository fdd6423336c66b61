"""What an audit compares attacks by: the SI-SDR of what a system puts out under them.

An estimate without energy has no SI-SDR (:mod:`stemproof.figures.collapse`). As a figure it is
NaN, and left out. As the outcome of an attack it is minus infinity, below every number: an attack
that silences a system is the strongest there is. Where a median is minus infinity, most of what
was put out has collapsed, and there is no figure either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemproof.attacks.case import Case
from stemproof.auditing.material import Values
from stemproof.figures.collapse import collapsed
from stemproof.figures.si_sdr import si_sdr


def outcome(case: Case, heard: Tensor) -> Values:
    """SI-SDR of the separated vocals, one an item, when ``heard`` (batch x samples) is played.

    Minus infinity where the estimate has collapsed.
    """
    with torch.no_grad():
        estimate = case.separate(heard)
        found = si_sdr(case.vocals, estimate)
        found = found.masked_fill(collapsed(case.vocals, estimate), -torch.inf)
        return found.double().cpu().numpy()


def figure(outcomes: Values) -> Values:
    """Outcomes as figures: NaN where the estimate has collapsed."""
    return np.where(np.isneginf(outcomes), np.nan, outcomes)


def fall(before: float, after: float) -> float:
    """By how many dB ``after`` lies below ``before``; nothing lies below a collapse."""
    return 0.0 if before == after else before - after


def lost(before: Values, after: Values) -> Values:
    """By how many dB each outcome lies below; of two collapses nothing, NaN behind a silence."""
    both = np.isneginf(before) & np.isneginf(after)
    silent = np.isneginf(before) & ~both
    with np.errstate(invalid="ignore"):
        return np.where(both, 0.0, np.where(silent, np.nan, before - after))


def without_absent(figures: Any) -> Any:
    """Figures without those that are not finite: what is written is counted or left out."""
    if not isinstance(figures, Mapping):
        return figures
    return {
        key: without_absent(value)
        for key, value in figures.items()
        if not (isinstance(value, float) and not math.isfinite(value))
    }
