"""BSSEval v4 of whole tracks, through museval in worker processes."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed, parallel_config
from numpy.typing import NDArray

from rsvm.data.codec import import_museval

FIGURES = ("sdr", "isr", "sir", "sar")
Signals = NDArray[np.float64]
# Figures by name, or why there are none.
Score = dict[str, float] | str


@dataclass(frozen=True)
class Estimate:
    """One track's vocals and accompaniment, true and estimated, each 2 x samples."""

    track: str
    references: Signals
    estimates: Signals


def score(estimate: Estimate, rate: int) -> Score:
    """SDR, ISR, SIR and SAR of the vocals: medians over one-second windows.

    Windows in which any source is silent are NaN in museval and left out. Vocals and
    accompaniment are passed together; with a single source museval gives nothing.

    Returns:
        The figures, or why museval gave none: a failure is counted, never fatal.
    """
    museval = import_museval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            windows = museval.evaluate(
                estimate.references[..., None], estimate.estimates[..., None], win=rate, hop=rate
            )
            medians = [float(np.nanmedian(figure[0])) for figure in windows]
    except Exception as error:  # museval raises ValueError, LinAlgError, AttributeError, ...
        return f"{type(error).__name__}: {error}"
    if not np.isfinite(medians).all():
        return "no window in which every source sounds"
    return dict(zip(FIGURES, medians, strict=True))


def score_all(estimates: Iterable[Estimate], rate: int, workers: int) -> list[Score]:
    """Score tracks in parallel processes of one thread each, in the order given."""
    # More threads in a worker make it slower: museval's arrays are small.
    with parallel_config(backend="loky", inner_max_num_threads=1):
        scores: list[Score] = Parallel(n_jobs=workers)(
            delayed(score)(estimate, rate) for estimate in estimates
        )
    return scores
