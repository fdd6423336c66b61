"""Tracks that a run which was killed has prepared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stemproof.core.errors import InputError, RefusedError, explaining
from stemproof.core.files import fingerprint, is_there, read_json, sha256
from stemproof.core.ownership import MARKER, WRITTEN, fresh_directory
from stemproof.core.params import Section
from stemproof.core.resume import keep, read_kept
from stemproof.data.recordings.protocol import MIXTURE, SPLITS, Recording

# Names of ours in the folder of unfinished work, also where nothing says so any more.
OURS = re.compile(rf"({'|'.join(SPLITS)})-\d{{4,}}\.npy(\.json)?")


def record_of(file: str) -> str:
    """Name of the file that says what a prepared track is."""
    return f"{file}.json"


def go_on_in(work: Path, files: Sequence[str], earlier: Sequence[str]) -> None:
    """Make the folder of unfinished work ready, with what a run that was killed left there.

    A list of its files that is damaged is written anew: nothing is lost with it.

    Args:
        work: the folder; it may be absent.
        files: names of all files that are going to stand there.
        earlier: names that are ours when there is no list.

    Raises:
        InputError: it holds files that we did not write, or cannot be written.
    """
    if is_there(work / MARKER) and not isinstance(_listed(work / MARKER), list):
        print(f"{work / MARKER}: damaged, writing it again", flush=True)
        with explaining(work / MARKER, "written"):
            (work / MARKER).unlink()
    named = [file.name for file in work.glob("*") if OURS.fullmatch(file.name)]
    fresh_directory(work, files, [*earlier, *named], files)


def _listed(marker: Path) -> Any:
    try:
        return read_json(marker).get(WRITTEN)
    except RefusedError:
        raise
    except InputError:
        return None


class Kept:
    """What is known of tracks that are prepared, beside them."""

    def __init__(self, work: Path, code: str, *sections: Section) -> None:
        """Name the place.

        Args:
            work: the folder of the tracks.
            code: fingerprint of the code that prepares them.
            sections: parameters that they depend on.
        """
        self.work, self.code = work, code
        self.settings = [section.model_dump(mode="json") for section in sections]

    def of(self, track: Recording, file: str, prepare: Callable[[], Any]) -> Any:
        """The record of a track: as it was left, when its recording is the same, or made now.

        Args:
            track: the recording.
            file: name of the prepared track.
            prepare: writes it; gives its record, a tree with ``path`` (of the recording) and
                ``sha256`` (of the file), or something else, which is not kept.
        """
        paths = dict.fromkeys(track.path_of(stem) for stem in (MIXTURE, *track.stems))
        sources = [sha256(path) if path.is_file() else "" for path in paths]
        of = fingerprint(self.settings, self.code, track.split, track.name, sources)
        array, said = self.work / file, self.work / record_of(file)
        if all(sources) and is_there(array):
            found = read_kept(said)
            if found and found["of"] == of and found["record"]["sha256"] == sha256(array):
                return {**found["record"], "path": track.path_of(MIXTURE)}
        record = prepare()
        if isinstance(record, dict):
            keep(said, {"of": of, "record": {**record, "path": str(record["path"])}})
        return record
