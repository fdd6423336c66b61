"""Unfinished work: windows that are done, in a folder that is named after all they are of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemproof.attacks.unfinished import keep_array, read_whole
from stemproof.core.errors import InputError, explaining
from stemproof.core.files import FloatArray, take_lock
from stemproof.protecting.parts import Windows

FOLDER = ".stemproof-protect"
SPARE = 2**24  # bytes that stay free


@contextmanager
def scratch(beside: Path, key: str) -> Iterator[Path]:
    """A folder for unfinished work: it stays where the block fails and a window is done already.

    Args:
        beside: the file that will be written.
        key: hash of all that the work is of.

    Raises:
        InputError: it cannot be made, or another process works in it.
    """
    room = beside.absolute().parent / FOLDER
    folder = room / key[:20]
    with explaining(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder / "lock")
    if lock is None:
        raise InputError(
            f"{folder}: another process protects this very song; wait for it, or end it"
        )
    finished = False
    with lock:
        try:
            yield folder
            finished = True
        finally:
            if finished or not any(folder.rglob("window-*.npy")):
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):
                    room.rmdir()  # if nothing else is unfinished


def check_room(folder: Path, needed: int) -> None:
    """Is there room for what will be written?

    Args:
        folder: where.
        needed: bytes.

    Raises:
        InputError: there is not.
    """
    with explaining(folder, "written"):
        free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise InputError(
            f"{folder}: {needed / 2**20:.0f} MB are needed there for a while, and "
            f"{free / 2**20:.0f} MB are free; free some space, or write to another folder"
        )


@dataclass(frozen=True)
class Perturbation:
    """What windows put into a song, each faded; read in parts.

    Attributes:
        folder: of its windows.
        windows: of the song.
        channels: of the song.
        done: how many windows count, from the first.
    """

    folder: Path
    windows: Windows
    channels: int
    done: int

    def file(self, number: int) -> Path:
        """Of a window."""
        return self.folder / f"window-{number:05d}.npy"

    def found(self, number: int) -> bool:
        """Whether a window is done, and whole."""
        start, stop = self.windows.span(number)
        return read_whole(self.file(number), (self.channels, stop - start)) is not None

    def keep(self, number: int, faded: FloatArray) -> None:
        """Store what a window puts into the song, channels x samples."""
        keep_array(self.file(number), faded)

    def read(self, start: int, stop: int) -> FloatArray:
        """The sum of all windows in a part, channels x samples; zeros where there are none."""
        total = np.zeros((self.channels, stop - start), dtype=np.float32)
        for number, first in enumerate(self.windows.starts[: self.done]):
            last = self.windows.span(number)[1]
            low, high = max(start, first), min(stop, last)
            if low < high:
                own = np.load(self.file(number), mmap_mode="r")
                total[:, low - start : high - start] += own[:, low - first : high - first]
        return total
