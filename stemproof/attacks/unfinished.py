"""Unfinished work of an attack: tracks that are done stand by themselves until all are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stemproof.attacks.craft import Crafted
from stemproof.core.errors import RefusedError, out_of_memory
from stemproof.core.files import (
    FloatArray,
    is_there,
    opened,
    read_array,
    sha256,
    write_array,
    write_text,
)
from stemproof.data.excerpts import Excerpts
from stemproof.data.store import PreparedTrack


def units(excerpts: Excerpts, size: int) -> list[list[int]]:
    """Tracks that are attacked together: as many as fit into a batch, at least one."""
    units: list[list[int]] = []
    room = 0
    for number, track in enumerate(excerpts.tracks):
        count = track.count(excerpts.segment)
        if not units or count > room:
            units.append([])
            room = size
        units[-1].append(number)
        room -= count
    return units


def losses_file(work: Path, track: PreparedTrack) -> Path:
    """Where the losses of a track stand."""
    return work / f"losses-{track.file}"


def keep(work: Path, excerpts: Excerpts, unit: list[int], found: Crafted) -> None:
    """Store what was found for the tracks of a unit; the losses last, as a sign of the rest."""
    start = 0
    for number in unit:
        track = excerpts.tracks[number]
        part = slice(start, start + len(excerpts.of_track(number)))
        keep_array(work / track.file, np.concatenate(found.adversarial[part], axis=-1))
        keep_array(losses_file(work, track), found.losses[part])
        start = part.stop


def still_to_write(work: Path, excerpts: Excerpts) -> int:
    """Bytes of the tracks that are not attacked yet: float32, all channels."""
    return 4 * sum(
        excerpts.channels * excerpts.places[excerpts.of_track(number)[-1]].stop
        for number, track in enumerate(excerpts.tracks)
        if not (work / track.file).exists()
    )


def is_done(work: Path, excerpts: Excerpts, number: int) -> bool:
    """Whether a track was attacked before the run was interrupted, and is whole."""
    track, parts = excerpts.tracks[number], excerpts.of_track(number)
    audio = read_whole(work / track.file, (excerpts.channels, excerpts.places[parts[-1]].stop))
    return (
        audio is not None and read_whole(losses_file(work, track), (len(parts), None)) is not None
    )


def keep_array(file: Path, array: FloatArray) -> None:
    """Write an array of unfinished work, and beside it its hash: a sign that it is whole."""
    write_array(file, array)
    write_text(hash_file(file), sha256(file))


def hash_file(file: Path) -> Path:
    """Where the hash of an array stands."""
    return file.with_name(f"{file.name}.sha256")


def kept_names(files: Iterable[str]) -> list[str]:
    """Names of arrays, and of what stands beside them."""
    return [name for file in files for name in (file, hash_file(Path(file)).name)]


def read_whole(file: Path, shape: tuple[int | None, ...]) -> FloatArray | None:
    """An array that :func:`keep_array` wrote, or None where there is none that is what it wrote.

    Args:
        file: where it is.
        shape: that it must have; None for any length.

    Raises:
        InputError: the system refuses to read it.
    """
    if not (is_there(file) and is_there(hash_file(file))):
        return None
    with opened(hash_file(file)) as stream:
        known = stream.read()
    try:
        array = read_array(file)
        fits = len(array.shape) == len(shape) and all(
            wanted in (None, found) for found, wanted in zip(array.shape, shape, strict=True)
        )
        if fits and bool(np.isfinite(array).all()) and sha256(file).encode() == known:
            return array
    except (RefusedError, OSError, MemoryError):
        raise
    except Exception as error:  # what is damaged fails in many ways
        if out_of_memory(error):
            raise
    print(f"{file}: damaged, computing it again", flush=True)
    return None
