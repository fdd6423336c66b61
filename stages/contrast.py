"""Not a stage of the DAG: one system minus any other, with intervals."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from common import PARAMS, PLOTS, run
from rsvm.evaluate import contrast
from rsvm.files import read_table
from rsvm.params import load_params
from rsvm.report.tables import COMPARED


def main(
    first: Annotated[str, Argument(help="a system of the run")],
    second: Annotated[str, Argument(help="the system that is subtracted")],
    tracks: Annotated[Path, Option(help="folder of the tables per track")] = PLOTS / "tracks",
) -> None:
    """Print FIRST minus SECOND in dB, paired by track and seed, with intervals and p-values."""
    params = load_params(PARAMS)
    tables = []
    for name in (first, second):
        missing = "no such file; name a system of the run"
        tables.append(read_table(tracks / f"{name}.csv", missing))
    found = contrast(tables[0], tables[1], params.evaluate)
    print(f"{first} minus {second}, dB")
    for key, words in COMPARED.items():
        entry = found[key]
        interval = f"[{entry['low']:+.3f}, {entry['high']:+.3f}]"
        print(f"{words:16}{entry['difference']:+8.3f}  {interval:23}p = {entry['p_holm']:.4f}")


if __name__ == "__main__":
    run(main, writes=False)
