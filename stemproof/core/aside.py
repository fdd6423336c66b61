"""Files that get their names when they are whole: one by one, or some of them together."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

from safetensors import SafetensorError

from stemproof.core.errors import explaining

# The umask can only be read by setting it, for all threads: once, at import.
UMASK = os.umask(0)
os.umask(UMASK)
# What writers raise when the disk is full: NumPy, PyTorch and soundfile, safetensors.
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)
PROBE = 2**20  # bytes, written to ask the system why a library could not write
# Temporary and final names of a block whose files get their names together; None outside of one.
_waiting: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("_waiting", default=None)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` when the block succeeds.

    The temporary file keeps the suffix of ``path``. When the block fails the temporary file
    is removed and whatever stood at ``path`` is untouched. The rename waits until the file is on
    the disk: no loss of power leaves an empty file. Inside of :func:`written_together` it waits
    until that block ends, too.

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
            waiting = _waiting.get()
            if waiting is not None:
                waiting.append((temporary, path))
            else:
                temporary.replace(path)
                _to_disk(path.parent)
    except BaseException:
        _remove(temporary)
        raise


@contextmanager
def written_together() -> Iterator[None]:
    """Files that are written in the block get their names when it ends, one right after the other.

    When the block fails, or there is no space for one of them, whatever stood there is untouched.
    Other threads than this one are not concerned.

    Raises:
        InputError: a file cannot be given its name.
    """
    waiting: list[tuple[Path, Path]] = []
    before = _waiting.set(waiting)
    try:
        yield
        for temporary, path in waiting:
            with explaining(path, "written"):
                temporary.replace(path)
        for folder in dict.fromkeys(path.parent for _, path in waiting):
            with explaining(folder, "written"):
                _to_disk(folder)
    finally:
        _waiting.reset(before)
        for temporary, _ in waiting:
            _remove(temporary)


def _remove(temporary: Path) -> None:
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
