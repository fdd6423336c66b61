"""How the script of a stage is run: one run at a time, and one line in the place of a traceback."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer

from stemproof.core.ending import one_line
from stemproof.core.errors import InputError
from stemproof.core.locks import only_run
from stemproof.core.manual import manual
from stemproof.core.params import PARAMS
from stemproof.core.printing import keep_printing


def run_stage(main: Callable[..., None], locks: Path | None) -> None:
    """Run a stage as a command.

    Args:
        main: the stage; its arguments are the command's.
        locks: folder of the locks of runs that write; None for a stage that writes no results,
            which two runs at once would spoil.
    """

    @functools.wraps(main)
    def stage(**arguments: Any) -> None:
        name = Path(inspect.getfile(main)).stem
        # Of a folder that is no project the stage itself tells.
        alone = only_run(locks, name, *arguments.values()) if locks and PARAMS.exists() else None
        with alone or nullcontext():
            main(**arguments)

    keep_printing()
    with one_line():
        app = typer.Typer(add_completion=False)
        # Only for help: no stage depends on the file that describes them all.
        app.command(epilog=_manual(main) if "--help" in sys.argv else None)(stage)
        app()


def _manual(main: Callable[..., None]) -> str:
    try:
        return manual(f"stages/{Path(inspect.getfile(main)).name}")
    except InputError as error:
        return f"What it reads and writes cannot be told: {error}"
