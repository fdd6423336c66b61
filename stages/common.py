"""What every stage shares: where things are, and how an error is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import typer

# A stage runs the library that stands beside it: also in a copy that DVC made for a queued
# experiment, and where the package is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rsvm.errors import InputError
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


def metrics_file(variant: str) -> Path:
    """Where a variant's figures go; variants beyond the paper's two have a folder of their own."""
    folder = METRICS if variant in ("baseline", "improved") else METRICS / "ablation"
    return folder / f"{variant}.json"


def crafting_model(params: Params, variant: str) -> tuple[str, Path]:
    """The variant whose gradients attack ``variant``, and where its weights are."""
    source = variant if params.attack.source == "self" else params.attack.source
    return source, MODELS / f"{source}.safetensors"


def run(main: Callable[..., None]) -> None:
    """Run a stage as a command; bad input is one line, not a traceback."""
    try:
        typer.run(main)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
