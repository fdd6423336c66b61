"""What cannot be read is named with its cure, and never taken for damage."""

from __future__ import annotations

import errno
import os
import pathlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import AllParams

from stemproof.core.errors import InputError, RefusedError
from stemproof.core.files import (
    is_there,
    read_array,
    read_json,
    sha256,
)
from stemproof.core.params import load_params
from stemproof.core.tables import read_table
from stemproof.separators import checkpoint
from stemproof.separators.rsvm.published import load_published
from stemproof.separators.rsvm.state import load_state

Access = Callable[[Path], Any]


def one_line(error: BaseException) -> str:
    said = str(error)
    assert "\n" not in said
    assert "?" not in said
    return said


def read_resumed(path: Path) -> Any:
    return load_state(path, "run", None, None, None)  # type: ignore[arg-type]


READERS: dict[str, Access] = {
    "json": read_json,
    "array": read_array,
    "table": read_table,
    "hash": sha256,
    "params": lambda path: load_params(AllParams, path),
    "published": lambda path: load_published(path, path),
    "resumed": read_resumed,
    "model": checkpoint.load,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.EACCES, "give this user permission to read it"),
        (errno.EPERM, "give this user permission to read it"),
        (errno.EIO, "check the disk"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOMEM, "lower workers.count"),
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
    elif reader == "resumed":
        assert read_resumed(path) == []
        assert "damaged checkpoint, starting over" in capsys.readouterr().out
    else:
        with pytest.raises(InputError) as error:
            READERS[reader](path)
        assert one_line(error.value).startswith(f"{path}: ")
        assert not isinstance(error.value, RefusedError)


def test_parameters_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes("data: # für Lieder".encode("latin-1"))
    with pytest.raises(InputError, match=r"params.yaml: not UTF-8 text \(byte 9 is 0xfc\); save"):
        load_params(AllParams, path)
    path.write_text("data: 2001-99-99")
    with pytest.raises(InputError, match="params.yaml: not valid YAML"):
        load_params(AllParams, path)


def test_what_is_missing_and_what_is_out_of_reach_are_two_things(tmp_path: Path) -> None:
    assert not is_there(tmp_path / "file")
    (tmp_path / "file").touch()
    assert is_there(tmp_path / "file")
    with pytest.raises(RefusedError, match="file stands where a folder belongs"):
        is_there(tmp_path / "file" / "x")
    with pytest.raises(InputError, match="no such file; name a system of the run"):
        read_table(tmp_path / "none.csv", "no such file; name a system of the run")
