"""State dicts of others: dense and finite numbers by name, and no code."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stemproof.core.errors import InputError, out_of_memory
from stemproof.core.files import MISSING, opened

SHA256 = "sha256"  # key of a header


def read_state(path: Path, cure: str, missing: str = MISSING) -> dict[str, Tensor]:
    """Read what ``torch.save`` wrote of a state dict; a pickle that asks for more is not loaded.

    Args:
        path: the file.
        cure: what to do about a file of something else.
        missing: what is said when there is none.

    Raises:
        InputError: the file is missing, damaged, or holds something else than tensors by name.
    """
    state = read_plain(path, "a plain PyTorch state dict", cure, missing)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError(f"{path}: holds something else than tensors by name; {cure}")
    return {str(key): value for key, value in state.items()}


def read_plain(
    path: Path, what: str, cure: str, missing: str = MISSING, allowed: Sequence[Any] = ()
) -> Any:
    """Read what ``torch.save`` wrote of numbers; no code in it is run.

    Args:
        path: the file.
        what: it should be, for messages.
        cure: what to do about a file of something else.
        missing: what is said when there is none.
        allowed: classes and functions that it may ask for beside those of tensors.

    Raises:
        InputError: the file is missing, damaged, or asks for something else.
    """
    with opened(path, missing) as stream:
        try:
            # PyTorch does not look at checksums; its files of before 2020 have none.
            if zipfile.is_zipfile(stream) and zipfile.ZipFile(stream).testzip() is not None:
                raise ValueError("a checksum is wrong")
            stream.seek(0)
            with torch.serialization.safe_globals(list(allowed)):
                return torch.load(stream, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # what is no such file fails in many ways
            said = reason(error)
            if out_of_memory(error):
                if not has_room(path):
                    raise
                said = "it asks for more memory than it fills"
            raise InputError(f"{path}: not {what} ({said}); {cure}") from None


def has_room(path: Path) -> bool:
    """Whether memory would hold a file twice: then what it could not hold is not in the file."""
    try:
        bytearray(2 * path.stat().st_size)
    except MemoryError:
        return False
    return True


def reason(error: Exception) -> str:
    """Why PyTorch does not read tensors from a file; its own words invite to run what is in it."""
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked:
        return f"it asks for {asked[1]}, which may run any code"
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
        return "it is damaged, or holds more than tensors"
    if "PytorchStreamReader" in str(error):
        return "it is damaged"
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


def weights_sha256(weights: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """The SHA-256 of tensors on the CPU, and of what is said of them.

    Args:
        weights: by name; their types and shapes count as well.
        header: a tree of numbers and texts.
    """
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for key in sorted(weights):
        tensor = weights[key]
        found.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def is_as_written(weights: Mapping[str, Tensor], header: Mapping[str, Any]) -> bool:
    """Whether tensors and their header fit the hash that the header carries, if it does.

    Args:
        weights: by name.
        header: with the hash under :data:`SHA256`; files of older releases have none.
    """
    said = {key: value for key, value in header.items() if key != SHA256}
    return header.get(SHA256) in (None, weights_sha256(weights, said))
