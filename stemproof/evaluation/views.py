"""Looks into what systems have learned, on disk: arrays, and what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from stemproof.core.files import write_array
from stemproof.separators.protocol import Inspectable, Separator

MOST = 4  # of one system
LARGEST = (120, 160)  # rows and columns of a map


def view_names(stem: str) -> list[str]:
    """Every file that :func:`write_views` may write."""
    return [f"{stem}-view-{number}.npy" for number in range(MOST)]


def write_views(
    separator: Separator, mixture: Tensor, folder: Path, stem: str
) -> list[dict[str, Any]]:
    """Write what a system shows of itself; nothing of one that cannot.

    Args:
        separator: the system.
        mixture: what it hears, 1 x channels x samples.
        folder: where to.
        stem: how the files' names begin.

    Returns:
        What the index says of each.
    """
    if not isinstance(separator, Inspectable):
        return []
    found = []
    for name, view in zip(view_names(stem), separator.views(mixture), strict=False):
        values = view.values.detach().float().cpu()
        if values.ndim == 2:
            rows, columns = values.shape
            size = min(rows, LARGEST[0]), min(columns, LARGEST[1])
            values = adaptive_avg_pool2d(values[None, None], size)[0, 0]
        write_array(folder / name, np.ascontiguousarray(torch.nan_to_num(values).numpy()))
        about = {key: value for key, value in vars(view).items() if key != "values"}
        found.append({**about, "file": name})
    return found
