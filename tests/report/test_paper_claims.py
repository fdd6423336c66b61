"""The paper's claims beside what was found: values, signs and words of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tables import rows_of

from stemproof.core.errors import InputError
from stemproof.core.files import read_json, write_json
from stemproof.paper.li2022 import TABLE
from stemproof.report.paper_claims import CLAIMS, RUNS, against_paper


def run(folder: Path, **differs: Any) -> Path:
    """A stored run in which all figures differ by the same, but for some."""
    same = {"difference": 0.0, "low": -0.1, "high": 0.1, "p_holm": 1.0}
    improved = {key: {**same, **differs.get(key, {})} for key in CLAIMS}
    (folder / "metrics").mkdir(parents=True)
    write_json(folder / "metrics/comparison.json", {"n_seeds": 2, "improved": improved})
    return folder


def test_every_claim_has_a_verdict(tmp_path: Path) -> None:
    shown = {"difference": 0.5, "low": 0.4, "high": 0.6, "p_holm": 0.01}
    against = {"difference": 0.5, "low": 0.4, "high": 0.6, "p_holm": 0.2}
    folder = run(tmp_path / "run", bs=shown, rb=against)
    bs, at_bs, rb, si_sdr = rows_of(against_paper({"5 epochs": folder}))[2:]
    assert bs == [
        "BS rises",
        "+0.49",
        "5 epochs, 2 seeds",
        "+0.50 [+0.40, +0.60]",
        "0.14",
        "shown; the paper's figure is inside",
    ]
    assert at_bs[-1] == si_sdr[-1] == "not shown; the paper's figure is outside"
    assert rb[-1] == (
        "the opposite is shown, but not after correction (p = 0.20); the paper's figure is outside"
    )


def test_a_fall_that_is_claimed_and_found(tmp_path: Path) -> None:
    found = {"difference": -1.4, "low": -2.0, "high": -0.8, "p_holm": 0.01}
    *_, si_sdr = rows_of(against_paper({"x": run(tmp_path / "run", si_sdr=found)}))[2:]
    assert si_sdr[:2] == ["SI-SDR falls", "-1.36"]
    assert si_sdr[-1] == "shown; the paper's figure is inside"


def test_the_published_rows_are_of_the_stored_runs() -> None:
    rows = rows_of(against_paper())[2:]
    assert len(rows) == len(CLAIMS) * len(RUNS)
    rsvm, improved = TABLE.values()
    for row, (key, name) in zip(rows, [(k, n) for k in CLAIMS for n in RUNS], strict=True):
        stored = read_json(RUNS[name] / "metrics/comparison.json")
        assert row[1] == f"{improved[key] - rsvm[key]:+.2f}"
        assert row[2].startswith(f"{name}, {stored['n_seeds']} seed")
        assert row[3].startswith(f"{stored['improved'][key]['difference']:+.2f} ")


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"comparison.json"):
        against_paper({"x": tmp_path})
