"""What every stage shares: where things are, and how it is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

# A stage runs the library that stands beside it: also in a copy that DVC made for a queued
# experiment, and where the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stemproof.core.needed import refuse_other_python

refuse_other_python()

import typer

from stemproof.core.arguments import checked_name, checked_seed
from stemproof.core.errors import InputError
from stemproof.core.influences import made_of, refuse_unnamed, said_by
from stemproof.core.locks import only_run
from stemproof.core.made_with import Record
from stemproof.core.ownership import MARKER
from stemproof.core.params import Sections, load_params
from stemproof.core.resume import drop
from stemproof.core.stage import run_stage

__all__ = ["Sections", "load_params", "made_of", "refuse_unnamed", "said_by"]

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
# What DVC makes of `systems` (or `ablations`, `own`) and `train.seeds`, and names files after.
SYSTEM: Any = typer.Option(parser=checked_name, help="a name under `separators`")
SEED: Any = typer.Option(parser=checked_seed, help="one of `train.seeds`")
LOCKS = CHECKPOINTS / "locks"
ASIDE = CHECKPOINTS / "aside"
# Unfinished work, of stages that are not done and of those whose results wait to be recorded.
RENDERED = CHECKPOINTS / "demo"
ATTACKED = CHECKPOINTS / "attack"
BROKEN = CHECKPOINTS / "breaks"
EVALUATED = CHECKPOINTS / "evaluate"
AUDITED = CHECKPOINTS / "audit"
HEARD = CHECKPOINTS / "listen"


def prepared() -> tuple[Path, Record]:
    """What the prepared recordings were made with."""
    return said_by(PREPARED / MARKER, "prepare-musdb18", sealed=False)


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


def forget(stage: str, system: str, seed: int, place: Path) -> None:
    """Remove finished work of a stage before this one: DVC has recorded what it wrote.

    Args:
        stage: its script; where it is under way, nothing is removed.
        system: whose work.
        seed: of the training.
        place: the folder of such work.
    """
    with suppress(InputError), only_run(LOCKS, stage, system, seed):
        drop(place, f"{system}-{seed}")


def run(main: Callable[..., None], writes: bool = True) -> None:
    """Run a stage as a command; bad input is one line, not a traceback.

    Args:
        main: the stage; its arguments are the command's.
        writes: whether it writes results, which two runs at once would spoil.
    """
    run_stage(main, LOCKS if writes else None)
