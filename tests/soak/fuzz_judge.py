"""What a reader makes of a file: a right result, one sentence, or a fault."""

from __future__ import annotations

import resource
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stemproof.core.errors import InputError

SECONDS = 5.0  # of processor time for one file of some kilobytes
MEGABYTES = 512  # by which one such file may raise the memory that was used at most


@dataclass(frozen=True)
class Reader:
    """A reader of the product, and what it is given.

    Attributes:
        suffix: of the file's name.
        seeds: makes inputs that it accepts.
        read: the product's own call; raises InputError.
        check: raises AssertionError where what was read is not right.
        wrapped: makes a file of an input, where lengths or checksums in it would keep almost all
            changes from the reader.
        longest: input, in bytes.
    """

    suffix: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[Path], Any]
    check: Callable[[Any], object]
    wrapped: Callable[[bytes], bytes] = bytes
    longest: int = 4096


@dataclass(frozen=True)
class Verdict:
    """What is said of one file.

    Attributes:
        kind: of three.
        said: by the reader, or about it.
        where: the line at which a fault arose; faults of one place are counted together.
    """

    kind: Literal["accepted", "refused", "fault"]
    said: str = ""
    where: str = ""


def judge(
    reader: Reader, path: Path, seconds: float = SECONDS, megabytes: float = MEGABYTES
) -> Verdict:
    """Let a reader read a file.

    Args:
        reader: the reader.
        path: the file.
        seconds: of processor time that it may take.
        megabytes: by which the most that this process ever used may grow.
    """
    began, used = time.process_time(), _megabytes()
    verdict = _judged(reader, path)
    spent, more = time.process_time() - began, _megabytes() - used
    if verdict.kind != "fault" and spent > seconds:
        return Verdict("fault", f"{spent:.1f} s of processor time", "time")
    if verdict.kind != "fault" and more > megabytes:
        return Verdict("fault", f"{more:.0f} MiB more than before", "memory")
    return verdict


def _judged(reader: Reader, path: Path) -> Verdict:
    try:
        found = reader.read(path)
    except InputError as error:
        problem = not_one_sentence(str(error), path)
        if problem is None:
            return Verdict("refused", str(error))
        return Verdict("fault", f"{problem}: {str(error)!r}", _place(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # what Rust panics with is no Exception
        return Verdict("fault", f"{type(error).__name__}: {error}", _place(error))
    try:
        reader.check(found)
    except Exception as error:
        return Verdict("fault", f"accepted: {type(error).__name__}: {error}", _place(error))
    return Verdict("accepted")


def not_one_sentence(said: str, path: Path) -> str | None:
    """What is wrong with the message of a refusal; None when nothing is.

    Args:
        said: the message.
        path: the file that it is about.
    """
    if not said.startswith(f"{path}: ") or not said.removeprefix(f"{path}: ").strip():
        return "a refusal that does not name the file"
    if said.splitlines() != [said]:
        return "a refusal of more lines than one"
    if "not enough memory" in said:
        return "a small file that asks for more memory than there is"
    return None


def _place(error: BaseException) -> str:
    """The innermost line of a fault; of a refusal it is that which raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def _megabytes() -> float:
    """The most memory that this process has used so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
