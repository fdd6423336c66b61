"""BSSEval v4 of the vocals of whole tracks: our own in batches, museval's, or the SDR alone.

Both compute the same figures (Vincent et al., 2006; Liutkus et al., 2018): distortion filters of
512 taps are fitted to the whole track, and energy ratios are taken in one-second windows. Ours
factorizes a track's system of equations once for all of its estimates, needs no more than one
window in memory at once, and takes every energy in the frequency domain.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import fft

from stemproof.core.errors import out_of_memory
from stemproof.core.stempeg import import_museval
from stemproof.core.workers import worker_pool
from stemproof.figures.estimates import Estimate, Signals, TrackEstimates
from stemproof.figures.projection import TAPS, fit

__all__ = ["Estimate", "TrackEstimates", "score", "score_all", "score_by_museval", "score_sdr"]

FIGURES = ("sdr", "isr", "sir", "sar")
Spectra = NDArray[np.complex128]
# Figures by name, or why there are none.
Score = dict[str, float] | str


def score_all(
    tracks: Sequence[TrackEstimates],
    rate: int,
    method: str,
    workers: int,
    scheduler: str = "none",
) -> list[list[Score]]:
    """Score tracks in parallel, in the order given; one score an estimate.

    Args:
        tracks: what to score.
        rate: samples per second; also the window.
        method: ``fast``, ``museval``, or ``sdr``: the SDR and nothing else.
        workers: processes of this machine, of one thread each.
        scheduler: ``none``, or the address of a Dask scheduler whose workers are used instead.

    Raises:
        InputError: the scheduler cannot be reached, or ``distributed`` is not installed.
    """
    function = {"fast": score, "museval": score_by_museval, "sdr": score_sdr}[method]
    # One worker is a process of one thread as well, which joblib has from two jobs on, of which one
    # at a time is given out: more threads of this process would sum in another order.
    options: dict[str, Any] = {"n_jobs": max(2, workers)}
    options |= {"pre_dispatch": 1} if workers == 1 else {}
    with worker_pool(scheduler):
        scores: list[list[Score]] = Parallel(
            **(options if scheduler == "none" else {"n_jobs": -1})
        )(delayed(function)(track, rate) for track in tracks)
    return scores


def score(track: TrackEstimates, rate: int) -> list[Score]:
    """SDR, ISR, SIR and SAR of the vocals of each estimate: medians over one-second windows.

    Windows in which any source, true or estimated, is silent are left out, as in museval.

    Returns:
        The figures of each estimate, or why there are none.
    """
    samples = len(track.vocals)
    window = min(rate, samples)
    if not all(np.any(row) for row in (track.vocals, track.mixture - track.vocals)):
        return ["a source is silent throughout"] * len(track.estimates)
    filters = fit(track)
    size = fft.next_fast_len(window + TAPS - 1, real=True)
    alone, both = fft.rfft(filters.alone, size), fft.rfft(filters.both, size)
    # Parseval for a real signal: all but the first and the last bin stand for two.
    weights = np.full(size // 2 + 1, 2.0 / size)
    weights[0] = 1.0 / size
    if size % 2 == 0:
        weights[-1] = 1.0 / size
    ratios: list[list[Signals]] = [[] for _ in track.estimates]
    for sources in _windows(track, window):
        # Of an estimate of the accompaniment only its silence matters.
        truth, rest, *estimates = fft.rfft(sources[[0, 1, *range(2, len(sources), 2)]], size)
        for number, row in enumerate(_rows(track)):
            if not _all_sound(sources, row):
                continue
            target = truth * alone[number]
            projected = truth * both[number, 0] + rest * both[number, 1]
            numerators = [
                np.sum(sources[0] ** 2),
                np.sum(sources[0] ** 2),
                _energy(target, weights),
                _energy(projected, weights),
            ]
            denominators = [
                squared_error(sources, row),
                _energy(target - truth, weights),
                _energy(projected - target, weights),
                _energy(estimates[number] - projected, weights),
            ]
            with np.errstate(divide="ignore", invalid="ignore"):
                ratios[number].append(10 * np.log10(np.divide(numerators, denominators)))
    return [_summary(of_windows) for of_windows in ratios]


def squared_error(sources: Signals, row: int = 2) -> float:
    """Energy of an estimate's error: all that the SDR needs beside the truth's.

    Spatial distortion, interference and artifacts add up to it, whatever the filters are.

    Args:
        sources: sources x samples; true vocals first.
        row: which source is the estimate.
    """
    return float(np.sum((sources[row] - sources[0]) ** 2))


def score_sdr(track: TrackEstimates, rate: int) -> list[Score]:
    """The SDR alone, in its closed form, which needs no filters.

    Returns:
        As :func:`score`, with one figure.
    """
    ratios: list[list[Signals]] = [[] for _ in track.estimates]
    for sources in _windows(track, min(rate, len(track.vocals))):
        energy = float(np.sum(sources[0] ** 2))
        for number, row in enumerate(_rows(track)):
            if _all_sound(sources, row):
                error = squared_error(sources, row)
                with np.errstate(divide="ignore"):
                    ratios[number].append(10 * np.log10(np.divide([energy], [error])))
    return [_summary(of_windows, ("sdr",)) for of_windows in ratios]


def _rows(track: TrackEstimates) -> range:
    """Rows of the vocals' estimates in :meth:`TrackEstimates.sources`."""
    return range(2, 2 + 2 * len(track.estimates), 2)


def _all_sound(sources: Signals, row: int) -> bool:
    """Whether no source, true or of this estimate, is silent."""
    return all(bool(np.any(sources[number])) for number in (0, 1, row, row + 1))


def _summary(ratios: Sequence[Signals], figures: Sequence[str] = FIGURES) -> Score:
    """Medians over windows of the figures, or why there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        medians = np.nanmedian(np.reshape(ratios, (-1, len(figures))), axis=0)
    if np.isnan(medians).any():
        return "no window in which every source sounds"
    if np.isinf(medians).any():
        return "a figure is infinite: the estimate is the truth, or a filter of it"
    return dict(zip(figures, medians.tolist(), strict=True))


def _windows(track: TrackEstimates, window: int) -> Iterator[Signals]:
    """Sources x samples, window by window; a rest is left out, as in museval.

    One at a time: larger arrays would be new memory in every round, and slower.
    """
    for start in range(0, len(track.vocals) - window + 1, window):
        yield track.sources(slice(start, start + window))


def _energy(spectrum: Spectra, weights: Signals) -> float:
    return float((spectrum.real**2 + spectrum.imag**2) @ weights)


def score_by_museval(track: TrackEstimates, rate: int) -> list[Score]:
    """The same by museval.

    Vocals and accompaniment are passed together; with a single source museval gives nothing.

    Returns:
        The figures, or why museval gave none: a failure is counted, never fatal.
    """
    museval = import_museval()
    sources = track.sources(slice(None))
    scores: list[Score] = []
    for row in range(2, len(sources), 2):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                windows = museval.evaluate(
                    sources[:2, :, None], sources[row : row + 2, :, None], win=rate, hop=rate
                )
        except Exception as error:  # museval raises ValueError, LinAlgError, AttributeError, ...
            if out_of_memory(error):  # not a track without figures
                raise
            scores.append(f"{type(error).__name__}: {error}")
        else:
            scores.append(_summary(list(np.stack([figure[0] for figure in windows], axis=-1))))
    return scores
