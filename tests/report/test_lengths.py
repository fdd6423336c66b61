"""Tables over the length of a training: each figure in its place, dashes where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from tables import rows_of

from stemproof.core.errors import InputError
from stemproof.core.plain_yaml import parse_yaml
from stemproof.report.lengths import (
    BUDGETS,
    beyond,
    by_budget,
    by_choice,
    by_length,
    by_songs,
    of_mixtures,
    over_epochs,
)
from stemproof.report.stored_runs import LONG

HEAD = "system,epoch,split,si_sdr,bs,at_bs,rb,drop\n"
LENGTHS = (
    HEAD
    + "baseline,8,valid,10,1.0,0.5,0.5,0.25\n"
    + "baseline,16,valid,11,2.0,1.25,0.75,0.5\n"
    + "baseline,16,train,12,9.0,9.0,9.0,9.0\n"
    + "improved,8,valid,13,3.0,2.0,1.0,0.125\n"
)


def test_what_a_training_did_not_reach_is_a_dash(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text(LENGTHS)
    head, _, *rows = rows_of(by_length(tmp_path))
    assert head[:3] == ["system", "BS, 8", "BS, 16"]
    assert head[3:] == ["paired drop, 8", "paired drop, 16", "RB, 8", "RB, 16"]
    assert rows == [
        ["baseline", "1.00", "2.00", "0.25", "0.50", "0.50", "0.75"],
        ["improved", "3.00", "-", "0.12", "-", "1.00", "-"],
    ]


def test_choices_stand_beside_the_two_of_the_paper_after_that_length(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text(LENGTHS)
    (tmp_path / "choices.csv").write_text(HEAD + "other,8,valid,14,4.0,3.0,1.0,0.5\n")
    head, _, *rows = rows_of(by_choice(tmp_path))
    assert head == ["system", "epochs", "SI-SDR", "BS", "AT-BS", "RB", "paired drop"]
    assert rows == [
        ["baseline", "8", "10.00", "1.00", "0.50", "0.50", "0.25"],
        ["improved", "8", "13.00", "3.00", "2.00", "1.00", "0.12"],
        ["other", "8", "14.00", "4.00", "3.00", "1.00", "0.50"],
    ]


def test_trainings_that_went_on_stand_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "longer").mkdir()
    (tmp_path / "longer/lengths.csv").write_text(HEAD + "improved,100,valid,14,4.0,3.0,1.0,0.5\n")
    head, _, *rows = rows_of(beyond(tmp_path))
    assert head == ["system", "epochs", "SI-SDR", "BS", "AT-BS", "RB", "paired drop"]
    assert rows == [["improved", "100", "14.00", "4.00", "3.00", "1.00", "0.50"]]


def test_what_comes_back_stands_as_it_was_measured(tmp_path: Path) -> None:
    (tmp_path / "mixtures.csv").write_text(
        "system,epoch,vocals,accompaniment,mixture\nimproved,8,17.25,4.125,5.0\n"
    )
    head, _, row = rows_of(of_mixtures(tmp_path))
    assert head == ["system", "epochs", "vocals", "accompaniment", "mixture"]
    assert row == ["improved", "8", "17.25", "4.12", "5.00"]


SAME = ["17.00 [17.00, 17.00]", "7.00 [7.00, 7.00]"]


def test_trainings_on_fewer_songs_stand_beside_those_on_all(tmp_path: Path) -> None:
    (tmp_path / "curves.csv").write_text(
        "system,seed,epoch,valid_si_sdr,valid_bs\n"
        "baseline,1,8,15,5.5\nbaseline,2,8,16,6.5\nbaseline,1,16,17,7\nbaseline,2,16,17,7\n"
    )
    (tmp_path / "songs.csv").write_text(
        "songs,epoch,steps,valid_si_sdr,valid_bs\n"
        "40,16,960,14,4.5\n40,31,1860,1,1\n40,32,1920,14.25,4.75\n20,32,960,13,3.5\n"
    )
    head, _, *rows = rows_of(by_songs(tmp_path))
    assert head[1:] == [f"{key}, {n} steps" for n in (960, 1920) for key in ("SI-SDR", "BS")]
    assert rows == [
        ["80", "15.50 [15.00, 16.00]", "6.00 [5.50, 6.50]", *SAME],
        ["40", "14.00", "4.50", "14.25", "4.75"],
        ["20", "13.00", "3.50", "-", "-"],
    ]


def test_budgets_stand_in_order_beside_what_was_trained_without(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text(
        HEAD
        + "robust,8,valid,10,1.0,0.5,0.5,0.25\n"
        + "robust,16,valid,20,9.0,9.5,9.5,9.25\n"
        + "separation-only,8,valid,11,2.0,1.25,0.75,0.5\n"
    )
    (tmp_path / "budgets.csv").write_text(
        f"eps,weight,{HEAD}"
        + "0.3,2,strong,8,valid,12,3.0,2.0,1.0,0.5\n"
        + "0.1,8,heavy,8,valid,13,4.0,3.0,1.0,0.5\n"
        + "0.03,2,weak,8,valid,14,5.0,4.0,1.0,0.5\n"
    )
    head, _, *rows = rows_of(by_budget(tmp_path))
    assert head[:5] == ["system", "eps of training", "weight", "epochs", "SI-SDR"]
    assert [row[:5] for row in rows] == [
        ["separation-only", "0", "2", "8", "11.00"],
        ["weak", "0.03", "2", "8", "14.00"],
        ["robust", "0.1", "2", "8", "10.00"],
        ["heavy", "0.1", "8", "8", "13.00"],
        ["strong", "0.3", "2", "8", "12.00"],
    ]


def test_the_budgets_of_the_stored_systems_are_those_of_their_run() -> None:
    entries = parse_yaml((ROOT / LONG / "params.yaml").read_text(), "params.yaml")["separators"]
    for name, said in BUDGETS.items():
        adversarial = entries[name]["adversarial"]
        assert tuple(map(float, said)) == (adversarial["eps"], adversarial["weight"]), name


def test_spreads_are_of_the_last_epoch_that_all_reached(tmp_path: Path) -> None:
    rows = [
        f"{system},{seed},{epoch},0,0,{epoch + seed},{epoch}"
        for system, last in (("a", 34), ("baseline", 33))
        for seed in (1, 2)
        for epoch in range(1, last + 1)
    ]
    header = "system,seed,epoch,loss,snr,valid_si_sdr,valid_bs"
    (tmp_path / "curves.csv").write_text("\n".join([header, *rows]) + "\n")
    head_shown, _, first, second = rows_of(over_epochs(tmp_path))
    assert head_shown[1] == "SI-SDR, epoch 33" and head_shown[-1] == "BS, epoch 33"
    assert (first[0], second[0]) == ("baseline", "a")  # the reference comes first
    assert first[1] == "34.50 [34.00, 35.00]" and second[-1] == "33.00 [33.00, 33.00]"


def test_a_table_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "lengths.csv").write_text("system,epoch\nbaseline,8\n")
    with pytest.raises(InputError, match=r"lengths\.csv: it lacks split, si_sdr, .*restore it"):
        by_length(tmp_path)
    with pytest.raises(InputError, match=r"curves\.csv: no such file; restore it with git"):
        over_epochs(tmp_path)
