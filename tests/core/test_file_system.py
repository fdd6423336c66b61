"""What the file system refuses is named with its cure, and never taken for damage."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, SMALL, default_tree, merged
from rsvm import slots
from rsvm.errors import InputError, RefusedError, explained, told
from rsvm.evaluate import remembered
from rsvm.files import (
    fresh_directory,
    is_there,
    read_array,
    read_json,
    read_table,
    sha256,
    write_array,
    write_csv,
    write_json,
    write_text,
    written_aside,
)
from rsvm.model.checkpoint import load_model, save_model
from rsvm.model.rsvm import build_model
from rsvm.params import Params, load_params
from rsvm.published import load_published
from rsvm.slots import claim_gpu
from rsvm.train import _load_checkpoint, _save_checkpoint

MakeParams = Callable[..., Params]
Access = Callable[[Path], Any]


def one_line(error: BaseException) -> str:
    said = str(error)
    assert "\n" not in said
    assert "?" not in said
    return said


# ---------------------------------------------------------------- reading


def read_resumed(path: Path) -> Any:
    return _load_checkpoint(path, "run", None, None, None)  # type: ignore[arg-type]


READERS: dict[str, Access] = {
    "json": read_json,
    "array": read_array,
    "table": read_table,
    "hash": sha256,
    "params": load_params,
    "published": lambda path: load_published(path, path),
    "resumed": read_resumed,
    "remembered": lambda path: remembered(path, "run"),
    "model": lambda path: load_model(path, load_params(ROOT / "params.yaml"), "baseline", 218),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.EACCES, "give this user permission to read it"),
        (errno.EPERM, "give this user permission to read it"),
        (errno.EIO, "check the disk"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOMEM, "lower runtime.workers"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, number: int, cure: str
) -> None:
    path = tmp_path / "file"
    path.write_text("{}")
    real = pathlib.Path.open

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path:
            raise OSError(number, os.strerror(number), str(path))
        return real(self, *arguments, **options)

    monkeypatch.setattr(pathlib.Path, "open", refuse)
    with pytest.raises(RefusedError) as error:
        READERS[reader](path)
    said = one_line(error.value)
    assert said.startswith(f"{path}: cannot be read ({os.strerror(number)}); ")
    assert cure in said
    assert "damaged" not in said
    assert "delete" not in said
    assert path.stat().st_size == 2  # and it is still there


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("kind", "cure"),
    [
        ("a folder", "a file belongs there: move the folder away"),
        ("below a file", "way stands where a folder belongs: move it away"),
        ("a loop", "its links lead in a circle"),
        ("a long name", "shorten the name"),
    ],
)
def test_what_stands_where_a_file_belongs(
    tmp_path: Path, reader: str, kind: str, cure: str
) -> None:
    path = tmp_path / "way" / ("x" * 300 if kind == "a long name" else "file")
    if kind == "below a file":
        path.parent.write_text("")
    else:
        path.parent.mkdir()
    if kind == "a folder":
        path.mkdir()
    if kind == "a loop":
        path.symlink_to(path)
    with pytest.raises(RefusedError) as error:
        READERS[reader](path)
    said = one_line(error.value)
    assert said.startswith(f"{path}: cannot be read (")
    assert cure in said


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"abc" * 1000], ids=["empty", "ff", "abc"]
)
def test_a_file_of_something_else_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reader: str, content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    if reader == "hash":
        assert len(sha256(path)) == 64
    elif reader == "remembered":
        assert remembered(path, "run") is None
    elif reader == "resumed":
        assert read_resumed(path) == []
        assert "damaged checkpoint, starting over" in capsys.readouterr().out
    elif reader == "table" and content.startswith(b"abc"):
        assert read_table(path).empty
    else:
        with pytest.raises(InputError) as error:
            READERS[reader](path)
        assert one_line(error.value).startswith(f"{path}: ")
        assert not isinstance(error.value, RefusedError)


def test_parameters_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("data: # für Lieder".encode("latin-1"))
    with pytest.raises(InputError, match=r"params.yaml: not UTF-8 text \(byte 9 is 0xfc\); save"):
        load_params(path)
    path.write_text("data: 2001-99-99")
    with pytest.raises(InputError, match="params.yaml: not valid YAML"):
        load_params(path)


def test_what_is_missing_and_what_is_out_of_reach_are_two_things(tmp_path: Path) -> None:
    assert not is_there(tmp_path / "file")
    (tmp_path / "file").touch()
    assert is_there(tmp_path / "file")
    with pytest.raises(RefusedError, match="file stands where a folder belongs"):
        is_there(tmp_path / "file" / "x")
    with pytest.raises(InputError, match="no such file; name a system of the run"):
        read_table(tmp_path / "none.csv", "no such file; name a system of the run")


def test_a_published_file_with_other_things_in_it(tmp_path: Path) -> None:
    path = tmp_path / "analysis_x.pytorch"
    for content in ([1], {"conv_a1.weight": 1, "conv_a2.weight": "x"}):
        torch.save(content, path)
        with pytest.raises(InputError, match=r"analysis_x.pytorch: it has no conv_a1.*; put the"):
            load_published(path, path)


# ---------------------------------------------------------------- writing


def write_model(path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    model = build_model(params, params.variant("baseline"), 0)
    save_model(path, model, params, "baseline", 0)


def write_resumed(path: Path) -> None:
    class Parts:
        def __init__(self, **parts: Any) -> None:
            self.__dict__.update(parts)

        def state_dict(self) -> Any:
            return {"weight": torch.zeros(200_000)}

    fabric = Parts(strategy=Parts(precision=Parts()))
    _save_checkpoint(path, "run", Parts(module=Parts()), Parts(), fabric, [])  # type: ignore[arg-type]


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
    subprocess.run(["umount", str(folder)], capture_output=True)


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


def test_locks_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(slots, "_held", [])
    monkeypatch.setenv("RSVM_GPUS", "GPU-pretended")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    folder = tmp_path / "rsvm-gpus-me"
    folder.write_text("")
    with pytest.raises(RefusedError, match="rsvm-gpus-me stands where a folder belongs"):
        claim_gpu()
    folder.unlink()
    (folder / "GPU-pretended.lock").mkdir(parents=True)
    with pytest.raises(RefusedError, match="GPU-pretended.lock: .*move the folder away"):
        claim_gpu()


# ---------------------------------------------------------------- what ends a stage


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "a.csv"), r"a\.csv: cannot be used .*permission"),
        (FileNotFoundError(2, "No such file", "git"), r"git: cannot be used \(No such file\); "),
        (OSError(errno.EXDEV, "Cross", "a", None, "b"), r"b: cannot be used \(Cross\); mend that"),
        (OSError(errno.ENOSPC, "No space left"), "^No space left; free some space"),
        (MemoryError(), "^not enough memory; lower runtime.workers, train.batch_size"),
        (InputError("a\n  b\r\n\tc  d"), "^a b c  d$"),
    ],
)
def test_errors_that_end_a_stage(error: Exception, said: str) -> None:
    found = told(error)
    assert found is not None
    assert re.search(said, found), found


def test_memory_that_is_not_there() -> None:
    for take in (lambda: np.empty(2**50), lambda: torch.empty(2**50)):
        with pytest.raises((MemoryError, RuntimeError)) as error:
            take()
        said = told(error.value)
        assert said is not None
        assert said.startswith("not enough memory (")
        assert "lower runtime.workers" in said


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError("x"), ValueError("x"), KeyError("x")])
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception) -> None:
    assert told(error) is None


def test_texts_that_are_no_text() -> None:
    with pytest.raises(UnicodeEncodeError) as error:
        "\udcff".encode()
    assert str(explained(error.value, Path("a.csv"), "written")).startswith(
        "a.csv: cannot be written as UTF-8 ("
    )
    assert str(explained(EOFError(), Path("a"), "read")).startswith("a: ends too early; restore")


@pytest.fixture
def project(songs: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    tree = merged(merged(default_tree(), SMALL), {"data": {"root": str(songs)}})
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    return folder


def refused(folder: Path, stage: str, *arguments: str) -> str:
    """What a stage that is run by hand says, when it fails."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: ")
    assert "Traceback" not in done.stderr
    return said


@pytest.mark.slow
def test_stages_say_it_in_one_line(project: Path) -> None:
    (project / "checkpoints").write_text("")
    said = refused(project, "prepare")
    assert said.endswith("; checkpoints stands where a folder belongs: move it away")
    (project / "checkpoints").unlink()
    (project / "metrics").write_text("")
    said = refused(project, "prepare")
    assert "metrics/data.json: cannot be written (" in said
    assert said.endswith("; metrics stands where a folder belongs: move it away")
    (project / "tracks").mkdir()
    for name, content in (("a", b"seed,track\n1,\xff\n"), ("b", b"")):
        (project / f"tracks/{name}.csv").write_bytes(content)
    for name in "ab":
        said = refused(project, "contrast", name, name, "--tracks", "tracks")
        assert said.startswith(f"error: tracks/{name}.csv: not a table (")
    assert "name a system of the run" in refused(project, "contrast", "c", "c")
    (project / "params.yaml").write_bytes(b"\xff")
    assert "params.yaml: not UTF-8 text" in refused(project, "prepare")
    (project / "params.yaml").unlink()
    (project / "params.yaml").mkdir()
    assert "params.yaml: cannot be read (Is a directory)" in refused(project, "prepare")
