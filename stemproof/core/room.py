"""How much room a stage will take: said before it starts, and refused where it is not there."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from stemproof.core.errors import InputError, explaining

UNITS = ("bytes", "kB", "MB", "GB", "TB")


def announce(name: str, folder: Path, disk: int, memory: int | None = None) -> None:
    """Say on standard error what a stage will take, and refuse what certainly does not fit.

    Args:
        name: of the stage's work, for the message.
        folder: where it writes; it need not be there yet.
        disk: bytes that it writes at least, beside what stands there now.
        memory: bytes that its process takes at its peak, about; None where that is not known.

    Raises:
        InputError: the file system has less room.
    """
    said = f"at least {in_words(disk)} of disk"
    if memory is not None:
        said = f"about {in_words(memory)} of memory, {said}"
    print(f"{name}: {said}", file=sys.stderr, flush=True)
    place = folder
    while not os.path.lexists(place):
        place = place.parent
    with explaining(folder, "written"):
        free = shutil.disk_usage(place).free
    if disk > free:
        raise InputError(
            f"{folder}: {name} writes {in_words(disk)}, and its file system has {in_words(free)} "
            "left; free some space, or work in another folder"
        )


def announce_held(name: str, held: int, cure: str) -> None:
    """Say on standard error what a stage holds in memory at once, and refuse what cannot be.

    Args:
        name: of the stage's work, for the message.
        held: bytes of its signals, counted from their shapes: systems take more.
        cure: what makes it less.

    Raises:
        InputError: the machine has less memory.
    """
    print(f"{name}: at least {in_words(held)} of memory", file=sys.stderr, flush=True)
    there = memory()
    if there is not None and held > there:
        raise InputError(
            f"{name} holds {in_words(held)} of signals at once, and this machine has "
            f"{in_words(there)} of memory; {cure}"
        )


def memory() -> int | None:
    """Bytes of memory that processes here may have, swap and all; None where nobody says."""
    found = []
    with suppress(OSError, LookupError, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {key: int(value.split()[0]) for key, value in (line.split(":") for line in lines)}
        found.append(1024 * (sizes["MemTotal"] + sizes["SwapTotal"]))
    with suppress(OSError, ValueError):  # of a container; "max" is no number
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found, default=None)


def peak_memory() -> int | None:
    """The most bytes of memory that this process has had; None where the system does not say."""
    try:
        import resource  # there is none on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def grown(before: int | None, factor: float) -> int | None:
    """The peak of a process whose work grows, from what a trial of it took.

    Args:
        before: the peak before the trial.
        factor: how many times as much the work is.
    """
    now = peak_memory()
    if before is None or now is None:
        return None
    return before + round((now - before) * max(1.0, factor))


def in_words(size: int) -> str:
    """A number of bytes with two digits and a unit: 340 MB."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.{1 if value < 9.95 and unit else 0}f} {UNITS[unit]}"


def counted(count: int, unit: str) -> str:
    """A number of things: 1 song, 2 songs."""
    return f"{count} {unit}{'' if count == 1 else 's'}"


def in_time(seconds: float) -> str:
    """How long something takes, for people: about 7 minutes."""
    if seconds >= 5400:
        return f"about {seconds / 3600:.1f} hours"
    return f"about {seconds / 60:.0f} minutes" if seconds >= 90 else "less than two minutes"
