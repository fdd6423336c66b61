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

from stemproof.core.errors import InputError, user_message
from stemproof.core.files import read_json
from stemproof.core.locks import only_run
from stemproof.core.made_with import Record, carried, difference, merged, record_of
from stemproof.core.ownership import MARKER
from stemproof.core.params import PARAMS, Sections, load_params, read_tree
from stemproof.core.printing import keep_printing

__all__ = ["Sections", "load_params"]

DEMO = Path("data/demo")
PREPARED = Path("data/prepared")
ADVERSARIAL = Path("data/adversarial")
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

# Which parameters each stage's result depends on beside what it reads, in the order of the
# pipeline; as in dvc.yaml, where `find-break-points` names parts of `attack` as well.
INFLUENCES: dict[str, tuple[str, ...]] = {
    "render-demo": ("demo",),
    "prepare-musdb18": ("data", "segments"),
    "train": ("segments", "separators.{system}", "{shared}", "runtime", "processes"),
    "generate-pgd-adversarials": ("segments", "attack", "runtime"),
    "find-break-points": ("segments", "breaks", "runtime"),
    "evaluate": (*("segments", "separators.{oracle}", "attack", "breaks", "evaluate", "runtime"),),
    "compare": (
        *("systems", "reference", "train", "segments", "attack", "breaks", "evaluate"),
        "statistics",
    ),
    "audit": ("systems", "train", "segments", "attack", "audit", "runtime"),
    "report": (),
}


def made_of(stage: str, *inputs: tuple[Path, Record], **places: str) -> Record:
    """What the result of a stage is made with, after what it reads was held against params.yaml.

    A stage that DVC runs always passes: DVC has run again what a parameter touches. One that is run
    by hand may find what was made before a parameter changed.

    Args:
        stage: its name in ``dvc.yaml``, without the model.
        inputs: files that it reads, with what each was made with (:func:`said_by`).
        places: what stands for the names in braces in :data:`INFLUENCES`; empty for nothing.

    Raises:
        InputError: what is read was made with another value of a parameter; both are named.
    """
    tree = read_tree()
    for file, record in inputs:
        found = difference(record, tree)
        if found is not None:
            name, said = found
            first = _first_stage(name)
            raise InputError(f"{file}: made with {said}; run {first} again, and all that follows")
    names = [name.format_map(places) for name in INFLUENCES[stage]]
    own = record_of(tree, [name for name in names if name.rpartition(".")[2]])
    return merged(*(record for _, record in inputs), own)


def _first_stage(name: str) -> str:
    """The first stage whose result a parameter touches."""
    section = name.partition(".")[0]
    for stage, names in INFLUENCES.items():
        if section in {own.partition(".")[0] for own in names}:
            return stage
    return "train"  # what kinds have in common


def said_by(file: Path, again: str) -> tuple[Path, Record]:
    """A file of JSON, and what it says it was made with.

    Args:
        file: of JSON, with a record.
        again: the stage that writes it.

    Raises:
        InputError: it is missing, damaged, or says nothing.
    """
    return file, carried(read_json(file), file, again)


def prepared() -> tuple[Path, Record]:
    """What the prepared recordings were made with."""
    file = PREPARED / MARKER
    return PREPARED, said_by(file, "prepare-musdb18")[1]


def refuse_unnamed(system: str, seed: int, trains: bool = False) -> None:
    """Refuse a model that params.yaml does not ask for: no stage would show what it finds.

    Args:
        system: its name.
        seed: of its training.
        trains: whether it is about to be trained, for which an entry is enough.

    Raises:
        InputError: ``systems`` or ``train.seeds`` does not name it.
    """
    tree = read_tree()
    seeds = tree.get("train", {}).get("seeds", [])
    if seed not in seeds:
        raise InputError(
            f"--seed {seed} is none of train.seeds in {PARAMS} ({', '.join(map(str, seeds))}); "
            "name one of them, or add it there"
        )
    systems = tree.get("systems", [])
    if not trains and system not in systems:
        raise InputError(
            f"--system {system} is none of systems in {PARAMS} ({', '.join(map(str, systems))}); "
            "name one of them, or add it there"
        )


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

    keep_printing()
    try:
        typer.run(stage)
    except Exception as error:
        said = user_message(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        raise SystemExit(1) from None
