"""Not a stage of the DAG: one system minus any other, with intervals."""

from common import METRICS, PLOTS, Sections, load_params, made_of, run, said_by

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from stemproof.core.tables import read_table
from stemproof.figures.compare import contrast
from stemproof.figures.params import StatisticsParams
from stemproof.figures.store import OF_ALL
from stemproof.figures.table import compared


class Needs(Sections):
    """Parameters of this command."""

    statistics: StatisticsParams


def main(
    first: Annotated[str, Argument(help="a system of the run")],
    second: Annotated[str, Argument(help="the system that is subtracted")],
    tracks: Annotated[Path, Option(help="folder of the tables per track")] = PLOTS / "tracks",
) -> None:
    """Print FIRST minus SECOND in dB, paired by track and seed, with intervals and p-values.

    Reads params.yaml and the tables per track; writes nothing.

    Example: python stages/contrast.py improved baseline
    """
    params = load_params(Needs)
    tables = []
    for name in (first, second):
        missing = "no such file; name a system of the run"
        tables.append(read_table(tracks / f"{name}.csv", missing, needs=OF_ALL, filled=["seed"]))
    if tracks == PLOTS / "tracks":  # of this project, which says what it was made with
        made_of("report", said_by(METRICS / "environment.json", "compare", reads=tracks))
    found = contrast(tables[0], tables[1], params.statistics)
    comparisons = sum("p_holm" in entry for entry in found.values())
    print(f"{first} minus {second}, dB; p-values are adjusted for these {comparisons} comparisons")
    wide = 2 + max(len(figure.words) for figure in compared().values())
    for key, figure in compared().items():
        if key not in found:  # a figure that one of the two does not have
            print(f"{figure.words:{wide}}{'-':>8}")
            continue
        entry = found[key]
        interval = f"[{entry['low']:+.3f}, {entry['high']:+.3f}]"
        words = f"{figure.words:{wide}}{entry['difference']:+8.3f}"
        print(f"{words}  {interval:23}p = {entry['p_holm']:.4f}")


if __name__ == "__main__":
    run(main, writes=False)
