"""The segments that are audited."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stemproof.attacks.params import AttackParams
from stemproof.auditing.params import AuditParams
from stemproof.core.errors import InputError
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.figures.medians import median_of_medians

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """The segments that are audited.

    Attributes:
        tracks: name of the track of each segment.
        mixture: segments x channels x samples.
        vocals: segments x channels x samples.
        seeds: of each segment's random numbers.
    """

    tracks: list[str]
    mixture: Tensor
    vocals: Tensor
    seeds: tuple[int, ...]

    def median(self, values: Values) -> float:
        """Median over tracks of the medians over segments.

        NaN is left out (and is what comes back where nothing else is there); minus infinity, the
        outcome of an attack that silenced the system, is below every number.
        """
        parts = ((t, [v]) for t, v in zip(self.tracks, values, strict=True))
        return median_of_medians(parts, ordered=True)


def choose_material(
    audit: AuditParams,
    attack: AttackParams,
    cut: SegmentParams,
    data: PreparedData,
    split: str,
    device: torch.device,
) -> Material:
    """``audit.segments`` loud segments of a split, spread evenly over the tracks.

    Raises:
        InputError: no segment of the split has audible vocals.
    """
    segments = Excerpts.segments(data.tracks(split), cut.samples(data.sample_rate))
    if audit.sparse_samples > segments.segment:
        raise InputError(
            f"audit.sparse_samples = {audit.sparse_samples}, but a segment has {segments.segment}; "
            "lower it"
        )
    loud = segments.loud(cut.loud_db)
    if not loud:
        raise InputError(f"no {split} segment has audible vocals; see segments.loud_db")
    count = min(audit.segments, len(loud))
    chosen = [loud[round(place)] for place in np.linspace(0, len(loud) - 1, count)]
    mixture, vocals = segments.read(chosen, device)
    # The seeds of the attack that is audited: what it found is found again.
    seeds = tuple(segments.seed(number, "attack", attack.seed) for number in chosen)
    return Material([segments.track(number) for number in chosen], mixture, vocals, seeds)
