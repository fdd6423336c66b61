"""How often do intervals hold the truth? Simulated studies whose truth is known.

Songs are drawn from the stored figures of two RSVMs on the MUSDB18 previews after 64 epochs, each
with all that was measured on it, and set apart a little: other songs of the same kind. The luck of
training is put in, and is what the rows vary. The truth is the statistic of a million such songs.

    python benchmarks/coverage_of_intervals.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from typer import Option

from harness import ROOT
from stemproof.core.progress import Progress
from stemproof.figures.statistics import (
    Values,
    bootstrap,
    median_difference,
    median_rise,
    paired_median,
)
from stemproof.report.markdown import as_table
from stemproof.report.stored_runs import FLOAT32

CONFIDENCE = 0.95
TRACKS = ROOT / FLOAT32 / "plots/tracks"
NEAR = 0.5  # dB; standard deviation of a song's level around that of the stored one
REST = 0.05  # dB; of each of its figures, for each seed
MANY = 1_000_000  # songs of which the truth is taken
STUDIES = (
    *((1, 0.0), (1, 0.3), (1, 1.0), (3, 0.05), (3, 0.3), (3, 1.0)),
    *((5, 0.3), (5, 1.0), (10, 1.0)),
)
Study = tuple[Values, Values, Values, Values]
Estimates = tuple[tuple[Callable[..., Values], tuple[Values, ...]], ...]


def stored_songs() -> Values:
    """BS and AT-BS of the improved version, then of the baseline: 4 x songs."""
    tables = (pd.read_csv(TRACKS / f"{name}.csv") for name in ("improved", "baseline"))
    return np.stack([table[key].to_numpy() for table in tables for key in ("bs", "at_bs")])


def study(
    draw: np.random.Generator, stored: Values, seeds: int, between: float, songs: int
) -> Study:
    """A study of two systems: the four figures, each seeds x songs.

    Args:
        draw: of everything.
        stored: songs that the study's are like, 4 x songs.
        seeds: trainings of each system, which luck sets apart.
        between: standard deviation of that luck in dB, the same for both figures of a training.
        songs: tested by both.
    """
    like = stored[:, draw.integers(0, stored.shape[1], songs)] + draw.normal(0, NEAR, songs)
    luck = np.repeat(draw.normal(0, between, (2, seeds, 1)), 2, axis=0)
    bs_1, at_1, bs_0, at_0 = like[:, None] + luck + draw.normal(0, REST, (4, seeds, songs))
    return bs_1, at_1, bs_0, at_0


def estimates(bs_1: Values, at_1: Values, bs_0: Values, at_0: Values) -> Estimates:
    """Each statistic with the figures that it takes."""
    return (
        (median_difference, (bs_1, bs_0)),
        (paired_median, (bs_1, bs_0)),
        (median_rise, (bs_1, at_1, bs_0, at_0)),
    )


def truth(stored: Values) -> list[float]:
    """Difference of medians, paired difference and RB of very many such songs."""
    songs = study(np.random.default_rng(0), stored, 1, 0.0, MANY)
    return [float(statistic(*figures)[0]) for statistic, figures in estimates(*songs)]


def covered(seeds: int, between: float, studies: int, songs: int, resamples: int) -> list[float]:
    """Share of the intervals that hold the truth: difference of medians, paired, RB.

    Args:
        seeds: trainings of each system.
        between: standard deviation between them in dB.
        studies: how many are simulated.
        songs: in each.
        resamples: of the bootstrap.
    """
    stored = stored_songs()
    true, hits = truth(stored), np.zeros(3)
    for number in range(studies):
        figures = study(np.random.default_rng(1 + number), stored, seeds, between, songs)
        options: Any = {"resamples": resamples, "confidence": CONFIDENCE, "seed": number}
        intervals = [bootstrap(how, *of, **options) for how, of in estimates(*figures)]
        hits += [i.low <= value <= i.high for i, value in zip(intervals, true, strict=True)]
    return [float(share) for share in hits / studies]


def table(rows: Sequence[tuple[int, float, Sequence[float]]]) -> str:
    """Markdown, a row a number of seeds and a deviation between them."""
    header = ["seeds", "between seeds, dB", "difference of medians", "paired difference", "RB"]
    return as_table(
        header,
        [
            [str(seeds), f"{between:g}", *(f"{share:.1%}" for share in shares)]
            for seeds, between, shares in rows
        ],
    )


def main(
    studies: Annotated[int, Option(min=1, help="simulated per row")] = 1000,
    songs: Annotated[int, Option(min=2, help="in each")] = 50,
    resamples: Annotated[int, Option(min=100, help="of the bootstrap")] = 1000,
) -> None:
    """Print how often nominal 95 % intervals hold the truth."""
    rows = [
        (seeds, between, covered(seeds, between, studies, songs, resamples))
        for seeds, between in Progress(STUDIES, desc="studies", unit="row")
    ]
    print(table(rows), end="")


if __name__ == "__main__":
    typer.run(main)
