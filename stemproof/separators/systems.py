"""From a model file to the separator that is attacked."""

from __future__ import annotations

from pathlib import Path

import torch

from stemproof.separators.checkpoint import load_model
from stemproof.separators.rsvm.model import RSVM
from stemproof.params import Params
from stemproof.separators.protocol import ReconstructingSeparator, informed


def load_separator(
    path: Path, params: Params, variant: str, seed: int, device: torch.device
) -> ReconstructingSeparator:
    """Load a model behind the threat model's mask, ready to be attacked.

    Args:
        path: file that a training stage wrote.
        params: the whole tree.
        variant: which variant the file must hold.
        seed: which training seed it must have.
        device: where to compute.

    Raises:
        InputError: as :func:`stemproof.separators.checkpoint.load_model`.
    """
    model = load_model(path, params, variant, seed).to(device)
    if params.runtime.compile and isinstance(model, RSVM):
        model.compile_parts()
    return informed(model, params.attack.mask)
