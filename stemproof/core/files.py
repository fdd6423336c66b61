"""Writing results so that a reader sees either the whole file or none of it."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from stemproof.core.errors import InputError, explaining
from stemproof.core.strict_json import parse_json

FloatArray = NDArray[np.float32]
# The umask can only be read by setting it, for all threads: once, at import.
UMASK = os.umask(0)
os.umask(UMASK)
# What writers raise when the disk is full: NumPy, PyTorch and soundfile, safetensors.
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)
PROBE = 2**20  # bytes, written to ask the system why a library could not write
MISSING = "no such file; run the stage that writes it first"


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` when the block succeeds.

    The temporary file keeps the suffix of ``path``. When the block fails the temporary file
    is removed and whatever stood at ``path`` is untouched. The rename waits until the file is on
    the disk: no loss of power leaves an empty file.

    Raises:
        InputError: the file system is full or not writable.
    """
    with explaining(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
        os.close(handle)
    temporary = Path(name)
    try:
        with explaining(path, "written"):
            # mkstemp makes files private; results should be as readable as any other new file.
            temporary.chmod(0o666 & ~UMASK)
            try:
                yield temporary
            except WRITE_ERRORS as error:
                refusal = _refusal(error, temporary)
                if refusal is None:
                    raise
                raise refusal from error
            _to_disk(temporary)
            temporary.replace(path)
            _to_disk(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _refusal(error: Exception, temporary: Path) -> OSError | None:
    """The system's answer behind a library's error; None where the system refuses nothing."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    number = re.search(r"os error (\d+)", str(error))  # safetensors
    if number:
        return OSError(int(number[1]), os.strerror(int(number[1])))
    # The others do not hand it on: ask again.
    try:
        with temporary.open("ab") as stream:
            stream.write(bytes(PROBE))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as answer:
        return answer
    return error if isinstance(error, OSError) else None


def _to_disk(path: Path) -> None:
    """Wait until a file, or a folder with its new names, is on the disk."""
    if path.is_dir():
        if os.name == "nt":  # folders cannot be opened there
            return
        handle = os.open(path, os.O_RDONLY)
    else:
        handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot do this for a folder
            raise
    finally:
        os.close(handle)


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
    write_text(path, json.dumps(_finite(value, path.name), indent=2) + "\n")


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
            raise InputError(f"{path}: not valid JSON ({error}); delete it and run again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: a JSON object was expected; delete it and run again")
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
            raise InputError(f"{path}: damaged ({error}); delete it and run again") from None
    if array.dtype != np.float32:
        raise InputError(
            f"{path}: float32 was expected, not {array.dtype}; delete it and run again"
        )
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


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        InputError: there is no such file, or it cannot be read.
    """
    with opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fingerprint(*parts: Any) -> str:
    """A SHA-256 over the canonical JSON of ``parts``: is a resumed run the same run?"""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
