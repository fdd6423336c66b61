"""The state of an unfinished training, from which it goes on."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from stemproof.core.files import written_aside
from stemproof.separators.kind import Row


def save_state(
    path: Path, run: str, model: Any, optimizer: Any, fabric: Fabric, curves: list[Row]
) -> None:
    state = {
        "run": run,
        "curves": curves,
        "model": model.module.state_dict(),
        "optimizer": optimizer.state_dict(),
        # The scale of 16-mixed; nothing in other precisions.
        "precision": fabric.strategy.precision.state_dict(),
    }
    with written_aside(path) as temporary:
        torch.save(state, temporary)


def load_state(path: Path, run: str, model: Any, optimizer: Any, fabric: Fabric) -> list[Row]:
    """Restore a checkpoint of the same run; the curves of its epochs, or none."""
    if not path.exists():
        return []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        same_run = state["run"] == run
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError):
        print(f"{path}: damaged checkpoint, starting over")
        return []
    if not same_run:
        print(f"{path}: checkpoint of other parameters, data or code, starting over")
        return []
    model.module.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    fabric.strategy.precision.load_state_dict(state["precision"])
    curves: list[Row] = state["curves"]
    print(f"{path}: going on after epoch {len(curves)}")
    return curves
