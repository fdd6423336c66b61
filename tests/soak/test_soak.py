"""Whatever kills a stage, and whenever: the same bytes in the end, and one unit of work again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak import Counts, Soak
from soaked import new_project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    soak = Soak.prepared(tmp_path_factory.mktemp("soak"))
    yield soak
    soak.zygote.close()


def test_stages_that_are_killed_lose_nothing(soak: Soak, tmp_path: Path) -> None:
    counts = Counts()
    soak.disturbed(tmp_path / "run", random.Random(15), 2, counts)
    assert counts.faults == []
    assert sum(counts.kills.values()) == 2 * len(soak.stages)
    assert set(counts.kills) == {stage.name for stage in soak.stages}
    assert max(counts.repeated.values()) <= 1


@pytest.mark.parametrize("script", ["evaluate", "audit", "compare"])
def test_a_kill_before_any_rename_loses_nothing(soak: Soak, tmp_path: Path, script: str) -> None:
    """Everything is written, and nothing has its name yet; or a part has."""
    folder = new_project(tmp_path / "run", soak.params)
    counts = Counts()
    for stage in soak.stages:
        if stage.script == script:
            break
        assert soak.zygote.run(folder, stage).code == 0
    changes = soak.whole[stage.name].changes
    renames = sum(line.startswith("os.rename") for line in changes)
    assert renames >= 5
    for number in range(1, renames + 1):
        ran = soak.start(folder, stage, {"die_at": number, "kind": "os.rename"})
        if ran.code == 0:  # a marker that says the same is not written again
            assert number > renames - 5
            break
        assert ran.code == -9
        soak.check_whole(folder, stage, counts)
        # Of the next run no work is left over: it is another first run.
        ran = soak.start(folder, stage, {})
        assert ran.code == 0, ran.said
        soak.compare(folder, stage, counts)
        soak.forget(folder)
    assert counts.faults == []


def test_the_driver_sees_what_is_lost(soak: Soak, tmp_path: Path) -> None:
    """A result that a kill spoils is a fault; so is work that is done again."""
    folder = new_project(tmp_path / "run", soak.params)
    stage = soak.stages[0]
    assert soak.zygote.run(folder, stage).code == 0
    counts = Counts()
    soak.compare(folder, stage, counts)
    assert counts.faults == []
    song = next((folder / "data/demo").rglob("mixture.wav"))
    song.write_bytes(song.read_bytes()[:-1])
    soak.compare(folder, stage, counts)
    soak.check_whole(folder, stage, counts)
    assert [fault.rpartition("wav ")[2] for fault in counts.faults] == [
        "differs from that of a whole run",
        "is not whole after a kill",
    ]
    ended = soak.zygote.run(folder, stage, die_at=40)
    assert ended.code == -9 and len(ended.changes) == 40
    ended = soak.zygote.run(folder, stage, kill_after=0.05)
    assert ended.code == -9
