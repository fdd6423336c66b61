"""Tables of stored runs: each figure in its place, with its interval; any two tables compared."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from tables import rows_of

from stemproof.core.errors import InputError
from stemproof.core.files import read_json, write_json
from stemproof.report.stored_runs import (
    BFLOAT16,
    BREAKS,
    FIGURES,
    FLOAT32,
    LONG,
    bsseval,
    contrasts,
    differences,
    of_every_system,
    systems,
)

RUN = ROOT / FLOAT32


def test_every_figure_stands_with_its_interval(tmp_path: Path) -> None:
    (tmp_path / "metrics/systems").mkdir(parents=True)
    found = {"bs": 5.125, "bs_low": 4.0, "bs_high": 6.5, "noise_drop": 0.00123}
    found |= {"noise_drop_low": -0.0001, "noise_drop_high": 0.01, "break_3db": 20.26}
    found |= {"break_3db_low": 19.0, "break_3db_high": 21.0}
    for name in ("another", "baseline"):
        write_json(tmp_path / f"metrics/systems/{name}.json", found)
    head, _, *rows = rows_of(systems(tmp_path, ("bs", "noise_drop", "break_3db"), with_paper=True))
    assert head == ["system", "BS", "drop under random noise", "break point 3 dB"]
    cells = ["5.12 [4.00, 6.50]", "0.0012 [-0.0001, 0.0100]", "20.3 [19.0, 21.0]"]
    assert rows[:2] == [["baseline", *cells], ["another", *cells]]
    assert rows[2] == ["RSVM, Li (2022), MUSDB18", "4.96", "", ""]


def test_the_reference_is_named(tmp_path: Path) -> None:
    entry = {"difference": 0.5, "low": -0.25, "high": 1.0, "p": 0.1, "p_holm": 0.3}
    (tmp_path / "metrics").mkdir()
    write_json(
        tmp_path / "metrics/comparison.json", {"reference": "x", "n_seeds": 2, "y": {"rb": entry}}
    )
    assert rows_of(differences(tmp_path, ["rb"], digits=3)) == [
        ["difference", "RB"],
        ["---", "---"],
        ["y minus x", "+0.500 [-0.250, +1.000], p = 0.300"],
    ]


def test_two_tables_give_the_stored_comparison() -> None:
    keys = ("paired_bs", "rb", *(f"paired_{key}" for key in BREAKS))
    files = RUN / "plots/tracks/improved.csv", RUN / "plots/tracks/baseline.csv"
    _, _, row = rows_of(contrasts({"improved minus baseline": files}, keys))
    # One system beside the reference: the run's own comparison adjusts for the same figures.
    assert row == rows_of(differences(RUN, keys))[2]
    assert (
        f"{read_json(RUN / 'metrics/comparison.json')['improved']['rb']['difference']:+.2f}"
        in row[2]
    )


@pytest.mark.slow
def test_one_seed_by_itself() -> None:
    """Of the stored runs: a training again is compared with the same seed, and no other."""
    again, long = RUN / "plots/tracks/baseline.csv", ROOT / LONG / "plots/tracks/baseline.csv"
    _, _, (_, cell) = rows_of(contrasts({"x": (again, long)}, ["paired_drop"], seed=218, digits=4))
    first, second = (pd.read_csv(file).query("seed == 218") for file in (again, long))
    gained = first.set_index("track")["drop"] - second.set_index("track")["drop"]
    assert cell.startswith(f"{gained.median():+.4f} [")
    _, _, (_, of_all) = rows_of(contrasts({"x": (again, long)}, ["paired_drop"], digits=4))
    assert of_all != cell


@pytest.mark.slow
def test_p_values_are_adjusted_for_the_whole_table() -> None:
    tracks = ROOT / LONG / "plots/tracks"
    pairs = {
        name: (tracks / f"{name}.csv", tracks / "baseline.csv")
        for name in ("improved", "dropout-only")
    }

    def p(table: str) -> list[float]:
        return [float(row[1].rpartition("p = ")[2]) for row in rows_of(table)[2:]]

    together = p(contrasts(pairs, ["paired_drop"]))
    alone = [p(contrasts({name: files}, ["paired_drop"]))[0] for name, files in pairs.items()]
    assert together[0] == alone[0] == 1.0 and together[1] > alone[1]


def test_bsseval_of_every_system(tmp_path: Path) -> None:
    (tmp_path / "metrics/systems").mkdir(parents=True)
    found = {
        state: dict(zip(("sdr", "isr", "sir", "sar"), figures, strict=True))
        for state, figures in (("clean", (1, 2, 3, 4)), ("attacked", (5, 6, 7, 8)))
    }
    write_json(tmp_path / "metrics/systems/baseline.json", {"bsseval": found})
    head, _, row = rows_of(bsseval(tmp_path))
    assert head[:3] == ["system", "SDR, clean", "SDR, attacked"]
    assert [float(cell) for cell in row[1:]] == [1, 5, 2, 6, 3, 7, 4, 8]


def test_trained_again_it_falls_into_its_interval() -> None:
    """Seed 218 again, on a CPU, in two precisions: every figure is inside of its row's interval."""
    main = of_every_system(ROOT / LONG / "metrics/systems")
    compared = 0
    for run in (FLOAT32, BFLOAT16):
        trained = of_every_system(ROOT / run / "metrics/systems")
        assert trained.keys() - main.keys() <= {"sinkhorn"}  # of which there is no other training
        for name, again in trained.items():
            for key in (*FIGURES, *BREAKS) if name in main else ():
                low, high = main[name][f"{key}_low"], main[name][f"{key}_high"]
                assert low <= again[key] <= high, (run, name, key)
                compared += 1
    assert compared == 6 * 8


def test_a_table_that_is_missing_is_named() -> None:
    files = RUN / "plots/tracks/improved.csv", RUN / "plots/tracks/nobody.csv"
    with pytest.raises(InputError, match=r"nobody\.csv: no such file; restore it with git"):
        contrasts({"x": files})
