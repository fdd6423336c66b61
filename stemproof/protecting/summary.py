"""Medians of what was measured of protected songs, with intervals over the songs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from stemproof.core.documents import Document, Part
from stemproof.figures.closing import shortened
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import Interval, Values, bootstrap, median, paired_median
from stemproof.protecting.transforms import TRANSFORMS

FORMAT = 1
Row = Mapping[str, Any]


class Estimate(Part):
    """A median over songs, with its interval; None where there are too few of them.

    Attributes:
        value: the median.
        low: lower end.
        high: upper end.
    """

    value: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        if self.low is None or self.high is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


class Beside(Part):
    """Vocals from protected songs beside those from songs with noise of the same size.

    Attributes:
        protected: SI-SDR in dB against what the clean song gives.
        noise: the same of noise.
        difference: noise minus protected, song by song: what the aiming buys.
    """

    protected: Estimate
    noise: Estimate
    difference: Estimate


class AgainstTruth(Part):
    """SI-SDR in dB against the true vocals; ``lost`` is clean minus protected, song by song."""

    clean: Estimate
    protected: Estimate
    noise: Estimate
    lost: Estimate


class OfSystem(Part):
    """What one system makes of protected songs."""

    aimed: bool
    output: Beside
    true: AgainstTruth


class Costs(Part):
    """What the protection costs: SNR (dB), loudness of the perturbation (LUFS), share unheard."""

    snr: Estimate
    lufs: Estimate
    below: Estimate


class Taught(Part):
    """The system before and after its training on protected songs.

    Attributes:
        before: of the system as it was.
        after: of the trained one.
        regained: SI-SDR of protected songs after minus before, song by song.
        price: the same of clean songs; below zero where the training did harm.
        output: of the trained one: protected songs against what it gives for clean ones.
    """

    before: AgainstTruth
    after: AgainstTruth
    regained: Estimate
    price: Estimate
    output: Beside


class Medians(Part):
    """Medians over songs."""

    costs: Costs
    systems: dict[str, OfSystem]
    changes: dict[str, Beside]
    fine_tuning: Taught | None


class Measured(Document):
    """What the stage ``protect`` writes, as far as tables need it."""

    formats: ClassVar[tuple[int, int]] = (FORMAT, FORMAT)
    cure: ClassVar[str] = "run protect again"
    system: str
    budget: str
    n_tracks: int
    params: dict[str, Any]
    left_out: dict[str, str]
    medians: Medians

    @property
    def made_for(self) -> str:
        """What the songs were protected against, in words."""
        names = dict.fromkeys([self.system, *self.params.get("ensemble", ())])
        return " and ".join(names) + (", diverse" if self.params.get("diverse") else "")


def summarized(rows: Sequence[Row], aims: Sequence[str], statistics: StatisticsParams) -> Medians:
    """Medians over songs, with bootstrap intervals (:mod:`stemproof.figures.statistics`).

    Args:
        rows: one a song.
        aims: names of the systems that songs are protected against; the first is the one that was
            changed and fine-tuned.
        statistics: of the intervals.
    """

    def estimate(statistic: Any, *paths: Sequence[str]) -> Estimate:
        found = bootstrap(
            statistic,
            *(_column(rows, path) for path in paths),
            resamples=statistics.bootstrap,
            confidence=statistics.confidence,
            seed=statistics.seed,
        )
        return _estimate(found)

    def beside(*path: str) -> Beside:
        own, noise = ((*path, "output", way) for way in ("protected", "noise"))
        return Beside(
            protected=estimate(median, own),
            noise=estimate(median, noise),
            difference=estimate(paired_median, noise, own),
        )

    def true(*path: str) -> AgainstTruth:
        ways = {way: (*path, "true", way) for way in ("clean", "protected", "noise")}
        medians = {way: estimate(median, own) for way, own in ways.items()}
        lost = estimate(paired_median, ways["clean"], ways["protected"])
        return AgainstTruth(**medians, lost=lost)

    def taught() -> Taught:
        before, after = ("effects", aims[0]), ("fine_tuned",)
        gains = {
            way: estimate(paired_median, (*after, "true", way), (*before, "true", way))
            for way in ("protected", "clean")
        }
        return Taught(
            before=true(*before),
            after=true(*after),
            regained=gains["protected"],
            price=gains["clean"],
            output=beside(*after),
        )

    first = rows[0]
    return Medians(
        costs=Costs(
            snr=estimate(median, ("costs", "snr")),
            lufs=estimate(median, ("costs", "lufs", "perturbation")),
            below=estimate(median, ("costs", "below")),
        ),
        systems={
            name: OfSystem(
                aimed=name in aims, output=beside("effects", name), true=true("effects", name)
            )
            for name in first["effects"]
        },
        changes={name: beside("changes", name) for name in first["changes"]},
        fine_tuning=taught() if "fine_tuned" in first else None,
    )


def closing(found: Measured) -> list[str]:
    """What was found, in at most ten lines; changes that take most of it away come first."""
    own = found.medians
    lines = [
        f"{found.made_for}: {found.budget}; song over perturbation {own.costs.snr} dB "
        f"(medians over {found.n_tracks} songs)"
    ]
    for name, system in own.systems.items():
        how = "protected against" if system.aimed else "not made for"
        lines.append(f"{name} ({how}): {_said(system.output)}")
    taught = own.fine_tuning
    if taught is not None:
        lines.append(
            f"after fine-tuning: {_said(taught.output)}; true vocals of protected songs "
            f"{taught.regained} dB better, of clean ones {taught.price} dB"
        )
    changes = sorted(own.changes.items(), key=lambda one: one[1].difference.value or 0.0)
    lines += [f"after {TRANSFORMS[name].words}: {_said(change)}" for name, change in changes]
    return shortened(lines)


def _said(figures: Beside) -> str:
    return (
        f"protected {figures.protected} dB, noise {figures.noise} dB, "
        f"aiming buys {figures.difference} dB"
    )


def _column(rows: Sequence[Row], path: Sequence[str]) -> Values:
    """A figure of every song; NaN where there is silence."""
    found = []
    for row in rows:
        value: Any = row
        for key in path:
            value = value[key]
        found.append(math.nan if value is None else float(value))
    return np.asarray(found)


def _estimate(found: Interval) -> Estimate:
    ends = (None if math.isnan(end) else end for end in (found.value, found.low, found.high))
    value, low, high = ends
    return Estimate(value=value, low=low, high=high)
