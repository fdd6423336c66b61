"""Is BSSEval as fast as it can be: workers against a sequence, our computations against museval's.

Both sides are given the same colored noise; that they agree on real, attacked estimates is tested.
"""

from __future__ import annotations

import os
from multiprocessing import get_context
from unittest import mock

import numpy as np
from joblib import Parallel, delayed

from harness import ROOT, Row, Sizes, Times, race
from stemproof.core.machine import WorkerParams
from stemproof.core.params import PARAMS, Sections, load_params
from stemproof.core.workers import worker_pool
from stemproof.figures.bsseval import (
    Estimate,
    TrackEstimates,
    score,
    score_all,
    score_by_museval,
    score_sdr,
)

RATE = 44_100
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


class Params(Sections):
    """How many workers there are."""

    workers: WorkerParams


def rows(sizes: Sizes) -> list[Row]:
    """Workers against a sequence, and inside a worker our computations against museval's."""
    seconds = sizes.of(7.0, 1.0)
    workers = load_params(Params, ROOT / PARAMS).workers.count
    return [in_workers(sizes, seconds, workers), *in_a_worker(sizes, seconds, workers)]


def make_track(seed: int, seconds: float) -> TrackEstimates:
    """Colored noise, and two estimates of a part of it."""
    draw = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    vocals, rest = (np.convolve(draw.standard_normal(samples), [1, 0.7], "same") for _ in range(2))
    estimates = []
    for _ in range(2):
        estimate = 0.8 * vocals + 0.2 * rest + 0.05 * draw.standard_normal(samples)
        heard = (vocals + rest).astype(np.float32)
        estimates.append(Estimate(heard, estimate.astype(np.float32)))
    mixture = (vocals + rest).astype(np.float32)
    return TrackEstimates(str(seed), mixture, vocals.astype(np.float32), estimates)


def in_workers(sizes: Sizes, seconds: float, workers: int) -> Row:
    """The pipeline's workers, and bare processes that have their tracks already."""
    each = sizes.of(5, 1)
    numbers = range(each * workers)
    tracks = [make_track(number, seconds) for number in numbers]
    with mock.patch.dict(os.environ, dict.fromkeys(THREADS, "1")):
        # One of the bare processes is the sequence.
        bare = get_context("spawn").Pool(workers, make_own, (len(tracks), seconds))
        alone = get_context("spawn").Pool(1, make_own, (len(tracks), seconds))
    with bare, alone:
        # Workers are started once and stay: starting them is no part of the ratio.
        score_all(tracks, RATE, "museval", workers)
        times = race(
            {
                "workers": lambda: score_all(tracks, RATE, "museval", workers),
                "bare": lambda: bare.map(museval_of, numbers, chunksize=each),
                "sequence": lambda: alone.map(museval_of, numbers, chunksize=len(tracks)),
            },
            sizes.rounds,
        )
    per_core = 1 / workers
    ceiling = times.row("", "sequence", "bare", 0, factor=per_core).ratio
    return times.row(
        "museval in workers: speed-up per core",
        "sequence",
        "workers",
        0.9,
        f"{workers} workers, {len(tracks)} tracks of {seconds:g} s; all with one thread. As many "
        f"bare processes that have their tracks already: {ceiling:.2f}",
        per_core,
    )


own_tracks: list[TrackEstimates] = []


def make_own(count: int, seconds: float) -> None:
    """Give this process its tracks."""
    own_tracks.extend(make_track(number, seconds) for number in range(count))


def museval_of(number: int) -> None:
    """Score one of this process's own tracks by museval."""
    score_by_museval(own_tracks[number], RATE)


def in_a_worker(sizes: Sizes, seconds: float, workers: int) -> list[Row]:
    """BSSEval where it runs: with one thread for linear algebra."""
    tracks = [make_track(0, seconds)]
    with worker_pool("none"):
        [(times, apart, sdr_apart)] = Parallel(n_jobs=workers)(
            delayed(race_in_a_worker)(track, sizes.rounds) for track in tracks
        )
    return [
        times.row(
            "BSSEval v4 in batches: times museval",
            "museval",
            "ours",
            10.0,
            f"two estimates of {seconds:g} s of noise, {times.median('ours') * 1e3:.0f} ms; "
            f"largest difference {apart:.1e} dB",
        ),
        times.row(
            "closed-form SDR: times museval",
            "museval",
            "sdr",
            100.0,
            f"largest difference {sdr_apart:.1e} dB",
        ),
    ]


def race_in_a_worker(track: TrackEstimates, rounds: int) -> tuple[Times, float, float]:
    """Times of museval, of ours and of the closed-form SDR; how far ours and the SDR are off."""
    apart = largest_difference(score(track, RATE), score_by_museval(track, RATE))
    sdr_apart = largest_difference(score_sdr(track, RATE), score_by_museval(track, RATE))
    times = race(
        {
            "museval": lambda: score_by_museval(track, RATE),
            "ours": lambda: score(track, RATE),
            "sdr": lambda: score_sdr(track, RATE),
        },
        rounds,
    )
    return times, apart, sdr_apart


def largest_difference(
    own: list[dict[str, float] | str], theirs: list[dict[str, float] | str]
) -> float:
    """Between figures of the same name, in dB."""
    return max(
        abs(figures[name] - other[name])
        for figures, other in zip(own, theirs, strict=True)
        if isinstance(figures, dict) and isinstance(other, dict)
        for name in figures
    )
