"""Runs stages in forks of a process that has imported everything: a kill costs no imports.

Requests are lines of JSON on the standard input, answers on the standard output.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hook

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "stages")]

# What one unit of work begins with, by module: epochs, batches, tracks (of an evaluation those that
# are scored at once), systems.
UNITS = {
    "stemproof.separators.rsvm.train": "training_batches",
    "stemproof.attacks.store": "craft",
    "stemproof.attacks.broken": "_searched",
    "stemproof.auditing.run": "_figures",
    "stemproof.data.prepare": "_decode",
    "stemproof.data.demo.songs": "_write_song",
    "stemproof.evaluation.evaluate": "Evaluator._bsseval",
}


def preload() -> None:
    """Import what stages import."""
    import importlib

    for stage in ROOT.glob("stages/*.py"):
        importlib.import_module(stage.stem)
    for module in ("rsvm", "stft"):
        importlib.import_module(f"stemproof.separators.{module}")
    for module in UNITS:
        importlib.import_module(module)
    import lightning_fabric.strategies.ddp  # noqa: F401


def count_units(told: Callable[[str], None]) -> None:
    """Tell of every unit of work that begins."""
    for name, place in UNITS.items():
        owner: Any = sys.modules[name]
        *classes, function = place.split(".")
        for inner in classes:
            owner = getattr(owner, inner)
        original = getattr(owner, function)

        def begun(*arguments: Any, of: Any = original, what: str = place, **more: Any) -> Any:
            told(f"unit {what}")
            return of(*arguments, **more)

        setattr(owner, function, begun)


def become(request: dict[str, Any]) -> None:
    """The stage, in a process of its own; does not return."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.chdir(request["folder"])
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        journal = os.open(request["journal"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def told(line: str) -> None:
            os.write(journal, f"{line}\n".encode())

        os.environ |= request.get("environment", {})
        count_units(told)
        script = ROOT / "stages" / f"{request['stage']}.py"
        sys.argv = [str(script), *request["arguments"]]
        fatal = request.get("die_at", 0), told, request.get("kind", "")
        hook.die_at(Path(request["folder"]), *fatal)
        runpy.run_path(str(script), run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):  # as the interpreter would
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Start a stage, kill it when it is time, and say how it ended."""
    start = time.monotonic()
    process = os.fork()
    if process == 0:
        become(request)
    end = start + request.get("kill_after", 1e9)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            break
        if time.monotonic() >= end:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "seconds": time.monotonic() - start}


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # what stages and libraries print is no answer
    preload()
    os.write(answers, b"ready\n")
    for line in sys.stdin:
        os.write(answers, f"{json.dumps(run(json.loads(line)))}\n".encode())
