"""Least-squares projections onto delayed references: the distortion filters of BSSEval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy import fft

from stemproof.figures.estimates import Signals, TrackEstimates

TAPS = 512  # of the distortion filters
BLOCK = 8192  # samples per transform of the correlations
AT_ONCE = 8  # blocks that are transformed together
Spectra = NDArray[np.complex128]


@dataclass(frozen=True)
class Filters:
    """Least-squares projections of each estimate.

    Attributes:
        alone: onto delayed vocals, estimates x taps.
        both: onto delayed vocals and accompaniment, estimates x 2 x taps.
    """

    alone: Signals
    both: Signals


def fit(track: TrackEstimates) -> Filters:
    """Fit the distortion filters of all estimates with one factorization a track."""
    lags = _correlations(track)
    # The inner products of the delayed references (rows) with each estimate (columns).
    with_estimates = lags[:, 2:].transpose(0, 2, 1).reshape(2 * TAPS, -1)
    try:
        factor, _ = scipy.linalg.cho_factor(
            _gram(lags), lower=True, overwrite_a=True, check_finite=False
        )
    except np.linalg.LinAlgError:  # dependent references
        gram = _gram(lags)
        both = scipy.linalg.lstsq(gram, with_estimates)[0]
        alone = scipy.linalg.lstsq(gram[:TAPS, :TAPS], with_estimates[:TAPS])[0]
    else:
        both = scipy.linalg.cho_solve((factor, True), with_estimates)
        # The factor of a leading block is the leading block of the factor.
        leading = np.asfortranarray(factor[:TAPS, :TAPS])
        alone = scipy.linalg.cho_solve((leading, True), with_estimates[:TAPS])
    return Filters(alone.T, both.T.reshape(-1, 2, TAPS))


def _gram(lags: Signals) -> Signals:
    """Inner products of the delayed references, in the order in which LAPACK works in place."""
    gram = np.empty((2 * TAPS, 2 * TAPS), order="F")
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        place = np.s_[i * TAPS : (i + 1) * TAPS, j * TAPS : (j + 1) * TAPS]
        gram[place] = scipy.linalg.toeplitz(lags[i, j], lags[j, i])
    # museval adds the spacing of doubles to the diagonal; so do we.
    gram[np.diag_indices(2 * TAPS)] += np.finfo(float).eps
    return gram


def _correlations(track: TrackEstimates) -> Signals:
    """``sum_n x[n] y[n + lag]`` of true vocals and accompaniment with every waveform.

    Returns:
        2 x (2 + estimates) x taps; the first two columns are the references themselves.
    """
    hop = BLOCK - TAPS + 1
    together = hop * AT_ONCE
    samples = len(track.vocals)
    count_rows = 2 + len(track.estimates)
    total: Spectra = np.zeros((2, count_rows, BLOCK // 2 + 1), dtype=np.complex128)
    for start in range(0, samples, together):
        rows = track.sources(slice(start, start + together + TAPS - 1))
        rows = np.delete(rows, np.s_[3::2], axis=0)  # accompaniment estimates are not needed
        count = -(-min(together, samples - start) // hop)
        padded = np.zeros((len(rows), count * hop + TAPS - 1))
        padded[:, : rows.shape[1]] = rows[:, : padded.shape[1]]
        longer = np.lib.stride_tricks.sliding_window_view(padded, BLOCK, axis=-1)[:, ::hop]
        shorter = longer[:2].copy()
        shorter[..., hop:] = 0
        total += np.einsum("ibf,jbf->ijf", fft.rfft(shorter).conj(), fft.rfft(longer))
    return np.asarray(fft.irfft(total, BLOCK)[..., :TAPS])
