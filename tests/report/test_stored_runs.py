"""Tables of stored runs: each figure in its place, with its interval; any two tables compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.core.errors import InputError
from stemproof.core.files import read_json, write_json
from stemproof.report.stored_runs import BREAKS, PAIR, contrasts, differences, systems

RUN = ROOT / PAIR


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in text.splitlines()]


def test_every_figure_stands_with_its_interval(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    found = {"bs": 5.125, "bs_low": 4.0, "bs_high": 6.5, "noise_drop": 0.00123}
    found |= {"noise_drop_low": -0.0001, "noise_drop_high": 0.01, "break_3db": 20.26}
    found |= {"break_3db_low": 19.0, "break_3db_high": 21.0}
    for name in ("another", "baseline"):
        write_json(tmp_path / f"metrics/{name}.json", found)
    head, _, *rows = rows_of(systems(tmp_path, ("bs", "noise_drop", "break_3db"), with_paper=True))
    assert head == ["system", "BS", "drop under random noise", "break point 3 dB"]
    cells = ["5.12 [4.00, 6.50]", "0.0012 [-0.0001, 0.0100]", "20.3 [19.0, 21.0]"]
    assert rows[:2] == [["baseline", *cells], ["another", *cells]]
    assert rows[2] == ["RSVM, Li (2022), MUSDB18", "4.96", "", ""]


def test_the_reference_is_named(tmp_path: Path) -> None:
    entry = {"difference": 0.5, "low": -0.25, "high": 1.0, "p": 0.1, "p_holm": 0.3}
    write_json(tmp_path / "comparison.json", {"reference": "x", "n_seeds": 2, "y": {"rb": entry}})
    assert rows_of(differences(tmp_path, ["rb"], digits=3)) == [
        ["difference", "RB"],
        ["---", "---"],
        ["y minus x", "+0.500 [-0.250, +1.000], p = 0.300"],
    ]


def test_two_tables_give_the_stored_comparison() -> None:
    keys = ("paired_bs", "rb", *(f"paired_{key}" for key in BREAKS))
    files = RUN / "tracks/improved.csv", RUN / "tracks/baseline.csv"
    _, _, row = rows_of(contrasts({"improved minus baseline": files}, keys))
    # One system beside the reference: the run's own comparison adjusts for the same figures.
    assert row == rows_of(differences(RUN, keys))[2]
    assert f"{read_json(RUN / 'comparison.json')['improved']['rb']['difference']:+.2f}" in row[2]


def test_a_table_that_is_missing_is_named() -> None:
    files = RUN / "tracks/improved.csv", RUN / "tracks/nobody.csv"
    with pytest.raises(InputError, match=r"nobody\.csv: no such file; restore it with git"):
        contrasts({"x": files})
