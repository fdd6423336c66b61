"""The state of an unfinished training, from which it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from stemproof.core.errors import out_of_memory
from stemproof.core.files import is_there, opened, written_aside
from stemproof.separators.kind import Row


def save_state(
    path: Path, run: str, model: Any, optimizer: Any, fabric: Fabric, curves: list[Row]
) -> None:
    """Write the state after an epoch, atomically.

    Args:
        path: where to.
        run: fingerprint of everything that the weights depend on.
        model: as Fabric set it up.
        optimizer: as Fabric set it up.
        fabric: the device; 16-mixed has a scale of its own.
        curves: one row an epoch.
    """
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
    """Restore a checkpoint of the same run; the curves of its epochs, or none.

    Raises:
        InputError: there is one, but it cannot be read.
    """
    if not is_there(path):
        return []
    with opened(path) as stream:
        try:
            state = torch.load(stream, map_location="cpu", weights_only=True)
            same_run = state["run"] == run
        except (OSError, MemoryError):
            raise
        except Exception as error:  # what is damaged fails in many ways
            if out_of_memory(error):
                raise
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
