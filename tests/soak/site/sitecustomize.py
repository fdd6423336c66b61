"""Python reads this at its start: faults for a run through DVC, asked for in the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = os.environ.get("FAULTS_ROOT")
if ROOT:
    sys.path.append(str(Path(__file__).resolve().parent.parent))
    import hook

    STAGE = os.environ.get("DVC_STAGE", "")
    who, _, number = os.environ.get("FAULTS_DIE_AT", ":0").partition(":")
    if who == ("stage" if STAGE else "dvc"):
        hook.die_at(Path(ROOT), int(number), lambda line: None)
    journal = os.environ.get("FAULTS_JOURNAL")
    if journal and STAGE:
        file = os.open(Path(journal) / STAGE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        hook.watch(Path(ROOT), lambda _, path: os.write(file, f"{path}\n".encode()), changes=False)
