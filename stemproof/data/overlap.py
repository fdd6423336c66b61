"""Recordings and results in folders of their own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from stemproof.core.errors import InputError, explaining


def refuse_outputs(root: Path, outputs: Iterable[Path]) -> None:
    """Refuse a ``data.root`` that overlaps a folder which the pipeline writes, and may empty.

    Args:
        root: the folder of the recordings.
        outputs: folders that the pipeline writes; they may be absent.

    Raises:
        InputError: one of them is the root, holds it, or stands in it.
    """
    place = Path(os.path.realpath(root))
    for output in outputs:
        written = Path(os.path.realpath(output))
        with explaining(root, "read"):
            overlaps = _holds(written, place) or _holds(place, written)
        if overlaps:
            raise InputError(
                f"data.root = {root} overlaps {output}, where this pipeline writes its own files; "
                "move the recordings to a folder of their own and name that one"
            )


def refuse_link(folder: Path) -> None:
    """Refuse to write prepared data through a link: it is not ours, and DVC takes it away.

    Raises:
        InputError: the folder is a link.
    """
    if folder.is_symlink():
        raise InputError(
            f"{folder}: a link, and a folder of its own belongs there: remove the link and run "
            "again (`dvc cache dir` puts what is large on another disk)"
        )


def _holds(folder: Path, inner: Path) -> bool:
    """Whether a folder is another one or above it, also where case does not tell names apart."""
    return any(
        part == folder or (part.exists() and folder.exists() and part.samefile(folder))
        for part in (inner, *inner.parents)
    )
