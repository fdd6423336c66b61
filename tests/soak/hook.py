"""Faults put into a process from outside: it dies at a chosen access to its files, or says all.

Only the standard library: what Python imports at its start, before any stage.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# Before the call, so that a process which dies at a rename has written and not renamed.
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate")
Seen = Callable[[str, str], object]


def watch(root: Path, seen: Seen, changes: bool) -> None:
    """Tell of every access to files below a folder.

    Args:
        root: the folder.
        seen: is given the name of the event and the path relative to the folder.
        changes: of writing alone, or of whatever is opened or listed.
    """
    top = os.path.realpath(root) + os.sep

    def told(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if changes and not (isinstance(flags, int) and flags & WRITING):
                return
        elif changes and event in CHANGES:
            path = arguments[1] if event in ("os.rename", "os.link") else arguments[0]
        else:
            return
        if isinstance(path, int) or path is None:
            return
        whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - no pathlib in a hook
        if whole.startswith(top):
            seen(event, whole[len(top) :])

    sys.addaudithook(told)


def die_at(root: Path, number: int, told: Callable[[str], object], kind: str = "") -> None:
    """End the whole process group, as a kill does, at the n-th change below a folder.

    Args:
        root: the folder.
        number: counted from 1; 0 for never.
        told: is given every change.
        kind: of the changes that count, such as ``os.rename``; all of them by default.
    """
    count = 0

    def seen(event: str, path: str) -> None:
        nonlocal count
        count += event.startswith(kind)
        told(f"{event} {path}")
        if count == number and event.startswith(kind):
            os.killpg(os.getpgid(0), signal.SIGKILL)

    watch(root, seen, changes=True)
