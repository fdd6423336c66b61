"""What cannot be written is named with its cure, and what stood there stays."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from stemproof.core.errors import InputError, RefusedError
from stemproof.core.files import (
    write_array,
    write_csv,
    write_json,
    write_text,
    written_aside,
)
from stemproof.core.ownership import fresh_directory, move_file
from stemproof.separators import checkpoint
from stemproof.separators.registry import find_kind
from stemproof.separators.rsvm.state import save_state

Access = Callable[[Path], Any]


def one_line(error: BaseException) -> str:
    said = str(error)
    assert "\n" not in said
    assert "?" not in said
    return said


def write_model(path: Path) -> None:
    settings = {"window": 128, "hop": 32, "sample_rate": 4000}
    kind = find_kind("stft")
    checkpoint.save(path, kind, torch.nn.Linear(1000, 1000), "x", 0, settings, trained=False)


def write_resumed(path: Path) -> None:
    class Parts:
        def __init__(self, **parts: Any) -> None:
            self.__dict__.update(parts)

        def state_dict(self) -> Any:
            return {"weight": torch.zeros(200_000)}

    fabric = Parts(strategy=Parts(precision=Parts()))
    save_state(path, "run", Parts(module=Parts()), Parts(), fabric, [])  # type: ignore[arg-type]


def write_wav(path: Path) -> None:
    with written_aside(path.with_suffix(".wav")) as temporary:
        soundfile.write(str(temporary), np.zeros(500_000), 44_100)


WRITERS: dict[str, Access] = {
    "text": lambda path: write_text(path, "x" * 500_000),
    "json": lambda path: write_json(path, {"x": "x" * 500_000}),
    "table": lambda path: write_csv(path, ["x"], [["x" * 500_000]]),
    "array": lambda path: write_array(path, np.zeros(500_000, np.float32)),
    "model": write_model,
    "resumed": write_resumed,
    "wav": write_wav,
}


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small file system of its own, where this user may."""
    folder = tmp_path / "mounted"
    folder.mkdir()

    def mount(*options: str) -> Path:
        command = ["mount", *options, "-t", "tmpfs", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this user may not mount a file system")
        return folder

    yield lambda options: mount("-o", options)
    if folder.is_mount():
        # Lazy: a traceback that pytest keeps may hold a file open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_called_full(
    mounted: Callable[[str], Path], tmp_path: Path, writer: str
) -> None:
    folder = mounted("size=256k")
    path = folder / ("old.wav" if writer == "wav" else "old")
    path.write_text("old")
    with pytest.raises(RefusedError) as error:
        WRITERS[writer](path)
    said = f"{path}: cannot be written (No space left on device); free some space and run again"
    assert one_line(error.value) == said
    assert path.read_text() == "old"
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_read_only_file_system(mounted: Callable[[str], Path], writer: str) -> None:
    folder = mounted("ro")
    with pytest.raises(RefusedError) as error:
        WRITERS[writer](folder / "new.wav")
    said = one_line(error.value)
    assert said.startswith(f"{folder}/new.wav: cannot be written (Read-only file system); ")
    assert "mount it for writing" in said
    with pytest.raises(RefusedError, match="mount it for writing"):
        WRITERS[writer](folder / "new" / "file.wav")
    with pytest.raises(RefusedError, match="mount it for writing"):
        fresh_directory(folder / "new")


@pytest.mark.parametrize("call", ["mkdir", "mkstemp", "replace", "fsync"])
def test_permission_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/somewhere/.tmp1")

    place = {"mkdir": "pathlib.Path.mkdir", "mkstemp": "tempfile.mkstemp", "fsync": "os.fsync"}
    monkeypatch.setattr(place.get(call, "pathlib.Path.replace"), refuse)
    with pytest.raises(RefusedError) as error:
        write_text(tmp_path / "file", "text")
    said = "(Permission denied); give this user permission to write to its folder"
    assert one_line(error.value) == f"{tmp_path}/file: cannot be written {said}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("writer", WRITERS)
def test_what_stands_where_a_result_belongs(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "result.wav"
    path.mkdir()
    with pytest.raises(RefusedError, match=r"result.wav: cannot be written .*move the folder away"):
        WRITERS[writer](path)
    assert list(tmp_path.iterdir()) == [path]
    path.rmdir()
    path.write_text("")
    with pytest.raises(RefusedError, match=r"result.wav stands where a folder belongs"):
        WRITERS[writer](path / "below" / "file.wav")
    with pytest.raises(RefusedError, match=r"result.wav stands where a folder belongs"):
        fresh_directory(path)


def test_a_fault_of_the_program_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes do not fit"), written_aside(tmp_path / "file"):
        raise RuntimeError("shapes do not fit")
    assert not list(tmp_path.iterdir())


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def recorded(handle: int) -> None:
        seen = os.fstat(handle)
        done.append("folder" if stat.S_ISDIR(seen.st_mode) else f"file of {seen.st_size}")
        sync(handle)

    def renamed(*arguments: Any) -> None:
        done.append("rename")
        replace(*arguments)

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(os, "replace", renamed)
    write_text(tmp_path / "file", "text")
    assert done == ["file of 4", "rename", "folder"]


def test_a_file_is_not_moved_into_a_folder_of_its_name(tmp_path: Path) -> None:
    source, target = tmp_path / "a.npy", tmp_path / "b.npy"
    source.write_bytes(b"1")
    target.mkdir()
    with pytest.raises(InputError, match=r"b\.npy: cannot be written \(Is a directory\); a file"):
        move_file(source, target)
    assert source.read_bytes() == b"1" and not list(target.iterdir())
    target.rmdir()
    target.write_bytes(b"old")
    move_file(source, target)
    assert target.read_bytes() == b"1" and not source.exists()
