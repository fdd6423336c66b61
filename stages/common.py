"""What every stage shares: where things are, one run at a time, and how an error is shown."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer

# A stage runs the library that stands beside it: also in a copy that DVC made for a queued
# experiment, and where the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stemproof.core.errors import user_message
from stemproof.core.locks import only_run
from stemproof.core.params import PARAMS, Sections, load_params

__all__ = ["Sections", "load_params"]

DEMO = Path("data/demo")
PREPARED = Path("data/prepared")
ADVERSARIAL = Path("data/adversarial")
LISTENING = Path("data/listening")
MODELS = Path("models")
METRICS = Path("metrics")
MODEL_METRICS = METRICS / "models"
BREAKS = METRICS / "breaks"
SYSTEM_METRICS = METRICS / "systems"
PLOTS = Path("plots")
REPORT = Path("report")
CHECKPOINTS = Path("checkpoints")
LOCKS = CHECKPOINTS / "locks"
ASIDE = CHECKPOINTS / "aside"


def model_file(system: str, seed: int) -> Path:
    """Where the weights of one model are."""
    return MODELS / system / f"{seed}.safetensors"


def adversarial_folder(system: str, seed: int) -> Path:
    """Where the adversarial mixtures against one model are."""
    return ADVERSARIAL / system / str(seed)


def breaks_folder(system: str, seed: int) -> Path:
    """Where the break points of one model are."""
    return BREAKS / system / str(seed)


def scored_folder(system: str, seed: int) -> Path:
    """Where the figures of one model are."""
    return MODEL_METRICS / system / str(seed)


def run_by_dvc() -> bool:
    """Whether DVC runs this stage: it has a copy of what other stages wrote."""
    return "DVC_STAGE" in os.environ


def run(main: Callable[..., None], writes: bool = True) -> None:
    """Run a stage as a command; bad input is one line, not a traceback.

    Args:
        main: the stage; its arguments are the command's.
        writes: whether it writes results, which two runs at once would spoil.
    """

    @functools.wraps(main)
    def stage(**arguments: Any) -> None:
        name = Path(inspect.getfile(main)).stem
        # Of a folder that is no project the stage itself tells.
        alone = writes and PARAMS.exists()
        with only_run(LOCKS, name, *arguments.values()) if alone else nullcontext():
            main(**arguments)

    try:
        typer.run(stage)
    except Exception as error:
        said = user_message(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        raise SystemExit(1) from None
