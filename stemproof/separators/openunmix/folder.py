"""Weights that are there already: a folder as the package ``openunmix`` reads and writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stemproof.core.errors import InputError, explaining
from stemproof.core.files import opened
from stemproof.core.states import as_numbers, read_state
from stemproof.core.strict_json import parse_json
from stemproof.separators.openunmix.model import VOCALS
from stemproof.separators.openunmix.network import Network

SEPARATOR = "separator.json"
LAYOUT = "a folder of Open-Unmix has separator.json, and TARGET.json and TARGET*.pth a target"
CURE = "put the weights of Open-Unmix there"
COUNTED = "num_batches_tracked"
# Of the transform, which files of earlier releases hold beside the weights.
BUFFERS = ("sample_rate", "stft.window", "transform.0.window")


@dataclass(frozen=True)
class Target:
    """One network of a folder.

    Attributes:
        name: of the target.
        sizes: ``hidden_size``, ``nb_layers`` and ``heard_bins``.
        weights: by the names that :class:`~stemproof.separators.openunmix.network.Network` has.
    """

    name: str
    sizes: dict[str, int]
    weights: dict[str, Tensor]


@dataclass(frozen=True)
class Folder:
    """What a folder holds.

    Attributes:
        sample_rate: in Hz.
        n_fft: samples of a frame.
        n_hop: samples between frames.
        channels: of the recordings.
        targets: in alphabetical order, the vocals among them.
    """

    sample_rate: int
    n_fft: int
    n_hop: int
    channels: int
    targets: list[Target]


def read_folder(folder: Path) -> Folder:
    """Read ``separator.json``, and ``TARGET.json`` and ``TARGET*.pth`` of all targets.

    The layout is that of ``openunmix.utils.load_separator``. Sizes are those of the weights: the
    package builds three layers whatever a file holds, and leaves what is missing as it was drawn.

    Raises:
        InputError: the folder or one of the files is missing, damaged or of something else, there
            are several weights for a target, or none of the targets is the vocals.
    """
    with explaining(folder, "read"):
        names = sorted(path.name for path in folder.iterdir())
    about = _read_json(folder / SEPARATOR)
    keys = ("sample_rate", "nfft", "nhop", "nb_channels")
    rate, n_fft, n_hop, channels = (_whole(folder / SEPARATOR, about, key) for key in keys)
    if n_fft < 4 or n_fft % 2 or n_hop > n_fft // 2:
        raise InputError(
            f"{folder / SEPARATOR}: nfft = {n_fft} must be even, and nhop = {n_hop} at most half "
            "of it; put back the file that came with the weights"
        )
    targets = sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))
    targets.remove(SEPARATOR.removesuffix(".json"))
    if VOCALS not in targets:
        found = ", ".join(targets) or "none"
        raise InputError(
            f"{folder}: no {VOCALS}.json, so no target `{VOCALS}` (targets: {found}); put its "
            "files there, or name another folder"
        )
    read = []
    for name in targets:
        path = folder / f"{name}.json"
        arguments = _read_json(path).get("args")
        if not isinstance(arguments, dict):
            raise InputError(f"{path}: it has no `args`; {LAYOUT}")
        for key, wanted in (("nfft", n_fft), ("nb_channels", channels)):
            if _whole(path, arguments, key) != wanted:
                raise InputError(
                    f"{path}: {key} = {arguments[key]}, but {SEPARATOR} says {wanted}; put files "
                    "of one model there"
                )
        weights_path = _weights_of(folder, name, names, targets)
        weights = _read_weights(weights_path, rate)
        read.append(Target(name, _sizes(weights_path, weights, n_fft // 2 + 1, channels), weights))
        if read[-1].sizes["hidden_size"] != _whole(path, arguments, "hidden_size"):
            raise InputError(
                f"{weights_path}: {read[-1].sizes['hidden_size']} units, but {path.name} says "
                f"hidden_size = {arguments['hidden_size']}; put files of one model there"
            )
    return Folder(rate, n_fft, n_hop, channels, read)


def _read_json(path: Path) -> dict[str, Any]:
    with opened(path, f"no such file; {LAYOUT}") as stream:
        try:
            value = parse_json(stream.read())
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON ({error}); put the file back") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: a JSON object was expected; {LAYOUT}")
    return value


def _whole(path: Path, values: dict[str, Any], key: str) -> int:
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 1 or value % 1:
        raise InputError(
            f"{path}: {key} = {value!r} must be a whole number from 1; put back the file that "
            "came with the weights"
        )
    return int(value)


def _weights_of(folder: Path, target: str, names: list[str], targets: list[str]) -> Path:
    """The one file with the weights of a target; the package takes any of several."""
    others = [other for other in targets if other != target and other.startswith(target)]
    found = [
        name
        for name in names
        if name.startswith(target)
        and name.endswith(".pth")
        and not any(name.startswith(other) for other in others)
    ]
    if len(found) != 1:
        there = f"{len(found)} of them: {', '.join(found)}" if found else "no such file"
        raise InputError(f"{folder / target}*.pth: {there}; leave one for each target there")
    return folder / found[0]


def _read_weights(path: Path, sample_rate: int) -> dict[str, Tensor]:
    state = read_state(path, CURE)
    buffers = {key: state.pop(key) for key in BUFFERS if key in state}
    found = buffers.get("sample_rate")
    if found is not None and found.numel() == 1 and found.item() != sample_rate:
        raise InputError(
            f"{path}: of {found.item():g} Hz, but {SEPARATOR} says {sample_rate}; put files of "
            "one model there"
        )
    # Of batches seen there is a count, which is no weight.
    return {
        key: weight if key.endswith(COUNTED) else as_numbers(path, key, weight, CURE)
        for key, weight in state.items()
    }


def _sizes(path: Path, weights: dict[str, Tensor], bins: int, channels: int) -> dict[str, int]:
    """The sizes of the network that the weights are of.

    Raises:
        InputError: they are of none, or have other names or shapes than its weights.
    """
    problem = "it has no fc1.weight of two axes, or no input_mean of one"
    first, mean = weights.get("fc1.weight"), weights.get("input_mean")
    if first is not None and mean is not None and (first.ndim, mean.ndim) == (2, 1):
        layers = sum(key.startswith("lstm.weight_ih_l") for key in weights) // 2
        sizes = {"hidden_size": len(first), "nb_layers": layers, "heard_bins": len(mean)}
        problem = _difference(weights, sizes, bins, channels)
        if not problem:
            return sizes
    raise InputError(
        f"{path}: not the weights of a bidirectional Open-Unmix of {bins} bins and {channels} "
        f"channel(s) ({problem}); put them there"
    )


def _difference(weights: dict[str, Tensor], sizes: dict[str, int], bins: int, channels: int) -> str:
    """What is missing, left over or of another shape; empty when nothing is."""
    if min(sizes.values()) < 1 or sizes["hidden_size"] % 2 or sizes["heard_bins"] > bins:
        return ", ".join(f"{key} = {value}" for key, value in sizes.items())
    with torch.device("meta"):
        wanted = Network(bins, channels, **sizes).state_dict()
    for key in sorted(wanted.keys() ^ weights.keys()):
        return f"it has no {key}" if key in wanted else f"{key} is none of its weights"
    for key, weight in wanted.items():
        if weights[key].shape != weight.shape:
            return f"{key} is {tuple(weights[key].shape)}, not {tuple(weight.shape)}"
    return ""
