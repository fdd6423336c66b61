"""Files that get their names when they are whole: one by one, or some of them together."""

from __future__ import annotations

import errno
import glob
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from stemproof.core.errors import explaining

# The umask can only be read by setting it, for all threads: once, at import.
UMASK = os.umask(0)
os.umask(UMASK)
# What writers raise when the disk is full: NumPy, PyTorch and soundfile, safetensors.
WRITE_ERRORS = (OSError, RuntimeError, SafetensorError)
PROBE = 2**20  # bytes, written to ask the system why a library could not write
KEPT = 40  # characters of the final name in the temporary one: names have a largest length
RANDOM = r"[a-z0-9_]{8}"  # what mkstemp puts into a name


@dataclass(frozen=True)
class _Aside:
    """A file that waits for its name; ``lock`` is held while somebody still writes it."""

    temporary: Path
    path: Path
    lock: int

    def name(self) -> None:
        """Give it its name."""
        with explaining(self.path, "written"):
            self.temporary.replace(self.path)

    def close(self) -> None:
        """Let it go, and remove it where it has no name."""
        with suppress(OSError):
            self.temporary.unlink(missing_ok=True)
        os.close(self.lock)


# Of a block whose files get their names together; None outside of one.
_waiting: ContextVar[list[_Aside] | None] = ContextVar("_waiting", default=None)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it onto ``path`` when the block succeeds.

    The temporary file keeps the suffix of ``path``. When the block fails the temporary file
    is removed and whatever stood at ``path`` is untouched. The rename waits until the file is on
    the disk: no loss of power leaves an empty file. Inside of :func:`written_together` it waits
    until that block ends, too. What a process that was killed left of the same file is removed.

    Raises:
        InputError: the file system is full or not writable.
    """
    with explaining(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        temporary, handle = _made(path)
    aside, waiting = _Aside(temporary, path, handle), _waiting.get()
    named = False
    try:
        with explaining(path, "written"):
            # mkstemp makes files private; results should be as readable as any other new file.
            aside.temporary.chmod(0o666 & ~UMASK)
            try:
                yield aside.temporary
            except WRITE_ERRORS as error:
                refusal = _refusal(error, aside.temporary)
                if refusal is None:
                    raise
                raise refusal from error
            _to_disk(aside.temporary)
        if waiting is None:
            aside.name()
            _to_disk(path.parent)
        named = True
    finally:
        if named and waiting is not None:
            waiting.append(aside)
        else:
            aside.close()


@contextmanager
def written_together() -> Iterator[None]:
    """Files that are written in the block get their names when it ends, one right after the other.

    When the block fails, for want of space for one of them for instance, whatever stood there is
    untouched. Other threads than this one are not concerned.

    Raises:
        InputError: a file cannot be given its name.
    """
    waiting: list[_Aside] = []
    before = _waiting.set(waiting)
    try:
        yield
        for aside in waiting:
            aside.name()
        for folder in dict.fromkeys(aside.path.parent for aside in waiting):
            with explaining(folder, "written"):
                _to_disk(folder)
    finally:
        _waiting.reset(before)
        for aside in waiting:
            aside.close()


def newest(path: Path) -> Path:
    """Where the newest content of a file is: aside, as long as it waits for its name."""
    for aside in reversed(_waiting.get() or ()):
        if aside.path == path:
            return aside.temporary
    return path


def unfinished_of(name: str, finals: Iterable[str]) -> bool:
    """Whether a file name is one that a process which was killed left of some files.

    Args:
        name: of the file.
        finals: names, in the same folder, of the files that were to be written.
    """
    return any(
        # Older versions left the final name out.
        re.fullmatch(
            rf"\.(?:{re.escape(final.stem[:KEPT])}\.)?{RANDOM}{re.escape(final.suffix)}", name
        )
        for final in map(Path, finals)
    )


def _made(path: Path) -> tuple[Path, int]:
    """A file beside another one, and its handle, which holds the lock on it."""
    while True:
        prefix = f".{path.stem[:KEPT]}."
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
        # Until it is locked, a process that sweeps takes it for what a kill left.
        _lock(handle, wait=True)
        if Path(name).exists():
            return Path(name), handle
        os.close(handle)


def _sweep(path: Path) -> None:
    """Remove what processes that were killed left of a file; of one that lives, nothing."""
    for entry in path.parent.glob(f".{glob.escape(path.stem[:KEPT])}.*"):
        if not unfinished_of(entry.name, [path.name]):
            continue
        with suppress(OSError):
            handle = os.open(entry, os.O_RDWR)
            try:
                if _lock(handle):
                    entry.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _lock(handle: int, wait: bool = False) -> bool:
    """Lock a file until it is closed; whether that was possible."""
    try:
        import fcntl  # there is none on Windows

        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


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
