"""Folders that a stage empties: what we wrote there goes, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stemproof.core.aside import unfinished_of, written_aside, written_together
from stemproof.core.errors import InputError, RefusedError, explaining
from stemproof.core.files import opened, read_json, write_json

MARKER = ".stemproof.json"  # in a directory that a stage empties; lists what the stage wrote there
WRITTEN = "files written by stemproof"
RESULT_SUFFIXES = (".npy", ".json", ".csv", ".safetensors")
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # neither ours nor anyone's work
NAMED = 5  # files that one error names


def fresh_directory(
    path: Path,
    files: Iterable[str] | None = None,
    earlier: Iterable[str] = (),
    whole: Collection[str] = (),
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Make a directory ready for ``files``: what we wrote there before goes, and nothing else.

    A marker in the directory lists what a stage writes. It stands there before the first of these
    files, so that a run that is killed leaves nothing that is not known for ours.

    Args:
        path: the directory; it may be absent or empty.
        files: names of all files that are going to be written, relative to ``path``. None for a
            directory without a marker: whatever is named like a stored result is taken for ours.
        earlier: names that are ours when there is no marker; see :func:`refuse_strangers`.
        whole: of ``files``, what is there and needs not be written again.
        about: what the marker says beside the list.

    Raises:
        InputError: it holds files that we did not write; nothing has been removed.
    """
    if files is None:
        earlier = [file.name for file in path.glob("*") if file.suffix in RESULT_SUFFIXES]
    earlier = list(earlier)
    refuse_strangers(path, earlier)
    remove_written(path, earlier, {*whole, MARKER} if whole else ())
    with explaining(path, "written"):
        path.mkdir(parents=True, exist_ok=True)
    if files is not None:
        _mark(path, files, about)
    return path


def refuse_strangers(path: Path, earlier: Iterable[str] = ()) -> None:
    """Refuse a directory that holds files which we did not write, or that cannot be written.

    Asked before anything is computed, and of all directories before any of them is emptied.

    Args:
        path: the directory; it may be absent.
        earlier: names that are ours when there is no marker: of a version that left none.

    Raises:
        InputError: there are such files, which the message names; or it cannot be written.
    """
    place = path
    while not os.path.lexists(place):
        place = place.parent
    with explaining(path, "written"), tempfile.TemporaryFile(dir=place):
        pass
    _, strangers = _sorted_out(path, earlier)
    if strangers:
        shown = ", ".join(strangers[:NAMED])
        more = f" and {len(strangers) - NAMED} more" if len(strangers) > NAMED else ""
        raise InputError(
            f"{path}: about to be written anew, but {shown}{more} is not known to come from this "
            "pipeline; if it is yours, move it to another folder (data.root may name any), else "
            "delete it"
        )


def remove_written(path: Path, earlier: Iterable[str] = (), whole: Collection[str] = ()) -> None:
    """Remove what we wrote into a directory, and the directories that this leaves empty.

    Files of anyone else stay where they are, and so do the directories that hold them.

    Args:
        path: the directory; it may be absent.
        earlier: names that are ours when there is no marker; see :func:`refuse_strangers`.
        whole: names of files that stay.

    Raises:
        InputError: a file cannot be removed.
    """
    ours = [
        file
        for file in _sorted_out(path, earlier)[0]
        if file.relative_to(path).as_posix() not in whole
    ]
    folders = {
        path,
        *(parent for file in ours for parent in file.parents if path in parent.parents),
    }
    with explaining(path, "written"):
        # The marker goes last: what is left by a run that is killed here is still known for ours.
        for file in sorted(ours, key=lambda file: file == path / MARKER):
            file.unlink(missing_ok=True)
    for folder in sorted(folders, reverse=True):
        with suppress(OSError):  # not empty
            folder.rmdir()


@contextmanager
def renewed(folders: Mapping[Path, Collection[str]]) -> Iterator[None]:
    """Write directories anew, all or nothing: the files of the block get their names when it ends.

    What we wrote there before stays until then, and goes where it is not written again. The marker
    lists what was and what will be there in between, so that a run that is killed leaves nothing
    that is not known for ours. Files elsewhere may be written in the block as well.

    Args:
        folders: names of all files that the block writes, by directory; relative to it. Without a
            marker they are taken for ours.

    Raises:
        InputError: a directory holds files that we did not write, or is not writable.
    """
    stale: dict[Path, list[Path]] = {}
    for folder, files in folders.items():
        refuse_strangers(folder, files)
        new = {folder / name for name in (*files, MARKER)}
        stale[folder] = [file for file in _sorted_out(folder, files)[0] if file not in new]
    for folder, files in folders.items():
        own = [Path(name).name for name in files]
        old = [file for file in stale[folder] if not unfinished_of(file.name, own)]
        _mark(folder, [*files, *(file.relative_to(folder).as_posix() for file in old)])
    with written_together():
        yield
    for folder, files in folders.items():
        with explaining(folder, "written"):
            for file in stale[folder]:
                file.unlink(missing_ok=True)
        _mark(folder, files)


@contextmanager
def replaced(folder: Path, files: Collection[str], work: Path, last: str) -> Iterator[Path]:
    """Write a directory anew, in another place first: what we wrote there before stays until then.

    For more files than a process may hold open, which :func:`renewed` does. Those that the block
    does not write are left out.

    Args:
        folder: the directory.
        files: names of all files that may stand there; without a marker they are taken for ours.
        work: where they are written, which is empty afterwards.
        last: of the files, the one that vouches for the others.

    Yields:
        ``work``.

    Raises:
        InputError: a directory holds files that we did not write, or is not writable.
    """
    fresh_directory(work, files, files)
    try:
        yield work
        fresh_directory(folder, files, files)
        for name in sorted(files, key=lambda name: name == last):
            if (work / name).is_file():
                link_file(work / name, folder / name)
    finally:
        remove_written(work, files)


def _mark(folder: Path, files: Iterable[str], about: Mapping[str, Any] | None = None) -> None:
    """Write the marker of a directory, unless it says this already."""
    content = {WRITTEN: sorted(files), **(about or {})}
    if not (folder / MARKER).is_file() or read_json(folder / MARKER) != content:
        write_json(folder / MARKER, content)


def _sorted_out(path: Path, earlier: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Files of ours below a directory, and the names of all others but file managers' litter."""
    ours, strangers = [], []
    known = {MARKER, *earlier}
    if (path / MARKER).is_file():
        listed = read_json(path / MARKER).get(WRITTEN)
        known = {MARKER, *map(str, listed if isinstance(listed, list) else ())}
    places: dict[Path, list[str]] = {}
    for name in known:
        places.setdefault((path / name).parent, []).append(Path(name).name)
    for file in _entries(path):
        name = file.relative_to(path).as_posix()
        # Of a run that was killed.
        if name in known or unfinished_of(file.name, places.get(file.parent, ())):
            ours.append(file)
        elif file.name not in LITTER:
            strangers.append(name)
    return ours, sorted(strangers)


def _entries(path: Path) -> Iterator[Path]:
    """Files below a directory, and links, which are not followed."""
    for folder, folders, files in os.walk(path):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        yield from (Path(folder, name) for name in (*files, *links))


def move_file(source: Path, target: Path) -> None:
    """Put a file in the place of another, also on another file system.

    Raises:
        InputError: it cannot be, because a folder stands there for instance.
    """
    try:
        with explaining(target, "written"):
            source.replace(target)
    except RefusedError as error:
        if getattr(error.__cause__, "errno", None) != errno.EXDEV:
            raise
        copy_file(source, target)
        source.unlink()


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name: a link that takes no space, or a copy where there are none.

    Raises:
        InputError: it cannot be, because something stands there for instance.
    """
    with explaining(target, "written"):
        try:
            os.link(source, target)
        except FileExistsError:
            raise
        except OSError:  # another file system, or one without links
            copy_file(source, target)


def copy_file(source: Path, target: Path) -> None:
    """Copy what a file holds; atomically.

    Raises:
        InputError: it cannot be read or written.
    """
    with (
        opened(source) as stream,
        written_aside(target) as temporary,
        temporary.open("wb") as copy,
    ):
        shutil.copyfileobj(stream, copy)


def set_aside(folder: Path, wanted: Collection[tuple[str, int]], place: Path, sign: str) -> None:
    """Move results of systems and seeds that are no longer asked for out of a folder.

    A stage that reads a whole folder, ``NAME/SEED`` for every model, would else see what an earlier
    run left there. Nothing is deleted, and what is not ours stays.

    Args:
        folder: holds the results.
        wanted: names and seeds that stay.
        place: where the others go.
        sign: a file that each of our results holds.
    """
    with explaining(folder, "written"):
        for entry in sorted(folder.glob("*/*")):
            name, seed = entry.parent.name, entry.name
            ours = seed.isdecimal() and (entry / sign).is_file()
            if not ours or (name, int(seed)) in wanted:
                continue
            parent = place / folder.name / name
            parent.mkdir(parents=True, exist_ok=True)
            target = _free(parent, seed)
            shutil.move(entry, target)
            print(f"{entry}: not among the systems of this run, moved to {target}", flush=True)
            with suppress(OSError):  # other seeds are left
                entry.parent.rmdir()


def _free(folder: Path, name: str) -> Path:
    """A name in a folder that nothing has: the name itself, or with a number behind it."""
    number, place = 1, folder / name
    while os.path.lexists(place):
        number += 1
        place = folder / f"{name}-{number}"
    return place
