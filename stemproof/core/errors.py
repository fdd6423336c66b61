"""The one exception that is meant for the user: bad input, said in one sentence."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LESS_GPU_MEMORY = (
    "lower rsvm.training.batch_size, attack.batch, attack.excerpt, evaluate.batch or audit.segments"
)
LESS_MEMORY = LESS_GPU_MEMORY.replace("lower", "lower workers.count,")
# How PyTorch's allocator, its memory maps, oneDNN, C++ and joblib say that memory was not enough:
# none of them raises a MemoryError.
NO_MEMORY = re.compile(
    r"DefaultCPUAllocator|Cannot allocate memory|std::bad_alloc|bad allocation"
    r"|^could not create a primitive$|^A worker process managed by the executor was unexpectedly"
)
ELSEWHERE = "mount it for writing, or work in another folder"
# What to do about an answer of the operating system. What is not here is said without a cure.
CURES = {
    errno.EACCES: "give this user permission to {action}",
    errno.EPERM: "give this user permission to {action}",
    errno.EROFS: f"its file system is read-only: {ELSEWHERE}",
    errno.ENOENT: "make it, or name another; stages run from the project's root",
    errno.EISDIR: "a file belongs there: move the folder away",
    errno.ENOTDIR: "a folder belongs there: move the file away",
    errno.EEXIST: "move it away",
    errno.ENOTEMPTY: "another program writes there: end it and run again",
    errno.EBUSY: "another program uses it: end it and run again",
    errno.ENOSPC: "free some space and run again",
    errno.EDQUOT: "free some of your quota and run again",
    errno.EFBIG: "raise the limit (ulimit -f), or use a file system that holds larger files",
    errno.EMFILE: "raise the limit (ulimit -n) and run again",
    errno.ENFILE: "end other programs and run again",
    errno.ENAMETOOLONG: "shorten the name, or work in a folder with a shorter path",
    errno.ELOOP: "its links lead in a circle: set them right",
    errno.EIO: "check the disk, or the connection to it, and run again",
    errno.ESTALE: "check the connection to its file system, and run again",
    errno.ENOMEM: LESS_MEMORY,
}
REQUESTS = {"read": "read it", "written": "write to its folder", "used": "use it"}


class InputError(Exception):
    """Bad input. The message names the file or the parameter and says what to do.

    Stages print it as a single line and exit with status 2; any other exception is a bug
    and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        # Texts of other libraries, which a message may hold, have several lines.
        lines = message.splitlines()
        if len(lines) > 1:
            message = " ".join(line.strip() for line in lines if line.strip())
        super().__init__(message)


class RefusedError(InputError):
    """The operating system refuses something, which says nothing about what a file holds."""


@contextmanager
def explaining(path: Path, action: str) -> Iterator[None]:
    """What the system refuses in the block, or a text that is no text, is bad input.

    Args:
        path: what the block is about.
        action: ``read``, ``written`` or ``used``: what is being done to it.

    Raises:
        InputError: as :func:`explained` makes it.
    """
    try:
        yield
    except (OSError, UnicodeError, EOFError, MemoryError) as error:
        raise explained(error, path, action) from error


def explained(error: BaseException, path: Path | None = None, action: str = "used") -> InputError:
    """Say in one sentence what was refused, and the cure for it.

    Args:
        error: an OSError, UnicodeError, EOFError or MemoryError.
        path: what it is about, or None for what the error itself names.
        action: see :func:`explaining`.
    """
    if path is None and isinstance(error, OSError):
        name = error.filename if error.filename2 is None else error.filename2
        path = Path(os.fsdecode(name)) if isinstance(name, str | bytes | os.PathLike) else None
    where = "" if path is None else f"{path}: "
    if isinstance(error, UnicodeDecodeError):
        byte = error.object[error.start]
        return InputError(
            f"{where}not UTF-8 text (byte {error.start} is {byte:#x}); save it as UTF-8"
        )
    if isinstance(error, UnicodeError):
        return InputError(
            f"{where}cannot be {action} as UTF-8 ({error}); rename what it comes from"
        )
    if isinstance(error, EOFError):
        return InputError(f"{where}ends too early; restore it, or run the stage that writes it")
    if isinstance(error, MemoryError):
        what = f" ({error})" if str(error) else ""
        return RefusedError(f"{where}not enough memory{what}; {LESS_MEMORY}")
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error)
    obstacle = _in_the_way(path) if path and number in (errno.ENOTDIR, errno.EEXIST) else None
    if obstacle is not None:
        cure = f"{obstacle} stands where a folder belongs: move it away"
    else:
        cure = CURES.get(number or 0, "mend that and run again").format(action=REQUESTS[action])
    return RefusedError(
        f"{where}cannot be {action} ({reason}); {cure}" if path else f"{reason}; {cure}"
    )


def _in_the_way(path: Path) -> Path | None:
    """What is no folder, of a path and the folders on the way to it."""
    for place in (*reversed(path.parents), path):
        if os.path.lexists(place) and not place.is_dir():
            return place
    return None


def user_message(error: Exception) -> str | None:
    """The one line that an error which ends a stage shows to the user; None for a bug."""
    if isinstance(error, InputError):
        return str(error)
    # PyTorch's own kind, by its name: not every stage needs PyTorch.
    if type(error).__name__ == "OutOfMemoryError":
        return str(InputError(f"{error}; {LESS_GPU_MEMORY}"))
    if out_of_memory(error):
        return str(explained(MemoryError(str(error))))
    if isinstance(error, OSError) and (error.filename is not None or error.errno in CURES):
        return str(explained(error))
    return None


def out_of_memory(error: Exception) -> bool:
    """Whether the machine's memory, as one of many libraries says it, was not enough."""
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None
