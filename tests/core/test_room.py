"""A stage says what it will take, and does not begin what cannot end for want of disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import AllParams
from small import attack, make

from stemproof.attacks import store
from stemproof.core import room
from stemproof.core.errors import InputError
from stemproof.data import prepare as preparing
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.separators.rsvm import train as training
from stemproof.separators.rsvm.separator import as_separator

MakeParams = Callable[..., AllParams]


def full(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("work was begun")


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (9_940, "9.9 kB"),
        (340e6, "340 MB"),
        (999.6e6, "1.0 GB"),
        (1.24e9, "1.2 GB"),
        (5e15, "5000 TB"),
    ],
)
def test_sizes_in_words(size: int, said: str) -> None:
    assert room.in_words(size) == said


def test_what_a_stage_will_take_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    room.announce("evaluate", tmp_path / "not/there/yet", 340_000_000, 1_200_000_000)
    out, said = capsys.readouterr()
    assert (out, said) == (
        "",
        "evaluate: about 1.2 GB of memory, at least 340 MB of disk\n",
    )
    full(monkeypatch, 339_000_000)
    with pytest.raises(InputError, match="evaluate writes 340 MB, and its file system has 339 MB"):
        room.announce("evaluate", tmp_path / "not/there/yet", 340_000_000)
    full(monkeypatch, 340_000_000)
    room.announce("evaluate", tmp_path, 340_000_000)


def test_memory_grows_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    before = room.peak_memory()
    assert before is None or before > 50e6  # PyTorch is in it
    monkeypatch.setattr(room, "peak_memory", lambda: 150)
    assert room.grown(100, 4) == 100 + 4 * 50
    assert room.grown(100, 0.5) == 150  # never less than it has taken
    assert room.grown(None, 4) is None


def test_no_work_is_begun_on_a_full_disk(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params(data={"root": str(songs)})
    with monkeypatch.context() as patch:
        full(patch, 10)
        patch.setattr(preparing, "_prepare_track", never)
        with pytest.raises(InputError, match="prepare writes .* and its file system has 10 bytes"):
            prepare(params.data, params.segments, 1, tmp_path / "prepared")
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    with monkeypatch.context() as patch:
        full(patch, 10)
        patch.setattr(training, "step_terms", never)
        with pytest.raises(InputError, match="train baseline writes "):
            make(params, data, tmp_path / "a.ckpt", "baseline")
    model = make(params, data, tmp_path / "a.ckpt", "baseline").model
    # Of a training that goes on, the state stands there already.
    full(monkeypatch, 10)
    make(params, data, tmp_path / "a.ckpt", "baseline")
    with monkeypatch.context() as patch:
        patch.setattr(store, "craft", never)
        with pytest.raises(InputError, match="x writes "):
            attack(params, as_separator(model), data, tmp_path)


def test_the_disk_is_that_of_what_is_written(
    songs: Path,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is said is a lower bound, and nearly all; a run that goes on writes only the rest."""
    params = make_params(data={"root": str(songs)}, attack={"batch": 3})
    said: dict[str, int] = {}

    def heard(name: str, folder: Path, disk: int, memory: int | None = None) -> None:
        said[name] = disk

    for module in (preparing, training, store):
        monkeypatch.setattr(module, "announce", heard)
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    written = sum(file.stat().st_size for file in (tmp_path / "prepared").glob("*.npy"))
    # 16 bits become 32; two stems.
    assert 0.45 * written < said["prepare"] <= written
    model = make(params, data, tmp_path / "a.ckpt", "baseline").model
    assert 0.5 * said["train baseline"] < (tmp_path / "a.ckpt").stat().st_size
    separator = as_separator(model)
    honest, calls = store.craft, 0

    def killed(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return honest(*arguments)

    monkeypatch.setattr(store, "craft", killed)
    with pytest.raises(KeyboardInterrupt):
        attack(params, separator, data, tmp_path)
    whole = said["x"]
    stored = attack(params, separator, data, tmp_path)
    assert said["x"] == whole // 2  # one of two tracks was done
    sizes = [np.load(file).nbytes for file in stored.files.values()]
    assert sum(sizes) == whole
    capsys.readouterr()
