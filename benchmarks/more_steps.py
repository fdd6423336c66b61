"""What more steps find: one system's figures of two runs, song by song.

python benchmarks/more_steps.py run/plots/tracks/spleeter.csv more/tracks.csv
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from typer import Argument

import harness  # noqa: F401 - which puts the library beside this folder on the path
from stemproof.core.ending import one_line
from stemproof.core.errors import InputError
from stemproof.core.tables import read_table
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import Interval, Values, bootstrap, median, paired_median

# Columns, and whether a stronger attack makes them larger: a break point is an SNR.
FIGURES = {
    "excerpt_at_bs": ("attacked SI-SDR", False),
    "break_1db": ("break point 1 dB", True),
    "break_3db": ("break point 3 dB", True),
    "break_6db": ("break point 6 dB", True),
}
ALIKE = 0.5  # dB; by less than this one search is as good as another
app = typer.Typer(add_completion=False)


@app.command()
def main(
    fewer: Annotated[Path, Argument(help="tracks.csv of the run with fewer steps")],
    more: Annotated[Path, Argument(help="that of the run with more")],
) -> None:
    """Print medians over songs, and how far the two runs are apart, with 95 % intervals in dB."""
    tables = [_table(path) for path in (fewer, more)]
    songs = tables[0].index.intersection(tables[1].index)
    if songs.empty:
        raise InputError(f"{fewer} and {more} have no track in common; name two of one data set")
    first, second = (table.loc[songs] for table in tables)
    print(
        "| figure | songs | fewer steps | more steps | more minus fewer | "
        "stronger by 0.5 dB: more, fewer |\n|---|---|---|---|---|---|"
    )
    for column, (words, rises) in FIGURES.items():
        a, b = (table[column].to_numpy(dtype=float) for table in (first, second))
        gained = (b - a) if rises else (a - b)
        known = int((~pd.isna(gained)).sum())
        wins = f"{int((gained > ALIKE).sum())}, {int((gained < -ALIKE).sum())}"
        cells = (_shown(median, a), _shown(median, b), _shown(paired_median, b, a))
        print(f"| {words} | {known} | {' | '.join(cells)} | {wins} |")


def _table(path: Path) -> pd.DataFrame:
    table = read_table(path)
    lacking = {"track", *FIGURES} - set(table.columns)
    if lacking:
        raise InputError(f"{path}: it has no column {', '.join(sorted(lacking))}; run evaluate")
    return table.set_index("track")


def _shown(statistic: object, *figures: Values) -> str:
    own = StatisticsParams()
    found: Interval = bootstrap(
        statistic,  # type: ignore[arg-type]
        *figures,
        resamples=own.bootstrap,
        confidence=own.confidence,
        seed=own.seed,
    )
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


if __name__ == "__main__":
    with one_line():
        app()
