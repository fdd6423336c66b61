"""State dicts of others: dense and finite numbers by name, and no code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from stemproof.core.errors import InputError, out_of_memory
from stemproof.core.files import MISSING, opened


def read_state(path: Path, cure: str, missing: str = MISSING) -> dict[str, Tensor]:
    """Read what ``torch.save`` wrote of a state dict; a pickle that asks for more is not loaded.

    Args:
        path: the file.
        cure: what to do about a file of something else.
        missing: what is said when there is none.

    Raises:
        InputError: the file is missing, damaged, or holds something else than tensors by name.
    """
    with opened(path, missing) as stream:
        try:
            state = torch.load(stream, map_location="cpu", weights_only=True)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # what is no state dict fails in many ways
            if out_of_memory(error):
                raise
            raise InputError(
                f"{path}: not a plain PyTorch state dict ({reason(error)}); {cure}"
            ) from None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path}: holds something else than tensors by name; {cure}")
    return {str(key): value for key, value in state.items()}


def reason(error: Exception) -> str:
    """Why PyTorch does not read tensors from a file; its own words invite to run what is in it."""
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked:
        return f"it asks for {asked[1]}, which may run any code"
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
        return "it is damaged, or holds more than tensors"
    return str(error).partition("\n")[0] or "it ends too early"


def as_numbers(path: Path, key: str, tensor: Tensor, cure: str) -> Tensor:
    """A tensor in float32, which it has been in all but the number of digits.

    Raises:
        InputError: it is sparse, quantised, complex, of whole numbers, without values, or holds
            what is not a finite number.
    """
    what = None
    if tensor.layout is not torch.strided:
        what = "sparse"
    elif tensor.is_quantized:
        what = "quantised"
    elif tensor.is_meta:
        what = "without values"
    elif not tensor.is_floating_point():
        what = f"of {str(tensor.dtype).removeprefix('torch.')}, not of floating point"
    elif not torch.isfinite(numbers := tensor.float()).all():
        what = "not finite"
    if what is not None:
        raise InputError(f"{path}: {key} is {what}; {cure}")
    return numbers
