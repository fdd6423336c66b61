"""Prepared recordings beside each other: all alike, and none of them twice."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stemproof.core.errors import InputError
from stemproof.data.problems import Problems
from stemproof.data.twice import Heard, same_recordings

Record = dict[str, Any]


def sound(outcomes: Iterable[Record | InputError], sample_rate: int) -> list[Record]:
    """The records of tracks that can be used, each beside the others.

    Args:
        outcomes: what became of each track: its record, or why it cannot be used.
        sample_rate: of all, in Hz.

    Raises:
        InputError: some cannot be; or two are the same recording; or one has other channels.
    """
    problems, records, first = Problems(), list[Record](), dict[str, Path]()
    for outcome in outcomes:
        with problems.noted():
            if isinstance(outcome, InputError):
                raise outcome
            records.append(outcome)
            path, same = outcome["path"], first.setdefault(outcome["audio"], outcome["path"])
            if same != path:
                raise InputError(
                    f"{same} and {path} are the same recording, sample for sample; a song counts "
                    "once, and none is trained on and tested on: leave one of them out"
                )
            if outcome["channels"] != records[0]["channels"]:
                raise InputError(
                    f"{path}: {outcome['channels']} channel(s), but {records[0]['path']} has "
                    f"{records[0]['channels']}; all recordings must have as many"
                )
    heard = [
        Heard(record["path"], record["samples"], record["low"], record["audio"])
        for record in records
    ]
    for message in same_recordings(heard, sample_rate):
        problems.add(message)
    problems.refuse()
    return records
