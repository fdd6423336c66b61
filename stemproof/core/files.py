"""Results on the disk: written whole or not at all; what is wrong with one is one sentence."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stemproof.core.aside import written_aside as written_aside
from stemproof.core.errors import InputError, explaining
from stemproof.core.strict_json import parse_json

FloatArray = NDArray[np.float32]
DAMAGED = "correct or restore it; what a stage wrote can also be deleted and made again"
MISSING = "no such file; run the stage that writes it first, or name another"


@contextmanager
def opened(path: Path, missing: str = MISSING) -> Iterator[BufferedReader]:
    """Open a file for reading; what the system refuses, also in the block, names the file.

    Libraries that read from a path are called inside the block as well: they lose the system's
    answer, or take it for a damaged file.

    Args:
        path: the file.
        missing: what is said when there is none.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    with explaining(path, "read"):
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            raise InputError(f"{path}: {missing}") from None
        with stream:
            yield stream


def is_there(path: Path) -> bool:
    """Whether there is a file or folder of that name.

    Raises:
        InputError: it cannot be known, for want of permission for instance.
    """
    with explaining(path, "read"):
        try:
            path.stat()
        except FileNotFoundError:
            return False
    return True


def take_lock(path: Path) -> IO[str] | None:
    """Lock a file until it is closed or the process ends, however it ends.

    Returns:
        The open file, for reading and appending; None when another process holds the lock.

    Raises:
        InputError: the file cannot be written, or its file system has no locks.
    """
    import fcntl  # there is none on Windows

    with explaining(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            if isinstance(error, BlockingIOError):
                return None
            raise
    return lock


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with written_aside(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write strict JSON (no NaN, no infinity), atomically, with a final newline.

    Raises:
        InputError: a number is not finite; NaN must be counted and left out, never stored.
    """
    write_text(path, json_text(value, path.name))


def json_text(value: Mapping[str, Any], where: str) -> str:
    """A mapping as :func:`write_json` writes it; ``where`` is named in the error."""
    return json.dumps(_finite(value, where), indent=2) + "\n"


def _finite(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item, f"{where}: {key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item, where) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(
            f"{where} is {value}, and only finite numbers are stored; correct recordings with "
            "samples far above full scale, or train the system again"
        )
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing or not JSON, of which ``NaN`` is none.
    """
    with opened(path) as stream:
        try:
            value = parse_json(stream.read())
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON ({error}); {DAMAGED}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: a JSON object was expected; {DAMAGED}")
    return value


def write_array(path: Path, array: FloatArray) -> None:
    """Write an array as ``.npy`` (lossless float32, the same bytes every time), atomically."""
    with written_aside(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def read_array(path: Path) -> FloatArray:
    """Memory-map a float32 ``.npy`` file, read-only.

    Raises:
        InputError: the file is missing, truncated or not float32.
    """
    with opened(path):
        try:
            # Not np.load, which takes other formats for this one.
            array: FloatArray = np.lib.format.open_memmap(path, mode="r")
        except (OSError, MemoryError):
            raise
        except Exception as error:  # a header that is none fails in many ways
            raise InputError(f"{path}: damaged ({error}); {DAMAGED}") from None
    if array.dtype != np.float32:
        raise InputError(f"{path}: float32 was expected, not {array.dtype}; {DAMAGED}")
    return array


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a small table, atomically; floats with nine significant digits."""
    lines = [",".join(header)]
    lines += [",".join(_cell(cell) for cell in row) for row in rows]
    write_text(path, "\n".join(lines) + "\n")


def _cell(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.9g}"
    text = str(cell)
    if any(mark in text for mark in ',"\r\n'):
        text = '"' + text.replace('"', '""') + '"'
    return text


def sha256(path: Path, missing: str = MISSING) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Args:
        path: the file.
        missing: what is said when there is none.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    with opened(path, missing) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(*parts: Any) -> str:
    """A SHA-256 over the canonical JSON of ``parts``: is a resumed run the same run?"""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
