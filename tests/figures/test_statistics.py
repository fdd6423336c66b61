"""Intervals against SciPy and against the truth on simulated data; Holm against its definition."""

from __future__ import annotations

import itertools
import math
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats as scipy_stats

from stemproof.figures.statistics import (
    bootstrap,
    detectable,
    holm,
    median,
    median_difference,
    median_rise,
    paired_median,
)

OPTIONS = {"resamples": 300, "confidence": 0.95, "seed": 0}


def mean(figure: np.ndarray) -> np.ndarray:
    return np.asarray(figure.mean(axis=-1))


@given(
    arrays(
        np.float64,
        array_shapes(min_dims=1, max_dims=3, max_side=7),
        elements=st.just(math.nan) | st.floats(-1e300, 1e300),
    )
)
def test_the_median_is_that_of_numpy(figure: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        assert np.array_equal(median(figure), np.nanmedian(figure, axis=-1), equal_nan=True)


def test_agrees_with_scipy_where_it_has_the_method() -> None:
    """One seed, paired samples, percentile intervals."""
    draw = np.random.default_rng(3)
    bs = draw.normal(6, 2, size=41)
    at_bs = bs - draw.gamma(2, 0.3, size=41)
    ours = bootstrap(median_difference, bs, at_bs, resamples=20_000, confidence=0.9, seed=0)
    theirs = scipy_stats.bootstrap(
        (bs, at_bs),
        lambda x, y, axis: np.median(x, axis=axis) - np.median(y, axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        confidence_level=0.9,
        rng=np.random.default_rng(1),
    )
    assert ours.value == pytest.approx(np.median(bs) - np.median(at_bs), abs=1e-12)
    spread = theirs.standard_error
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.1 * spread)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.1 * spread)


def test_the_p_value_agrees_with_a_paired_t_test() -> None:
    """For a mean of many normal differences both ask the same question."""
    draw = np.random.default_rng(5)
    for shift in (0.0, 0.15, 0.3):
        sample = draw.normal(shift, 1, size=200)
        ours = bootstrap(mean, sample, resamples=20_000, confidence=0.95, seed=1)
        theirs = scipy_stats.ttest_1samp(sample, 0).pvalue
        assert ours.p == pytest.approx(theirs, abs=0.02)
        assert (ours.p < 0.05) == (not ours.low <= 0 <= ours.high)


def test_few_tracks_cannot_show_much() -> None:
    """Three tracks that agree: no test of signs gives less than 1/4."""
    interval = bootstrap(mean, np.array([1.0, 1.1, 1.2]), resamples=999, confidence=0.95, seed=0)
    assert interval.low > 0
    assert interval.p == 0.25


def simulated(
    draw: np.random.Generator, seeds: int, tracks: int, of_seeds: float, of_tracks: float
) -> np.ndarray:
    """A figure with truth 1: an effect of the seed, one of the track, and one of both."""
    return (
        1.0
        + draw.normal(0, of_seeds, size=(seeds, 1))
        + draw.normal(0, of_tracks, size=(1, tracks))
        + draw.normal(0, 0.3, size=(seeds, tracks))
    )


@pytest.mark.parametrize(
    ("seeds", "of_seeds", "least", "most"),
    [
        (1, 0.0, 0.85, 0.95),  # tracks only: an ordinary bootstrap
        (3, 0.1, 0.85, 0.96),  # seeds matter less than tracks
        (10, 1.0, 0.82, 0.96),  # seeds matter most, and there are ten
        (3, 1.0, 0.55, 0.90),  # seeds matter most, and there are three: too narrow, as said
    ],
)
def test_coverage_of_90_percent_intervals(
    seeds: int, of_seeds: float, least: float, most: float
) -> None:
    hits = 0
    for trial in range(300):
        draw = np.random.default_rng(trial)
        sample = simulated(draw, seeds, 40, of_seeds, of_tracks=1.0)
        interval = bootstrap(mean, sample, resamples=300, confidence=0.9, seed=trial)
        hits += interval.low <= 1.0 <= interval.high
    assert least <= hits / 300 <= most


def test_the_variance_of_few_seeds_is_not_shrunk() -> None:
    """Three seeds without any difference between tracks: the variance of their mean, unbiased."""
    variances = []
    for trial in range(400):
        values = np.random.default_rng(trial).normal(0, 1, size=(3, 1)) * np.ones((1, 5))
        interval = bootstrap(mean, values, resamples=400, confidence=0.6827, seed=trial)
        # Half the width of a 68 % interval stands for a standard deviation; the draws of two of
        # three seeds are known exactly, and so is their variance.
        pairs = [np.mean(pair) for pair in itertools.product(values[:, 0], repeat=2)]
        variances.append(np.var(pairs))
        assert min(values[:, 0]) <= interval.low <= interval.high <= max(values[:, 0])
    assert np.mean(variances) == pytest.approx(1 / 3, rel=0.15)


def test_differences_are_paired_by_track_and_seed() -> None:
    figure = np.random.default_rng(0).normal(0, 10, size=(3, 30))
    options = {"resamples": 500, "confidence": 0.95, "seed": 1}
    for statistic in (median_difference, paired_median):
        interval = bootstrap(statistic, figure + 0.5, figure, **options)  # type: ignore[arg-type]
        assert interval.low == pytest.approx(0.5) == interval.high
    still = bootstrap(median_rise, figure, figure - 1, figure + 2, figure + 1, **options)  # type: ignore[arg-type]
    assert still.low == pytest.approx(0, abs=1e-9) == still.high
    assert still.p > 0.5


def test_few_seeds_do_not_make_small_p_values() -> None:
    """Three seeds whose luck is all there is: false rejections stay rare."""
    wrong = 0
    for trial in range(300):
        draw = np.random.default_rng(trial)
        difference = simulated(draw, 3, 40, of_seeds=1.0, of_tracks=0.1) - 1
        interval = bootstrap(paired_median, difference, 0 * difference, **OPTIONS)  # type: ignore[arg-type]
        wrong += interval.p < 0.05
    assert wrong / 300 < 0.09


@pytest.mark.parametrize("statistic", ["median_difference", "median_rise", "paired_median"])
def test_coverage_of_the_statistics_in_use(statistic: str) -> None:
    """Three seeds, songs that matter more than seeds, and a known difference of 0.5."""
    hits = 0
    for trial in range(200):
        draw = np.random.default_rng(trial)
        bs_0 = simulated(draw, 3, 40, 0.1, 1.0)
        bs_1 = bs_0 + 0.5 + 0.2 * draw.normal(size=bs_0.shape) + 0.05 * draw.normal(size=(3, 1))
        if statistic == "median_rise":
            at_0 = bs_0 - 1 + 0.1 * draw.normal(size=bs_0.shape)
            at_1 = bs_1 - 1.5 + 0.1 * draw.normal(size=bs_0.shape)
            interval = bootstrap(median_rise, bs_1, at_1, bs_0, at_0, **OPTIONS)  # type: ignore[arg-type]
        else:
            function = median_difference if statistic == "median_difference" else paired_median
            interval = bootstrap(function, bs_1, bs_0, **OPTIONS)  # type: ignore[arg-type]
        hits += interval.low <= 0.5 <= interval.high
    assert hits / 200 >= 0.85


def test_a_system_of_one_model_is_paired_with_every_seed() -> None:
    figure = np.random.default_rng(0).normal(0, 1, size=(3, 30))
    one = figure[:1]
    interval = bootstrap(median_difference, figure, one, resamples=200, confidence=0.9, seed=0)
    assert interval.value == pytest.approx(np.median(figure, axis=1).mean() - np.median(one))


def test_bootstrap_covers_the_median() -> None:
    """On samples of a known distribution, 90 % intervals hold the truth about 90 times in 100."""
    hits = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).normal(1.0, 2.0, size=40)
        interval = bootstrap(median, sample, resamples=300, confidence=0.9, seed=seed)
        hits += interval.low <= 1.0 <= interval.high
    assert 165 <= hits <= 198


def naive(
    statistic: Any, figures: list[np.ndarray], resamples: int, confidence: float, seed: int
) -> tuple[float, float, float]:
    """The bootstrap resample by resample and seed by seed, in lists without NaN."""
    seeds, tracks = figures[0].shape
    draw = np.random.default_rng(seed)
    drawn_tracks = draw.integers(0, tracks, size=(resamples, tracks))
    drawn_seeds = draw.integers(0, seeds, size=(max(1, seeds - 1), resamples))

    def of(row: int, chosen: Any) -> float:
        values = [[figure[row, n] for n in chosen] for figure in figures]
        if statistic is paired_median:
            pairs = [a - b for a, b in zip(*values, strict=True)]
            return middle(pairs)
        return sum(sign * middle(part) for sign, part in zip((1, -1, -1, 1), values, strict=False))

    def middle(values: list[float]) -> float:
        known = sorted(value for value in values if not math.isnan(value))
        if not known:
            return math.nan
        return (known[(len(known) - 1) // 2] + known[len(known) // 2]) / 2

    def mean_of(values: list[float]) -> float:
        known = [value for value in values if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan

    replicas = [
        mean_of([of(row, drawn_tracks[n]) for row in drawn_seeds[:, n]]) for n in range(resamples)
    ]
    known = [value for value in replicas if not math.isnan(value)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return mean_of([of(row, range(tracks)) for row in range(seeds)]), low, high


@pytest.mark.parametrize("statistic", [median, median_difference, median_rise, paired_median])
@pytest.mark.parametrize("gone", [0, 3, 12])
def test_tracks_without_a_figure_are_left_out(statistic: Any, gone: int) -> None:
    """Under attack, of one seed or of all, of single tracks or of most."""
    draw = np.random.default_rng(gone)
    count = {median: 1, median_rise: 4}.get(statistic, 2)
    figures = [draw.normal(5, 1, size=(3, 7)) for _ in range(count)]
    figures[-1].flat[draw.permutation(21)[:gone]] = np.nan
    if gone:
        figures[0][:, 2] = np.nan
    found = bootstrap(statistic, *figures, resamples=200, confidence=0.9, seed=4)
    value, low, high = naive(statistic, figures, 200, 0.9, 4)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-12)
    assert found.is_known and 0 < found.p <= 1


def test_a_seed_without_any_figure_is_left_out() -> None:
    figures = np.random.default_rng(0).normal(5, 1, size=(3, 9))
    figures[1] = np.nan
    found = bootstrap(median, figures, resamples=300, confidence=0.9, seed=0)
    assert found.value == pytest.approx(np.median(figures[[0, 2]], axis=1).mean())
    assert found.low <= found.value <= found.high


def test_where_nothing_is_left_nothing_is_known() -> None:
    figures, gone = np.ones((2, 5)), np.full((2, 5), np.nan)
    for parts in ((gone, figures), (figures, gone), (gone, gone)):
        found = bootstrap(median_difference, *parts, resamples=100, confidence=0.9, seed=0)
        assert not found.is_known
        assert all(math.isnan(part) for part in (found.low, found.high, found.p))
    # On no track both of a pair.
    first, second = np.array([1.0, np.nan]), np.array([np.nan, 2.0])
    options = {"resamples": 100, "confidence": 0.9, "seed": 0}
    assert not bootstrap(paired_median, first, second, **options).is_known  # type: ignore[arg-type]
    assert bootstrap(median_difference, first, second, **options).value == -1  # type: ignore[arg-type]


def test_tracks_without_a_figure_count_for_no_p_value() -> None:
    """Of nine tracks three are left, and all agree: no less than 1/4."""
    figure = np.array([1.0, 1.1, 1.2, *[np.nan] * 6])
    assert bootstrap(median, figure, resamples=999, confidence=0.95, seed=0).p == 0.25


def test_where_nothing_is_missing_no_bit_moves() -> None:
    """Against the bootstrap of whole tables, stated once more."""
    draw = np.random.default_rng(1)
    for seeds, tracks in ((1, 9), (3, 50), (4, 8)):
        first, second = draw.normal(5, 1, size=(2, seeds, tracks))
        found = bootstrap(median_difference, first, second, resamples=400, confidence=0.9, seed=2)
        again = np.random.default_rng(2)
        of_tracks = again.integers(0, tracks, size=(400, tracks))
        of_seeds = again.integers(0, seeds, size=(max(1, seeds - 1), 400))
        medians = [np.median(figure[:, of_tracks], axis=-1) for figure in (first, second)]
        replicas = np.take_along_axis(medians[0] - medians[1], of_seeds, axis=0).mean(axis=0)
        low, high = np.quantile(replicas, [(1 - 0.9) / 2, 1 - (1 - 0.9) / 2])
        whole = np.median(first, axis=-1) - np.median(second, axis=-1)
        assert (found.value, found.low, found.high) == (whole.mean(), low, high)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_is_the_closure_of_bonferroni(p_values: list[float]) -> None:
    """A hypothesis is rejected when every intersection that holds it is, by Bonferroni."""
    numbers = range(len(p_values))
    expected = [
        max(
            min(1.0, size * min(p_values[number] for number in subset))
            for size in range(1, len(p_values) + 1)
            for subset in itertools.combinations(numbers, size)
            if hypothesis in subset
        )
        for hypothesis in numbers
    ]
    assert holm(p_values) == pytest.approx(expected, abs=1e-12)


def test_holm_keeps_the_chance_of_any_false_rejection() -> None:
    draw = np.random.default_rng(0)
    wrong = 0
    for _ in range(2000):
        wrong += min(holm(list(draw.uniform(size=5)))) < 0.05
    assert wrong / 2000 == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 2000))


def at_once(statistic: Any, *figures: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Every resample in one array, as the definition has it: means over the drawn seeds."""
    seeds, tracks = figures[0].shape
    draw = np.random.default_rng(seed)
    drawn_tracks = draw.integers(0, tracks, size=(resamples, tracks))
    drawn_seeds = draw.integers(0, seeds, size=(max(1, seeds - 1), resamples))
    of_seeds = statistic(*(figure[:, drawn_tracks] for figure in figures))
    replicas = np.take_along_axis(of_seeds, drawn_seeds, axis=0)
    if np.isnan(figures[0]).any():
        known = ~np.isnan(replicas)
        total, count = np.nansum(replicas, axis=0), known.sum(axis=0)
        return np.asarray(total[count > 0] / count[count > 0])
    return np.asarray(replicas.mean(axis=0))


@pytest.mark.parametrize("at_a_time", [1, 1000, 2**20])
@pytest.mark.parametrize(("seeds", "tracks"), [(1, 2), (3, 41), (12, 7), (2, 700)])
@pytest.mark.parametrize("missing", [False, True])
def test_resamples_in_blocks_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, at_a_time: int, seeds: int, tracks: int, missing: bool
) -> None:
    monkeypatch.setattr("stemproof.figures.statistics.AT_ONCE", at_a_time)
    draw = np.random.default_rng(seeds * tracks)
    bs, at_bs = draw.normal(6, 2, size=(2, seeds, tracks))
    if missing and tracks > 2:
        bs[:, :: tracks // 3] = np.nan
    for statistic in (median_difference, paired_median):
        replicas = at_once(statistic, bs, at_bs, resamples=150, seed=7)
        found = bootstrap(statistic, bs, at_bs, resamples=150, confidence=0.9, seed=7)
        low, high = np.quantile(replicas, [(1 - 0.9) / 2, 1 - (1 - 0.9) / 2])
        assert (found.low, found.high) == (low, high)
        rarer = 1 + min(np.sum(replicas <= 0), np.sum(replicas >= 0))
        assert found.p >= min(1.0, 2 * rarer / (len(replicas) + 1))


def test_the_memory_of_many_tracks_is_bounded() -> None:
    """All resamples of 600 tracks at once would be 288 MB for each of three arrays."""
    figures = np.random.default_rng(0).normal(size=(2, 3, 600))
    tracemalloc.start()
    try:
        bootstrap(median_difference, *figures, resamples=20_000, confidence=0.95, seed=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60e6, peak


@pytest.mark.parametrize(("confidence", "power"), [(0.95, 0.8), (0.9, 0.6)])
def test_what_could_have_been_shown_is_mostly_shown(confidence: float, power: float) -> None:
    """Of studies of such a true difference, so many have an interval without zero."""
    draw, error = np.random.default_rng(3), 0.7
    half = error * scipy_stats.norm.ppf((1 + confidence) / 2)
    true = detectable(-half, half, confidence, power)
    assert detectable(5 - half, 5 + half, confidence, power) == pytest.approx(true)
    found = draw.normal(true, error, size=20_000)
    assert float(np.mean(found - half > 0)) == pytest.approx(power, abs=0.015)


def test_what_could_have_been_shown_is_2_8_standard_errors() -> None:
    half = 1.959964
    assert detectable(-half, half) == pytest.approx(1.959964 + 0.841621, abs=1e-5)


@pytest.mark.parametrize(("seeds", "comparisons"), [(3, 1), (3, 88), (5, 20)])
def test_what_could_have_been_shown_after_correction_is_mostly_shown(
    seeds: int, comparisons: int
) -> None:
    """Studies whose error is that of songs, or of a few seeds: p is below its level."""
    draw, level = np.random.default_rng(4), 0.05 / comparisons
    half = 1.959964
    true = detectable(-half, half, comparisons=comparisons)
    z = draw.normal(true, 1.0, size=50_000)
    assert np.mean(2 * scipy_stats.norm.sf(z) < level) == pytest.approx(0.8, abs=0.01)

    spread = draw.normal(size=seeds)
    spread /= spread.std(ddof=1)
    true = detectable(-1e-9, 1e-9, comparisons=comparisons, of_seeds=list(spread + 7))
    found = draw.normal(true, 1.0, size=(50_000, seeds))
    p = scipy_stats.ttest_1samp(found, 0, axis=1).pvalue
    assert np.mean(p < level) == pytest.approx(0.8, abs=0.01)
    # Whichever asks for more is what a study needs; one seed has no t-test.
    assert detectable(-9e3, 9e3, of_seeds=[1.0, 2.0]) == detectable(-9e3, 9e3)
    assert detectable(-half, half, of_seeds=[3.0]) == detectable(-half, half)
