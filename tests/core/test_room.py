"""A stage says what it will take, and does not begin what cannot end for want of disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from conftest import AllParams
from scored_cases import Told
from small import attack, make, score

from stemproof.attacks import broken, store
from stemproof.attacks.broken import find_break_points
from stemproof.attacks.store import Victim
from stemproof.core import room
from stemproof.core.errors import InputError
from stemproof.data import prepare as preparing
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.figures.played import Played
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


def test_what_is_held_in_memory_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "memory", lambda: 8_000_000_000)
    room.announce_held("audit", 8_000_000_000, "lower audit.segments")
    assert capsys.readouterr() == ("", "audit: at least 8.0 GB of memory\n")
    said = "audit holds 8.1 GB of signals at once, and this machine has 8.0 GB of memory; lower a"
    with pytest.raises(InputError, match=said):
        room.announce_held("audit", 8_100_000_000, "lower audit.segments")
    monkeypatch.setattr(room, "memory", lambda: None)
    room.announce_held("audit", 10**18, "")


def test_the_memory_of_a_machine_and_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = psutil.virtual_memory().total + psutil.swap_memory().total
    found = room.memory()
    assert found is None or 0 < found <= whole
    files = {"/proc/meminfo": "MemTotal:  1000 kB\nHugePages:  0\nSwapTotal:  24 kB\n"}

    def read(path: Path) -> str:
        if str(path) not in files:
            raise FileNotFoundError
        return files[str(path)]

    monkeypatch.setattr(Path, "read_text", read)
    assert room.memory() == 1024 * 1024
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert room.memory() == 1024 * 1024
    files["/sys/fs/cgroup/memory.max"] = "5000\n"
    assert room.memory() == 5000
    files["/proc/meminfo"] = "in another form"
    assert room.memory() == 5000
    files.clear()
    assert room.memory() is None


@pytest.mark.parametrize("batch", [2, 100])
def test_signals_of_an_evaluation(
    songs: Path,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    batch: int,
) -> None:
    """What is said is held, byte for byte; a machine with less begins nothing."""
    params = make_params(data={"root": str(songs)}, evaluate={"batch": batch, "noise_draws": 3})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    stored = attack(params, Told(), data, tmp_path)
    played: list[int] = []
    honest = Evaluator.play

    def watched(evaluator: Evaluator, *signals: Any) -> Played:
        found = honest(evaluator, *signals)
        held = [found.mixture, found.vocals, found.adversarial, found.clean, found.attacked]
        played.append(sum(signal.nbytes for signal in (*held, *found.noisy)))
        return found

    monkeypatch.setattr(Evaluator, "play", watched)
    capsys.readouterr()
    score(params, Told(), data, stored)
    held = max(played) + 3 * max(np.load(file).nbytes for file in stored.files.values())
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"evaluate x: at least {room.in_words(held)} of memory"
    monkeypatch.setattr(room, "memory", lambda: held)
    score(params, Told(), data, stored)
    monkeypatch.setattr(room, "memory", lambda: held - 1)
    monkeypatch.setattr(Evaluator, "play", never)
    with pytest.raises(InputError, match="evaluate x holds .*; lower evaluate.batch, or attack.ex"):
        score(params, Told(), data, stored)


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
    (tmp_path / "x").write_bytes(b"")
    monkeypatch.setattr(broken, "case_of", never)
    with pytest.raises(InputError, match="break points x writes 56 bytes, and its file system has"):
        find_break_points(
            params.breaks,
            params.attack,
            params.segments,
            Victim("x", as_separator(model), tmp_path / "x"),
            data,
            torch.device("cpu"),
            tmp_path / "breaks",
            tmp_path / "scratch",
        )


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
