"""How often do intervals hold the truth? Simulated studies whose truth is known.

Two systems are tested on the same songs with some training seeds each, and differ by amounts that
are put in. Standard deviations are of the size that two RSVMs have on the MUSDB18 previews after 64
epochs; that between seeds is what the rows vary.

    python benchmarks/coverage_of_intervals.py
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import typer
from typer import Option

from harness import ROOT  # noqa: F401, the library that stands beside is measured
from stemproof.core.progress import Progress
from stemproof.figures.statistics import (
    Values,
    bootstrap,
    median_difference,
    median_rise,
    paired_median,
)
from stemproof.report.markdown import as_table

CONFIDENCE = 0.95
SONGS = 1.7  # dB; standard deviation of BS over songs
DIFFERENCE = 0.8  # dB; of the difference between the two systems on the same song
DROP = 0.5  # dB; of what the attack costs over songs
REST = 0.1  # dB; of one song with one seed
GAIN, LOSS = 0.3, 0.1  # dB; the truth: of BS, and of RB
STUDIES = ((1, 0.0), (3, 0.05), (3, 0.3), (3, 1.0), (5, 0.3), (5, 1.0), (10, 1.0))
Study = tuple[Values, Values, Values, Values]


def study(draw: np.random.Generator, seeds: int, between: float, songs: int) -> Study:
    """BS and AT-BS of the second system, then of the first, each seeds x songs.

    Args:
        draw: of everything.
        seeds: trainings of each system, which luck sets apart.
        between: standard deviation of that luck in dB.
        songs: tested by both.
    """

    def normal(deviation: float, *shape: int) -> Values:
        return draw.normal(0, deviation, size=shape)

    first = 6 + normal(SONGS, 1, songs) + normal(between, seeds, 1) + normal(REST, seeds, songs)
    apart = normal(DIFFERENCE, 1, songs) + normal(between, seeds, 1) + normal(REST, seeds, songs)
    drop = 1 + normal(DROP, 1, songs)
    second = first + GAIN + apart
    more = LOSS + normal(REST, seeds, songs)
    return second, second - drop - more, first, first - drop


def covered(seeds: int, between: float, studies: int, songs: int, resamples: int) -> list[float]:
    """Share of the intervals that hold the truth: difference of medians, paired, RB.

    Args:
        seeds: trainings of each system.
        between: standard deviation between them in dB.
        studies: how many are simulated.
        songs: in each.
        resamples: of the bootstrap.
    """
    hits = np.zeros(3)
    for number in range(studies):
        bs_1, at_1, bs_0, at_0 = study(np.random.default_rng(number), seeds, between, songs)
        options: Any = {"resamples": resamples, "confidence": CONFIDENCE, "seed": number}
        intervals = (
            (bootstrap(median_difference, bs_1, bs_0, **options), GAIN),
            (bootstrap(paired_median, bs_1, bs_0, **options), GAIN),
            (bootstrap(median_rise, bs_1, at_1, bs_0, at_0, **options), LOSS),
        )
        hits += [found.low <= truth <= found.high for found, truth in intervals]
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
    """Print how often nominal 95 % intervals hold what was put in."""
    rows = [
        (seeds, between, covered(seeds, between, studies, songs, resamples))
        for seeds, between in Progress(STUDIES, desc="studies", unit="row")
    ]
    print(table(rows), end="")


if __name__ == "__main__":
    typer.run(main)
