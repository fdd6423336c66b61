"""Programs of their own: run to their end, or ended with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stemproof.core.errors import InputError, explaining

TAIL = 4096  # bytes of what a program said, of which the last line is shown
LINE = 300  # characters of that line


def run_program(command: Sequence[str], seconds: float, name: str, said: Path) -> None:
    """Run a program without a shell, without input, in the current folder.

    It gets a group of processes of its own, and when its time is over the whole group is killed:
    what it has started itself goes with it.

    Args:
        command: the program and its arguments.
        seconds: that it may take.
        name: what messages call it.
        said: file for what it writes to its standard error.

    Raises:
        InputError: it cannot be started, takes too long, or ends with an error.
    """
    with explaining(said, "written"), said.open("wb") as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(
                f"{name} cannot be started ({error.strerror or error}: {command[0]}); install the "
                "program, or correct its name"
            ) from error
    try:
        code = process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{name} takes longer than timeout = {seconds:g} seconds; raise timeout, or correct "
            "the program"
        ) from None
    finally:
        # Also when this process is interrupted. A program that has ended has no group to kill.
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # it has just ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        how = f"exit code {code}" if code > 0 else f"signal {_signal(-code)}"
        line = _last_line(said)
        raise InputError(
            f"{name} ends with {how} ({line or 'it says nothing'}); run it by hand and correct it"
        )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _last_line(said: Path) -> str:
    with explaining(said, "read"), said.open("rb") as stream:
        stream.seek(max(said.stat().st_size - TAIL, 0))
        text = stream.read().decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = "".join(mark for mark in lines[-1] if mark.isprintable()) if lines else ""
    return shown[:LINE]
