"""What every stage shares: where things are, and how an error is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import typer

# A stage runs the library that stands beside it: also in a copy that DVC made for a queued
# experiment, and where the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stemproof.core.errors import InputError
from stemproof.params import Params

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


def run(main: Callable[..., None]) -> None:
    """Run a stage as a command; bad input is one line, not a traceback."""
    try:
        typer.run(main)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except RuntimeError as error:
        # PyTorch's own kind, by its name: not every stage needs PyTorch.
        if type(error).__name__ != "OutOfMemoryError":
            raise
        hint = "lower train.batch_size, attack.batch or audit.segments"
        print(f"error: {error}; {hint}", file=sys.stderr)
        raise SystemExit(1) from None
