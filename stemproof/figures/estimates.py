"""Waveforms of one track that are scored against each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemproof.core.files import FloatArray

Signals = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """What a system heard, and the vocals it estimated; mono waveforms of one length.

    Attributes:
        heard: the mixture, clean or attacked. What it has beyond ``vocals`` is the estimate of
            the accompaniment.
        vocals: the estimate.
    """

    heard: FloatArray
    vocals: FloatArray


@dataclass(frozen=True)
class TrackEstimates:
    """One track's true mixture and vocals, and what is to be scored against them.

    Attributes:
        track: its name.
        mixture: true mixture.
        vocals: true vocals.
        estimates: of systems, or of one system under several conditions.
    """

    track: str
    mixture: FloatArray
    vocals: FloatArray
    estimates: list[Estimate]

    def sources(self, part: slice) -> Signals:
        """Some samples of vocals and accompaniment: true ones, then of each estimate.

        Returns:
            (2 + 2 x estimates) x samples.
        """
        pairs = [(self.mixture, self.vocals)]
        pairs += [(estimate.heard, estimate.vocals) for estimate in self.estimates]
        rows = []
        for whole, vocals in pairs:
            rows += [vocals[part].astype(np.float64)]
            rows += [whole[part].astype(np.float64) - vocals[part]]
        return np.stack(rows)
