"""Break points on disk: a table of parts, unfinished work, and what does not belong together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from attack_toys import Counting, Crosstalk, Saturating, Told
from blind_cases import SILENT, stereo_data
from torch import Tensor

from stemproof.attacks import broken
from stemproof.attacks.breakpoints import BreakPoints
from stemproof.attacks.broken import (
    ABOUT,
    KEYS,
    TABLE,
    find_break_points,
    read_break_points,
    settings_of,
)
from stemproof.attacks.craft import case_of
from stemproof.attacks.store import Victim
from stemproof.attacks.threat import excerpts_for
from stemproof.core.errors import InputError
from stemproof.core.files import sha256
from stemproof.core.resume import drop
from stemproof.core.shards import WHOLE, Shard
from stemproof.data.store import PreparedData
from stemproof.separators.protocol import Side

MakeParams = Callable[..., Any]
CPU = torch.device("cpu")
LOUD = -30
# Parts of the test tracks in which a segment counts: the second segment of each is silent.
COUNTED = {"informed": {"test 0": 3, "test 1": 6, "test 2": 2}}
COUNTED["blind"] = {"test 0": 1, "test 1": 1, "test 2": 1}
COUNTED["excerpts"] = {"test 0": 2, "test 1": 4, "test 2": 2}
SYSTEMS: dict[str, Any] = {
    "informed": (Told(3.0), {}),
    "blind": (Crosstalk(3.0, channels=2), {}),
    "excerpts": (Crosstalk(3.0, channels=2), {"excerpt": 0.5}),
}


class Opaque(Saturating):
    """No gradient comes back, and none is asked for."""

    why_no_gradient = "a program of its own computes the vocals"

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert not mixture.requires_grad
        return super().separate(mixture)


class Bench:
    """One model whose break points are sought, and where things go."""

    def __init__(
        self, folder: Path, data: PreparedData, make_params: MakeParams, separator: Any, own: Any
    ) -> None:
        self.separator, self.own, self.data, self.make_params = separator, own, data, make_params
        folder.mkdir(exist_ok=True)
        self.model = folder / "model.safetensors"
        self.model.write_bytes(b"weights")
        self.work, self.destination = folder / "scratch", folder / "breaks/x/1"

    def params(self, batch: int = 4, seconds: float = 0.25, **breaks: Any) -> Any:
        own = {"batch": batch, "search": {"queries": 15}, **self.own}
        cut = {"loud_db": LOUD, "seconds": seconds}
        return self.make_params(
            attack=own, segments=cut, breaks={"steps": 3, "per_track": None, **breaks}
        )

    def run(self, shard: Shard = WHOLE, **changes: Any) -> pd.DataFrame:
        """Search, and give the table of parts."""
        params = self.params(**changes)
        sections = params.breaks, params.attack, params.segments
        victim = Victim("x-1", self.separator, self.model)
        find_break_points(*sections, victim, self.data, CPU, self.destination, self.work, shard)
        drop(self.work, "x-1")  # as the evaluation does
        return self.table()

    def table(self) -> pd.DataFrame:
        return pd.read_csv(self.destination / TABLE)

    def stored(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in self.destination.iterdir()}

    def read(self, **changes: Any) -> broken.BreakTable:
        params = self.params(**changes)
        settings = settings_of(params.breaks, params.attack, params.segments)
        data = self.data.fingerprint
        return read_break_points(self.destination, settings, sha256(self.model), data)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return stereo_data(tmp_path_factory.mktemp("stereo") / "prepared")


@pytest.fixture
def make_bench(tmp_path: Path, data: PreparedData, make_params: MakeParams) -> Callable[..., Bench]:
    def make(separator: Any, own: Any = None, name: str = "x") -> Bench:
        return Bench(tmp_path / name, data, make_params, separator, own or {})

    return make


@pytest.fixture(params=SYSTEMS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(make_bench: Callable[..., Bench], name: str) -> Bench:
    return make_bench(*SYSTEMS[name])


def test_what_is_stored(bench: Bench, name: str) -> None:
    """One row a part that counts, with what the search finds for that part by itself."""
    found = bench.run()
    assert found.groupby("track").size().to_dict() == COUNTED[name]
    assert SILENT not in set(found["track"])
    params = bench.params()
    excerpts = excerpts_for(
        bench.separator, bench.data.tracks("test"), params.segments, params.attack, 4000
    )
    for row in found.to_dict("records"):
        (number,) = (
            n
            for n, place in enumerate(excerpts.places)
            if excerpts.track(n) == row["track"] and place.number == row["part"]
        )
        case = case_of(params.attack, bench.separator, excerpts, [number], CPU)
        alone = BreakPoints(3)(case)
        assert row["clean"] == pytest.approx(-float(alone.clean), abs=1e-4)
        assert [row[key] for key in KEYS] == pytest.approx(alone.snr[0].tolist(), abs=1e-3)
        assert [row[f"reached_{key}"] for key in KEYS] == alone.reached[0].tolist()
        assert row["break_1db"] >= row["break_3db"] >= row["break_6db"]
    about = json.loads((bench.destination / ABOUT).read_text())
    assert about["gate"]["passed"] and about["data"] == bench.data.fingerprint
    assert about["threat"] == ("informed" if name == "informed" else "blind")
    assert not list(bench.work.glob("*/*.npy"))  # nothing is left behind
    read = bench.read()
    medians = found.groupby("track")[list(KEYS)].median()
    pd.testing.assert_frame_equal(read.tracks, medians.loc[read.tracks.index])
    assert read.counts["n_break_parts"] == len(found)
    assert read.counts["n_unbroken"] == 0


@pytest.mark.parametrize(
    ("per_track", "parts"), [(1, {4}), (2, {2, 5}), (3, {2, 4, 6}), (99, {0, 2, 3, 4, 5, 6})]
)
def test_parts_are_spread_over_the_track(
    make_bench: Callable[..., Bench], per_track: int, parts: set[int]
) -> None:
    """Of the segments 0, 2, 3, 4, 5, 6, which count: the middles of so many equal shares."""
    found = make_bench(*SYSTEMS["informed"]).run(per_track=per_track)
    of_track = {track: set(rows["part"]) for track, rows in found.groupby("track")}
    assert of_track["test 1"] == parts
    counts = {t: min(per_track, count) for t, count in COUNTED["informed"].items()}
    assert {track: len(chosen) for track, chosen in of_track.items()} == counts


class Killed:
    """Stands in for the search, and ends the run in one of its calls."""

    def __init__(self, search: Any, fatal: int = 0) -> None:
        self.search, self.fatal, self.calls = search, fatal, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls == self.fatal:
            raise KeyboardInterrupt
        return self.search(*arguments)


def test_a_killed_run_goes_on_to_the_same_bytes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Killed(broken._searched)
    monkeypatch.setattr(broken, "_searched", whole)
    bench.run(batch=1)
    expected = bench.stored()
    shutil.rmtree(bench.destination)
    killed = Killed(whole.search, 3)
    monkeypatch.setattr(broken, "_searched", killed)
    with pytest.raises(KeyboardInterrupt):
        bench.run(batch=1)
    assert not bench.destination.exists()
    # Of what is there one file is damaged.
    (folder,) = bench.work.iterdir()
    done = sorted(folder.glob("*.npy"))
    assert len(done) == 2
    done[0].write_bytes(done[0].read_bytes()[:-3])
    again = Killed(whole.search)
    monkeypatch.setattr(broken, "_searched", again)
    capsys.readouterr()
    bench.run(batch=1)
    assert bench.stored() == expected
    assert again.calls == whole.calls - 1
    assert f"{done[0]}: damaged, computing it again" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["steps", "weights", "seconds"])
def test_unfinished_work_of_another_run_is_not_gone_on_with(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    bench = make_bench(*SYSTEMS["informed"])
    search = broken._searched
    monkeypatch.setattr(broken, "_searched", Killed(search, 2))
    with pytest.raises(KeyboardInterrupt):
        bench.run(batch=1)
    changes: dict[str, Any] = {"steps": 4} if change == "steps" else {}
    if change == "weights":
        bench.model.write_bytes(b"other weights")
    if change == "seconds":
        changes = {"seconds": 0.2}
    count = Killed(search)
    monkeypatch.setattr(broken, "_searched", count)
    found = bench.run(batch=1, **changes)
    assert count.calls == len(found)


class Alone(Shard):
    """One of two processes that do not run at the same time."""

    def wait(self) -> None:
        pass


def test_two_processes_share_the_parts(bench: Bench, make_bench: Any, name: str) -> None:
    bench.run(batch=2)
    whole = bench.stored()
    shared = make_bench(*SYSTEMS[name], name="shared")
    with pytest.raises(FileNotFoundError):  # the first one stores what all found
        shared.run(Alone(1, 2), batch=2)
    assert not shared.destination.exists()
    shared.run(Alone(0, 2), batch=2)
    assert shared.stored() == whole


def test_the_first_process_misses_what_another_has_not_done(bench: Bench) -> None:
    with pytest.raises(InputError, match=r"\.npy: gone while it was needed; run it again"):
        bench.run(Alone(0, 2), batch=1)


def test_the_batch_changes_no_break_point(bench: Bench) -> None:
    tables: list[pd.DataFrame] = []
    for batch in (1, 3, 64):
        tables.append(bench.run(batch=batch))
        bench.read(batch=batch)
        bench.read(batch=7)  # a parameter without effect
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], check_exact=False, rtol=0, atol=1e-3)


def test_what_was_made_with_something_else_is_refused(bench: Bench) -> None:
    bench.run()
    again = "run find-break-points again"
    with pytest.raises(InputError, match=rf"made with breaks.steps = 3, but .* says 4; {again}"):
        bench.read(steps=4)
    with pytest.raises(InputError, match=rf"made with segments.seconds = 0.25, .* 0.2; {again}"):
        bench.read(seconds=0.2)
    others = {"seed": 9, "eot_samples": 3, "mask": "recomputed", "search": {"queries": 16}}
    for key, value in {**others, "without_gradient": ["noise"]}.items():
        own, bench.own = bench.own, {**bench.own, key: value}
        with pytest.raises(InputError, match=rf"made with attack.{key}.* = .*; {again}"):
            bench.read()
        bench.own = own
    # There is no budget: parameters of it make no difference.
    bench.own = {**bench.own, "eps": 0.5, "method": "fgsm", "norm": "l2", "loss": "mse"}
    bench.read()
    bench.model.write_bytes(b"other weights")
    with pytest.raises(InputError, match=f"of another model than the adversarials; {again}"):
        bench.read()
    about = json.loads((bench.destination / ABOUT).read_text())
    bench.run()
    bench.read()
    own, bench.data.fingerprint = bench.data.fingerprint, "of other songs"
    with pytest.raises(InputError, match=f"of other recordings than the adversarials; {again}"):
        bench.read()
    bench.data.fingerprint = own
    (bench.destination / ABOUT).write_text(json.dumps({**about, "format": 0}))
    with pytest.raises(InputError, match=f"format 0, this one reads from 1 on; {again}"):
        bench.read()
    shutil.rmtree(bench.destination)
    with pytest.raises(InputError, match="run the stage that writes it first"):
        bench.read()


def test_a_black_box_is_searched_without_a_gradient(
    make_bench: Callable[..., Bench], capsys: pytest.CaptureFixture[str]
) -> None:
    bench = make_bench(Opaque(3.0, channels=2))
    found = bench.run()
    assert "x-1: no white-box attack: no gradient: a program of its own" in capsys.readouterr().out
    about = json.loads((bench.destination / ABOUT).read_text())
    assert not about["gate"]["passed"]
    open_one = make_bench(Saturating(3.0, channels=2), name="open").run()
    assert (found["break_1db"] < open_one["break_1db"]).all()
    assert found["clean"].tolist() == pytest.approx(open_one["clean"].tolist(), abs=1e-4)
    # It hangs on what is searched with, and a white-box search does not ask for it.
    with pytest.raises(InputError, match=r"breaks.snr = 30.0, but params.yaml says 20.0"):
        bench.read(snr=20.0)


def test_what_no_perturbation_breaks_is_counted(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(Crosstalk(3.0, channels=2))
    found = bench.run(loudest=40.0)
    unbroken = (found[[f"reached_{key}" for key in KEYS]] == 0).any(axis=1).sum()
    assert unbroken > 0
    read = bench.read(loudest=40.0)
    assert read.counts == {"n_break_parts": len(found), "n_unbroken": unbroken}
    assert (found["break_6db"] >= 40).all()


def test_what_is_not_a_number_names_its_recordings(make_bench: Callable[..., Bench]) -> None:
    class Broken(Counting):
        """From its first pass over a batch on."""

        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return super().separate(mixture) / (1 if len(mixture) == 1 else 0)

    bench = make_bench(Broken(3.0, channels=2), {"excerpt": 0.5})
    with pytest.raises(InputError, match=r"test \d: output, loss or gradient is not a number"):
        bench.run(batch=64)


def test_no_segment_that_counts_is_an_error(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "LOUD", 99)
    with pytest.raises(InputError, match=r"no test segment has audible vocals.*loud_db"):
        make_bench(*SYSTEMS["informed"]).run()
