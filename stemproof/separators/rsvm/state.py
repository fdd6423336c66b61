"""The state of an unfinished training, from which it goes on."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from stemproof.core.errors import out_of_memory
from stemproof.core.files import is_there, opened, write_csv, written_aside
from stemproof.core.finite import are_finite
from stemproof.core.resume import CURVES
from stemproof.separators.kind import Row

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def save_state(
    path: Path, run: str, model: Any, optimizer: Any, fabric: Fabric, curves: list[Row]
) -> None:
    """Write the state after an epoch, atomically; and its curves beside it, to be looked at.

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
    rows = [list(row.values()) for row in curves]
    write_csv(path.with_suffix(CURVES), list(curves[0]), rows)


def load_state(path: Path, run: str, model: Any, optimizer: Any, fabric: Fabric) -> list[Row]:
    """Restore the state of the same run; the curves of its epochs, or none.

    A file that is damaged, or of another run, is not gone on with: a line says so.

    Raises:
        InputError: there is one, but it cannot be read.
    """
    if not is_there(path):
        return []
    with opened(path) as stream:
        content = stream.read()
    try:
        # PyTorch reads tensors without looking at their checksums.
        if zipfile.ZipFile(io.BytesIO(content)).testzip() is not None:
            raise ValueError("a checksum is wrong")
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        same_run = state["run"] == run
        whole = not same_run or _is_whole(state, model, optimizer, fabric)
    except MemoryError:
        raise
    except Exception as error:  # damaged archives raise errors of many kinds
        if out_of_memory(error):
            raise
        whole = False
    if not whole:
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


def state_bytes(model: nn.Module) -> int:
    """What a state takes at least: every weight, with two moments of Adam; and the model file."""
    return 4 * sum(weight.numel() * weight.element_size() for weight in model.parameters())


def is_scaled(fabric: Fabric) -> bool:
    """Whether losses are scaled, as in 16-mixed, and steps whose gradients overflow left out."""
    return bool(fabric.strategy.precision.state_dict())


def _moments(moments: dict[str, Any]) -> Iterator[Tensor]:
    for moment in moments.values():
        yield from (moment["exp_avg"], moment["exp_avg_sq"])


def _is_whole(state: dict[str, Any], model: Any, optimizer: Any, fabric: Fabric) -> bool:
    """Whether a checkpoint fits: it is asked first, so that never a part of one is restored.

    What it lacks, and what is of another type, is a KeyError, a TypeError or the like.
    """
    curves, weights, moments = state["curves"], state["model"], state["optimizer"]["state"]
    own = model.module.state_dict()
    trained = [weight for group in optimizer.param_groups for weight in group["params"]]
    return (
        [row["epoch"] for row in curves] == list(range(1, len(curves) + 1))
        and all(row.keys() == curves[0].keys() for row in curves)
        and all(math.isfinite(value) for row in curves for value in row.values())
        and weights.keys() == own.keys()
        and all(weight.shape == own[key].shape for key, weight in weights.items())
        and state["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]
        and all(
            moment[key].shape == trained[number].shape
            for number, moment in moments.items()
            for key in ("exp_avg", "exp_avg_sq")
        )
        and are_finite([*weights.values(), *_moments(moments)])
        and state["precision"].keys() == fabric.strategy.precision.state_dict().keys()
    )
