"""Faults put into a process from outside: it dies at a chosen access to its files, or says all.

Or it has no network, and says when it reaches for it.

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
# What goes through a socket, or asks a server for a name; the socket itself is the first argument.
SOCKETS = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg")
NAMES = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
OF_THIS_MACHINE = 1  # the family of sockets that are files
Seen = Callable[[str, str], object]
Told = Callable[[str], object]


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


def die_at(root: Path, number: int, told: Told, kind: str = "") -> None:
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


def deny_network(told: Told) -> None:
    """Refuse what reaches for a network, also for this machine's own, before it is done.

    Args:
        told: is given what was refused.
    """

    def refused(event: str, arguments: tuple[Any, ...]) -> None:
        if event in SOCKETS:
            if int(arguments[0].family) == OF_THIS_MACHINE:
                return
        elif event not in NAMES:
            return
        said = f"{event} {arguments[event in SOCKETS :]}"
        told(said)
        raise OSError(f"no network: {said}")

    sys.addaudithook(refused)
