"""Tables of a stored audit: every value in its place, of old and new runs, or one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from tables import rows_of

from stemproof.core.errors import InputError
from stemproof.core.files import write_json
from stemproof.report.stored_audit import PAGE, Column, flags, table, transfer

RUN = ROOT / "results/systems-musdb18-7/run"  # with informed and blind systems


def stored(folder: Path, **audits: dict[str, Any]) -> Path:
    for name, audit in audits.items():
        (folder / "plots/audit").mkdir(parents=True, exist_ok=True)
        write_json(folder / "plots/audit" / f"{name}.json", audit)
    return folder


def test_values_stand_in_their_places(tmp_path: Path) -> None:
    run = stored(
        tmp_path,
        a={"bs": 3.0, "steps": {"1": 1.0, "5": 0.5}},
        baseline={"bs": 2.0, "steps": {"1": 1.5, "5": 1.25, "9": 9.0}, "noise": None},
    )
    columns = [Column("bs", "BS", ".1f"), Column("steps.*", "{} steps", ".2f")]
    head, _, *rows = rows_of(table(run, columns))
    assert head == ["system", "BS", "1 steps", "5 steps", "9 steps"]
    # The reference comes first; what a system was not asked is a dash, not nought.
    assert rows == [["baseline", "2.0", "1.50", "1.25", "9.00"], ["a", "3.0", "1.00", "0.50", "-"]]


def test_what_is_lacking_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"audit: no system is stored there; restore it with git"):
        table(tmp_path, [Column("bs")])
    with pytest.raises(InputError, match=r"audit: it lacks one of bs, steps\.\*"):
        table(stored(tmp_path, baseline={"bs": 2.0}), [Column("bs"), Column("steps.*")])


def test_transfer_is_read_from_models_of_all_systems(tmp_path: Path) -> None:
    def cells(*drops: float) -> dict[str, Any]:
        names = "baseline-1", "baseline-11", "b-1"
        return {name: {"drop": drop} for name, drop in zip(names, drops, strict=True)}

    run = stored(
        tmp_path,
        baseline={"transfer": {"baseline-1": cells(0.5, 0.1, 0.25), "baseline-11": cells(1, 2, 3)}},
        b={"transfer": {"b-1": {"b-1": {"parts": 0}}}},
    )
    head, _, *rows = rows_of(transfer(run, ("1", "1")))
    assert head == ["crafted on", "baseline-1", "b-1"]
    assert rows == [["baseline-1", "0.500", "-"], ["b-1", "0.250", "-"]]
    # Rows of one seed, columns of another.
    head, _, *rows = rows_of(transfer(run, ("1", "11")))
    assert head == ["crafted on", "baseline-11"]
    assert rows == [["baseline-1", "1.000"], ["b-1", "3.000"]]


def test_a_raised_flag_is_named() -> None:
    found = {row[0]: row[1:] for row in rows_of(flags(RUN))[2:]}
    assert found["spleeter"] == ["18", "not converged, weak loss"]


# Which that run was not asked for.
LATER = ("audit-smallest", "audit-costs")


@pytest.mark.parametrize("name", [name for name in PAGE if name not in LATER])
def test_the_page_can_be_written_of_a_later_run(name: str) -> None:
    rows = rows_of(table(RUN, PAGE[name]))[2:]
    assert [row[0] for row in rows] == ["baseline", "improved", "spleeter"]
    assert all("-" not in row[1:] for row in rows[:2])
