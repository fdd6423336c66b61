"""Tracks that a run which was killed has prepared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stemproof.core.files import fingerprint, is_there, read_json, sha256, write_text
from stemproof.core.params import Section
from stemproof.data.recordings.protocol import MIXTURE, Recording


def record_of(file: str) -> str:
    """Name of the file that says what a prepared track is."""
    return f"{file}.json"


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
        if all(sources) and is_there(said) and is_there(array):
            found = read_json(said)
            if found.get("of") == of and found["record"]["sha256"] == sha256(array):
                return {**found["record"], "path": track.path_of(MIXTURE)}
        record = prepare()
        if isinstance(record, dict):
            # A silent recording is infinitely far from anything.
            write_text(said, json.dumps({"of": of, "record": record}, default=str))
        return record
