"""What commands read and write: songs in, wav files and tables out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stemproof.cli.options import Subtype, close_to
from stemproof.core.errors import InputError, explaining

if TYPE_CHECKING:
    from torch import Tensor

    from stemproof.data.audio import Audio


def read_song(path: Path) -> Audio:
    """A song that can be worked with.

    Raises:
        InputError: there is no such file, it is no audio, or it is silent.
    """
    from stemproof.data.audio import read_audio

    with explaining(path, "read"):
        if not path.exists():
            raise InputError(f"{path}: no such file{close_to(path)}; correct its name")
    song = read_audio(path)
    if not song.samples.any():
        raise InputError(f"{path}: silent from beginning to end; name a song")
    return song


def name_of(song: Path) -> str:
    """The name of a song: that of its file, or of its folder where the file is its mixture."""
    name = song.name.removesuffix(".stem.mp4")
    name = name if name != song.name else song.stem
    name = song.resolve().parent.name if name == "mixture" else name
    return name.strip(".") or "song"  # no path that leads elsewhere


def refuse_existing(files: Sequence[Path], force: bool, read: Sequence[Path] = ()) -> None:
    """Refuse to write over files, and to write where that cannot be done, before computing.

    Args:
        files: that will be written.
        force: whether files that are there may be written over.
        read: files that may not in any case: what the command works with.

    Raises:
        InputError: a file is there already, or its folder cannot be written to.
    """
    for file in files:
        if file.exists() and any(one.exists() and file.samefile(one) for one in read):
            raise InputError(f"{file}: the song itself, or its vocals; name another --out")
    there = [str(file) for file in files if os.path.lexists(file)]
    if there and not force:
        raise InputError(f"{', '.join(there)}: there already; name another --out, or add --force")
    for file in files:
        place = file.absolute().parent
        while not os.path.lexists(place):
            place = place.parent
        if not place.is_dir():
            raise InputError(f"{place}: a file, where a folder belongs; name another --out")
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(f"{place}: not writable for this user; name another --out")
        if file.is_dir():
            raise InputError(f"{file}: a folder, where a file shall be written; name another --out")


def write_songs(recordings: Mapping[Path, Tensor], rate: int, subtype: Subtype) -> None:
    """Write recordings (channels x samples each) as wav files, and say what was lost."""
    from stemproof.data.audio import Audio, write_audio

    for path, recording in recordings.items():
        samples = recording.detach().cpu().numpy()
        lost = write_audio(path, Audio(samples, rate), subtype.value)
        if lost:
            typer.echo(f"note: {lost}", err=True)


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        typer.echo("  ".join(cells).rstrip())
