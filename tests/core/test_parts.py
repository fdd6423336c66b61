"""Parts of a stage's work stand until a later stage drops them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from stemproof.core.resume import Parts, begun, drop, finished


def test_parts_are_computed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = Parts(tmp_path, "x-1", {"eps": 0.1}, [1])
    figures = {"a": 0.1 + 0.2, "b": -math.inf, "c": [1, None, "ä"], "d": {"1": 5e-324}}
    assert parts.find("song") is None
    assert parts.of("song", lambda: figures) == figures
    again = Parts(tmp_path, "x-1", {"eps": 0.1}, [1])
    assert again.of("song", lambda: 1 / 0) == figures
    assert math.isnan(again.of("nan", lambda: [math.nan])[0])
    # Other inputs, other parts.
    for other in (Parts(tmp_path, "x-1", {"eps": 0.2}, [1]), Parts(tmp_path, "y-1", {"eps": 0.1})):
        assert other.find("song") is None
    assert capsys.readouterr().out == ""
    for file in again.folder.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    assert again.of("song", lambda: "anew") == "anew"
    assert "damaged, computing it again" in capsys.readouterr().out


def test_only_finished_work_is_dropped(tmp_path: Path) -> None:
    done, other = Parts(tmp_path, "x-1", 1), Parts(tmp_path, "x-1", 2)
    longer = Parts(tmp_path, "x-11", 1)
    for parts in (done, other, longer):
        parts.keep("song", 1)
    for parts in (done, longer):
        parts.finished()
    (tmp_path / "x-1.ckpt").write_text("state")
    drop(tmp_path, "x-1")
    assert not done.folder.exists()
    assert other.find("song") == longer.find("song") == 1  # another run, another model
    assert (tmp_path / "x-1.ckpt").exists()
    finished(tmp_path / "x-1.ckpt")
    begun(tmp_path / "x-1.ckpt")
    drop(tmp_path, "x-1")
    assert (tmp_path / "x-1.ckpt").exists()
    finished(tmp_path / "x-1.ckpt")
    drop(tmp_path, "x-1")
    assert {file.name for file in tmp_path.iterdir()} == {
        other.folder.name,
        longer.folder.name,
        f"{longer.folder.name}.finished",
    }
    # What is anyone else's stays.
    (longer.folder / "mine.json").write_text("mine")
    drop(tmp_path, "x-11")
    assert [file.name for file in longer.folder.iterdir()] == ["mine.json"]
    finished(tmp_path / "nothing")
    assert not (tmp_path / "nothing.finished").exists()
