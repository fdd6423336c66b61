"""Python reads this at its start: faults for a run through DVC, asked for in the environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

ROOT = os.environ.get("FAULTS_ROOT")
NETWORK = os.environ.get("FAULTS_NETWORK")
STAGE = os.environ.get("DVC_STAGE", "")
if ROOT or NETWORK:
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    import hook


def journal(file: Path, first: str = "") -> hook.Told:
    """Append lines to a file, of which several processes may be writing."""
    stream = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(stream, first.encode())
    return lambda line: os.write(stream, f"{line}\n".encode())


if ROOT:
    who, _, number = os.environ.get("FAULTS_DIE_AT", ":0").partition(":")
    if who == ("stage" if STAGE else "dvc"):
        hook.die_at(Path(ROOT), int(number), lambda line: None)
    folder = os.environ.get("FAULTS_JOURNAL")
    if folder and STAGE:
        opened = journal(Path(folder) / STAGE)
        hook.watch(Path(ROOT), lambda _, path: opened(path), changes=False)
if NETWORK:
    # A file a process: its command, and what it was refused.
    own = Path(NETWORK) / f"{STAGE or 'no stage'}.{os.getpid()}"
    hook.deny_network(journal(own, f"{json.dumps(sys.orig_argv)}\n"))
