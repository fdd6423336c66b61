"""Means over training seeds, hierarchical bootstrap intervals, and Holm's correction.

NaN is a track without a figure (what was put out for it has collapsed): it is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
AT_ONCE = 2**18  # figures of one resampled table that are held at a time: 2 MiB, which caches hold


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; all NaN where there is no track to take it of.

    Of a single track there is a value and nothing else (NaN): how much tracks differ is not known.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
        p: two-sided p-value of "it is zero", from the same resamples: twice the share of them
            on the rarer side of zero. It is at least what T tracks can show at all, 2 ** (1 - T),
            the p-value of a sign test in which all of them agree; and with several seeds at least
            that of a t-test over the seeds' own estimates, because few seeds resample badly.
    """

    value: float
    low: float
    high: float
    p: float

    @property
    def is_known(self) -> bool:
        """Whether there was anything to estimate from."""
        return not math.isnan(self.value)

    @property
    def has_ends(self) -> bool:
        """Whether there were two tracks or more, which say how much tracks differ."""
        return not math.isnan(self.low)


def bootstrap(
    statistic: Callable[..., Values],
    *figures: Values,
    resamples: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Percentile interval of a statistic's mean over training seeds.

    Both tracks and training seeds are resampled with replacement, and all figures together, so
    that comparisons stay paired by track and by seed (Efron, 1979; Owen, 2007, for crossed
    factors). Segments of a track are correlated, which is why tracks are what is resampled. Of S
    seeds S - 1 are drawn: drawing S would shrink their variance by (S - 1) / S, which matters
    when they are few (Rao and Wu, 1988). With one seed only tracks are resampled, and the
    interval says nothing about the luck of training.

    Where figures are NaN, resamples in which no track has one are left out, and so is a seed
    without any: the interval is of what is there. Where fewer than two tracks have one there is no
    interval: every resample would be the same track, and the interval as good as none wide.

    Args:
        statistic: takes the figures, each ... x tracks, and reduces the last axis.
        figures: per seed and track, seeds x tracks each; a system with one model (one row) is
            paired with all seeds of another.
        resamples: number of resamples.
        confidence: coverage, 0 to 1.
        seed: of the resampling.
    """
    figures = np.broadcast_arrays(*(np.atleast_2d(figure) for figure in figures))
    seeds, tracks = figures[0].shape
    whole = np.logical_and.reduce([~np.isnan(figure) for figure in figures])
    known = int(whole.any(axis=0).sum())
    if known < 2:
        value = known_mean(statistic(*figures))
        return Interval(value, math.nan, math.nan, math.nan)
    draw = np.random.default_rng(seed)
    # Seeds x resamples: the statistic of every seed on the tracks of every resample. Resamples are
    # drawn and used some at a time, all together would be gigabytes of many tracks; the generator
    # gives the same numbers either way.
    of_seeds = np.empty((seeds, resamples))
    block = max(1, AT_ONCE // (seeds * tracks))
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        drawn_tracks = draw.integers(0, tracks, size=(stop - start, tracks))
        drawn = (np.take(figure, drawn_tracks, axis=1) for figure in figures)
        of_seeds[:, start:stop] = statistic(*drawn)
    drawn_seeds = draw.integers(0, seeds, size=(max(1, seeds - 1), resamples))
    replicas = np.take_along_axis(of_seeds, drawn_seeds, axis=0)
    estimates = statistic(*figures)
    if not whole.all():
        replicas, estimates = _known_mean(replicas), estimates[~np.isnan(estimates)]
        if not (len(replicas) and len(estimates)):
            return Interval(math.nan, math.nan, math.nan, math.nan)
    else:
        replicas = replicas.mean(axis=0)
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicas, [tail, 1 - tail])
    below, above = (1 + np.sum(replicas <= 0), 1 + np.sum(replicas >= 0))
    floor = 2.0 ** (1 - known)
    p = max(2 * min(below, above) / (len(replicas) + 1), floor, _luck(estimates))
    return Interval(float(estimates.mean()), float(low), float(high), float(min(1.0, p)))


def known_mean(figures: Values) -> float:
    """Mean over the training seeds that have a figure; NaN when none has."""
    known = figures[~np.isnan(figures)]
    return float(known.mean()) if len(known) else math.nan


def _known_mean(replicas: Values) -> Values:
    """Mean of each resample over the seeds that have a figure; resamples without one are gone."""
    count = (~np.isnan(replicas)).sum(axis=0)
    total = np.nansum(replicas, axis=0)
    return np.asarray(total[count > 0] / count[count > 0])


def _luck(estimates: Values) -> float:
    """P-value of a t-test over the estimates of the training seeds; 0 where nothing varies."""
    if len(estimates) == 1 or np.ptp(estimates) == 0:
        return 0.0
    import scipy.stats  # half a second, which one seed does not need

    return float(scipy.stats.ttest_1samp(estimates, 0).pvalue)


def median(figure: Values) -> Values:
    """Median over the tracks that have a figure; NaN when none has.

    A bootstrap asks for it of many short rows. Sorting those takes a tenth of the time that
    ``np.median`` takes, and gives the same numbers.
    """
    ordered = np.sort(figure, axis=-1)  # NaN comes last
    known = np.sum(~np.isnan(figure), axis=-1, keepdims=True)
    # In a row without any figure both are NaN: the last element, and the first.
    below = np.take_along_axis(ordered, (known - 1) // 2, axis=-1)
    above = np.take_along_axis(ordered, known // 2, axis=-1)
    return np.asarray((below + above)[..., 0] / 2)


def median_difference(first: Values, second: Values) -> Values:
    """Median over tracks of one figure minus that of another (the paper's RB)."""
    return median(first) - median(second)


def median_rise(bs_1: Values, at_1: Values, bs_0: Values, at_0: Values) -> Values:
    """RB of one system minus RB of another, each a difference of medians."""
    return median_difference(bs_1, at_1) - median_difference(bs_0, at_0)


def paired_median(first: Values, second: Values) -> Values:
    """Median over tracks of the difference on the same track, where both have a figure."""
    return median(first - second)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for how many there are (Holm, 1979, step-down Bonferroni).

    Rejecting where the adjusted value is below alpha keeps the chance of any false rejection
    below alpha, whatever the dependence between the tests.
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    largest = 0.0
    for rank, number in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[number])
        adjusted[number] = min(1.0, largest)
    return [float(value) for value in adjusted]


def detectable(
    low: float,
    high: float,
    confidence: float = 0.95,
    power: float = 0.8,
    comparisons: int = 1,
    of_seeds: Sequence[float] = (),
) -> float:
    """The smallest true difference that a study with such an interval would mostly show.

    Were the estimate normal around the truth with the standard error that the interval's width
    stands for, intervals of so many studies (``power``) would leave out zero: z(confidence) +
    z(power) standard errors, 2.8 of them by default (Gelman and Hill, 2006, section 20.2).

    Of several comparisons, each has to pass the first step of Holm's correction; and of several
    training seeds the t-test over their estimates as well, whose power is that of a noncentral t
    (Johnson, Kotz and Balakrishnan, 1995, chapter 31). What both ask is no less than the larger of
    what each asks.

    Args:
        low: lower end of the interval.
        high: upper end.
        confidence: of the interval.
        power: share of studies.
        comparisons: how many p-values are adjusted together.
        of_seeds: estimates of the training seeds, two or more; none for no t-test.
    """
    half = NormalDist().inv_cdf((1 + confidence) / 2)
    rare = (1 - confidence) / comparisons
    asked = NormalDist().inv_cdf(1 - rare / 2) + NormalDist().inv_cdf(power)
    of_songs = (high - low) / (2 * half) * asked
    return max(of_songs, _detectable_by_seeds(of_seeds, rare, power) if len(of_seeds) > 1 else 0.0)


def _detectable_by_seeds(of_seeds: Sequence[float], rare: float, power: float) -> float:
    """The mean at which a two-sided t-test of that level has that power."""
    import scipy.optimize
    import scipy.stats

    count = len(of_seeds)
    least = scipy.stats.t.ppf(1 - rare / 2, count - 1)

    def lacking(shift: float) -> float:
        return float(scipy.stats.nct.sf(least, count - 1, shift)) - power

    shift = scipy.optimize.brentq(lacking, 0.0, 10 * least)
    return float(shift * np.std(of_seeds, ddof=1) / math.sqrt(count))
