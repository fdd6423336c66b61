"""Metrics and plots that somebody edited: one sentence, or the report as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import AllParams
from edited import DELETED, OTHERS, changed, places
from scored_cases import Blind, evaluated, informed, oracle
from test_mixed import reported

from stemproof.core.errors import InputError
from stemproof.report import illustrations
from stemproof.report.build import Sources, build_report
from stemproof.report.drawing import Picture
from stemproof.report.shown import curves, figures
from stemproof.report.threats import Settings

MakeParams = Callable[..., AllParams]
NAMES = {"rsvm": True, "other": True, "toy": False}
# Texts that are printed as they are, and measurements that an audit may be without: of these the
# form of the file says that they were not made, or that what was put out had collapsed.
FREE = ("source", "device", "kind", "parameters", "reasons")
MAY_BE_ABSENT = ("minimal_snr", "sparse", "universal", "black_box", "masks", "transfer")


def numbers_of(value: Any) -> str:
    """All numbers that a picture would be drawn from."""
    if isinstance(value, pd.DataFrame):
        return value.to_csv()
    if is_dataclass(value):
        value = vars(value)
    if isinstance(value, Mapping):
        return "".join(f"{key}: {numbers_of(part)}" for key, part in value.items())
    return repr(value)


def lines(what: Any, places: Any) -> Picture | None:
    tables = {n: t[[what.x, what.y]] for n, t in what.tables.items() if what.y in t}
    return Picture(numbers_of(tables), what.caption) if tables else None


def instead(*shown: Any) -> Picture:
    """What stands for a picture, which takes long to draw."""
    return Picture("".join(map(numbers_of, shown)), "")


class Run:
    """The files of a run, and the report of them."""

    def __init__(self, folder: Path, params: AllParams) -> None:
        systems = {
            "rsvm": {seed: evaluated(folder, informed(seed), oracle()) for seed in (1, 2)},
            "other": {1: evaluated(folder, informed(3), oracle())},
            "toy": {1: evaluated(folder, Blind())},
        }
        self.metrics, self.plots = folder / "metrics", folder / "plots"
        reported(folder, params, systems, NAMES)
        self.settings = Settings(params.attack, params.segments, params.statistics, {"a": 1})
        self.whole = self.report()
        assert isinstance(self.whole, dict)

    def report(self) -> dict[str, str] | str:
        """The report, or the sentence that refuses a file."""
        named = {name: self.metrics / f"{name}.json" for name in NAMES}
        files = {name: self.metrics / f"{name}.json" for name in ("data", "comparison", "audit")}
        where = {"environment": self.metrics / "environment.json", "plots": self.plots}
        try:
            sources = Sources(systems=named, **files, **where)
            pages = build_report(self.settings, sources)
            # What DVC shows is written with the report.
            return {**pages, **curves(sources), "figures": str(figures(sources))}
        except InputError as error:
            said = str(error)
            assert said.startswith((str(self.metrics), str(self.plots)))
            assert "; " in said and "\n" not in said
            return said

    def with_text(self, file: Path, text: str) -> dict[str, str] | str:
        """What comes of a file with another content."""
        whole = file.read_text()
        try:
            file.write_text(text)
            return self.report()
        finally:
            file.write_text(whole)


@pytest.fixture
def run(tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(illustrations, "lines", lines)
    for name in ("tracks", "robustness", "heat_map"):
        monkeypatch.setattr(illustrations, name, instead)
    return Run(tmp_path, make_params())


@pytest.mark.slow
def test_keys_that_are_missing_or_of_another_type(run: Run) -> None:
    """No traceback, and no page that says another thing than the run."""
    refused = 0
    for file in sorted([*run.metrics.glob("*.json"), *run.plots.glob("audit/*.json")]):
        if file.stem == "other":  # the form is that of the first
            continue
        tree = json.loads(file.read_text())
        for place in places(tree):
            for value in OTHERS:
                found = run.with_text(file, changed(tree, place, value))
                refused += isinstance(found, str)
                if isinstance(found, dict) and found != run.whole:
                    free = value == "text" and any(key in FREE for key in place)
                    counted = value is DELETED and place[-1] == "parameters"
                    absent = (value is DELETED or isinstance(value, dict)) and (
                        place[0] in MAY_BE_ABSENT
                    )
                    assert free or counted or absent, (file.name, place, value)
    assert refused > 500


@pytest.mark.parametrize(
    ("file", "place", "value", "said"),
    [
        ("metrics/rsvm.json", ("bs",), DELETED, "bs neither there nor without a value; run comp"),
        ("metrics/rsvm.json", ("bs",), "5.0", "bs = '5.0' is not allowed"),
        ("metrics/rsvm.json", ("si_sdr",), DELETED, "si_sdr_low stands alone; run compare again"),
        ("metrics/rsvm.json", ("seeds", "1", "rb"), DELETED, "seed 1 lacks figures"),
        ("metrics/rsvm.json", ("training",), {}, "seeds or training are of others"),
        ("metrics/rsvm.json", ("n_tracks",), 4, "table per track is of others, or has gaps"),
        (
            "metrics/rsvm.json",
            ("format",),
            2,
            "format 2 of a newer release; .* up to 1: upd",
        ),
        ("metrics/rsvm.json", ("bsseval",), None, "bsseval = None is not allowed"),
        ("metrics/comparison.json", ("other",), DELETED, "not the comparison of rsvm, other, toy"),
        ("metrics/comparison.json", ("other", "rb"), DELETED, "other has no rb; run compare again"),
        ("metrics/comparison.json", ("other", "rb", "low"), DELETED, "some are there and some not"),
        ("metrics/audit.json", ("toy",), DELETED, "of rsvm, other, not of rsvm, other, toy; run a"),
        ("metrics/audit.json", ("toy", "flags_raised"), 1, "but the reasons say otherwise"),
        ("metrics/audit.json", ("toy", "reasons", 0, 1), "raised", "neither RAISED nor clear"),
        (
            "metrics/data.json",
            ("test", "tracks"),
            "3",
            "test.tracks = '3' is not .*prepare-mu",
        ),
        ("plots/audit/rsvm.json", ("black_box",), DELETED, "black_box is missing; run audit again"),
    ],
)
def test_what_is_wrong_is_named_with_its_stage(
    run: Run, file: str, place: tuple[Any, ...], value: Any, said: str
) -> None:
    path = run.metrics.parent / file
    found = run.with_text(path, changed(json.loads(path.read_text()), place, value))
    assert isinstance(found, str) and re.search(said, found), found
    assert found.startswith(f"{path}: ")


@pytest.mark.slow
def test_tables_that_were_cut_or_edited(run: Run) -> None:
    for file in sorted(run.plots.rglob("*.csv")):
        text = file.read_text()
        header, *rows = text.splitlines()
        cells = rows[-1].split(",")
        worse = {
            "empty": "",
            "cut in a row": text.rstrip().rpartition(",")[0] + "\n",
            "a cell too many": text.rstrip() + ",3\n",
            "a column twice": f"{header.rpartition(',')[0]},{header.split(',')[0]}\n{rows[0]}\n",
            "a row twice": text + rows[-1] + "\n",
            "half a quotation": text.rstrip() + '"\n',
        }
        for word in ("text", "inf", "-inf", "1e999", "NaN", "0x10", "1_0"):
            worse[word] = "\n".join([header, *rows[:-1], ",".join([*cells[:-1], word])]) + "\n"
        if file.parent.name != "audit":
            worse["no rows"] = header + "\n"
        for what, content in worse.items():
            found = run.with_text(file, content)
            assert isinstance(found, str), (file, what)
            assert found.startswith(f"{file}: ") or "table per track" in found, (file, what)
