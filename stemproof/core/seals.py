"""What a stage wrote, by its hash: was any of it changed since?

The record of a stage (``figures.json``, ``environment.json``) carries under ``sealed`` the hash of
what else it says, and the hashes of the files that were written with it. That is for an edit by
hand, a merge, or a copy from elsewhere; whoever writes the hashes anew as well is not stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from stemproof.core.aside import newest
from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint, json_text, sha256, write_json

SEAL = "sealed"  # key of a record
THIS = "this"  # key of the seal: the hash of the record without it
FILES = "files"  # key of the seal: hashes by names of files, relative to the record


def write_sealed(path: Path, record: Mapping[str, Any], beside: Collection[Path] = ()) -> None:
    """Write a record as JSON, with hashes of it and of files.

    Args:
        path: of the record.
        record: what it says.
        beside: files that the same stage wrote before, also in the same block of
            :func:`~stemproof.core.aside.written_together`.

    Raises:
        InputError: a file is not there, or the record cannot be written.
    """
    files = {_name(file, path): sha256(newest(file)) for file in sorted(beside)}
    # What is hashed is what a reader finds: JSON has fewer types.
    said = json.loads(json_text(record, path.name))
    write_json(path, {**said, SEAL: {THIS: fingerprint(said, files), FILES: files}})


def check_seal(
    path: Path, record: Mapping[str, Any], again: str, reads: Path | None = None
) -> None:
    """Refuse a record, and files beside it, that are not what was written.

    Args:
        path: of the record.
        record: what was read there.
        again: the stage that writes it.
        reads: folder of the files that the caller reads; None for all.

    Raises:
        InputError: the record or a file was changed, or a file is gone; the message names it. Or
            there is no seal: an earlier release wrote it.
    """
    if SEAL not in record:
        raise InputError(
            f"{path}: has no seal, as what {again} writes has since this release; run {again} again"
        )
    seal = record[SEAL]
    files = seal.get(FILES) if isinstance(seal, Mapping) else None
    if not isinstance(files, Mapping) or seal.get(THIS) != fingerprint(without_seal(record), files):
        raise InputError(f"{path}: {_changed(again)}")
    for name, known in files.items():
        file = Path(os.path.normpath(path.parent / name))
        if (reads is None or file.is_relative_to(reads)) and sha256(file) != known:
            raise InputError(f"{file}: {_changed(again)}")


def without_seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says, as it was before it was sealed."""
    return {key: value for key, value in record.items() if key != SEAL}


def _name(file: Path, path: Path) -> str:
    return Path(os.path.relpath(file, path.parent)).as_posix()


def _changed(again: str) -> str:
    return f"changed since {again} wrote it; run {again} again, and all that follows"
