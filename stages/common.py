"""What every stage shares: where things are, one run at a time, and how an error is shown."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import typer

# A stage runs the library that stands beside it: also in a copy that DVC made for a queued
# experiment, and where the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rsvm.errors import InputError, RefusedError, told
from rsvm.files import take_lock
from rsvm.params import Params

PARAMS = Path("params.yaml")
DEMO = Path("data/demo")
PREPARED = Path("data/prepared")
ADVERSARIAL = Path("data/adversarial")
MODELS = Path("models")
PUBLISHED = Path("published")
METRICS = Path("metrics")
PLOTS = Path("plots")
REPORT = Path("report")
CHECKPOINTS = Path("checkpoints")
SHARED = ("train", "generate", "evaluate")  # stages that several processes may share
# A process's number among those that Fabric, srun, jsrun or mpirun started.
RANKS = ("LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def metrics_file(variant: str) -> Path:
    """Where a variant's figures go; variants beyond the paper's two have a folder of their own."""
    folder = METRICS if variant in ("baseline", "improved") else METRICS / "ablation"
    return folder / f"{variant}.json"


def model_file(variant: str, seed: int) -> Path:
    """Where the weights of one model are."""
    return MODELS / variant / f"{seed}.safetensors"


def adversarial_folder(variant: str, seed: int) -> Path:
    """Where the adversarial mixtures against one model are."""
    return ADVERSARIAL / variant / str(seed)


def crafting_model(params: Params, variant: str, seed: int) -> tuple[str, int]:
    """Variant and seed of the model whose gradients attack the given one.

    Another variant attacks with the model of the same seed, or with its only one.
    """
    source = variant if params.attack.source == "self" else params.attack.source
    seeds = params.seeds_of(source)
    return source, seed if seed in seeds else seeds[0]


def run(main: Callable[..., None], writes: bool = True) -> None:
    """Run a stage as a command; bad input is one line, not a traceback.

    Args:
        main: the stage; its arguments are the command's.
        writes: whether it writes results, which two runs at once would spoil.
    """

    @functools.wraps(main)
    def stage(**arguments: Any) -> None:
        name = Path(inspect.getfile(main)).stem
        with only_run(name, *arguments.values()) if writes else nullcontext():
            main(**arguments)

    try:
        typer.run(stage)
    except Exception as error:
        said = told(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        raise SystemExit(1) from None


@contextmanager
def only_run(stage: str, *arguments: Any) -> Iterator[None]:
    """Keep a stage for this run: a second one in this folder is refused, not waited for.

    The lock goes with the process that took it, however that ends. Further processes of the same
    run share the first one's.

    Args:
        stage: its name.
        arguments: those of its command; a run with others writes other files.

    Raises:
        InputError: another run of the stage is under way.
    """
    # Of a folder that is no project the stage itself tells.
    if os.name == "nt" or not PARAMS.exists() or _is_further_process(stage):
        yield
        return
    name = " ".join([stage, *map(str, arguments)])
    path = CHECKPOINTS / "locks" / f"{re.sub('[^a-zA-Z0-9._-]', '_', name)[:100]}.lock"
    try:
        lock = take_lock(path)
    except RefusedError as error:
        if getattr(error.__cause__, "errno", None) not in NO_LOCKS:
            raise
        print(f"{path}: its file system has no locks; run this stage only once at a time")
        yield
        return
    if lock is None:
        holder = ""
        with suppress(OSError, ValueError):
            holder = path.read_text(encoding="utf-8")
        raise InputError(
            f"another run of this stage ({name}) is under way in this folder"
            f"{holder and f' ({holder})'}; wait until it has ended, or end it"
        )
    with lock:
        with suppress(OSError):  # a note for others, no more
            lock.truncate(0)
            os.write(lock.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
        try:
            yield
        finally:
            with suppress(OSError):
                lock.truncate(0)


def _is_further_process(stage: str) -> bool:
    """Whether Fabric, torchrun or another launcher started this beside the run's first process."""
    if stage not in SHARED:
        return False
    if "TORCHELASTIC_RUN_ID" in os.environ:  # also inside SLURM
        return os.environ.get("RANK", "0") != "0"
    return any(os.environ.get(name, "0") != "0" for name in RANKS)
