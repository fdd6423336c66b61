"""Models on disk: safetensors, with what they are in the header."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors
from safetensors.torch import load_file, save_file

from rsvm.errors import InputError
from rsvm.files import opened, written_aside
from rsvm.model.rsvm import RSVM
from rsvm.model.stft import STFT
from rsvm.params import Params

# One entry: safetensors writes several in an order that changes from run to run.
HEADER = "rsvm"


def save_model(path: Path, model: RSVM | STFT, params: Params, name: str, seed: int) -> None:
    """Write a variant's weights, atomically; the same weights give the same bytes."""
    weights = {
        key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()
    }
    header = json.dumps(_header(params, name, seed))
    with written_aside(path) as temporary:
        save_file(weights, str(temporary), metadata={HEADER: header})


def load_model(path: Path, params: Params, name: str, seed: int) -> RSVM | STFT:
    """Read a variant's weights into a new model on the CPU.

    Raises:
        InputError: the file is missing, damaged, of another variant or seed, or of other sizes; or
            it cannot be read.
    """
    with opened(path, "no such model; train it first"):
        try:
            with safetensors.safe_open(str(path), framework="pt") as stream:
                header = dict(json.loads((stream.metadata() or {}).get(HEADER, "{}")))
            weights = load_file(str(path))
        except (safetensors.SafetensorError, ValueError, TypeError) as error:
            said = f"not a model file, or truncated ({error}); delete it and run dvc repro"
            raise InputError(f"{path}: {said}") from None
    for key, expected in _header(params, name, seed).items():
        if header.get(key) != expected:
            raise InputError(
                f"{path}: its {key} is {header.get(key)}, but params.yaml says {expected}; "
                "train it again or restore its parameters"
            )
    variant = params.variant(name)
    model: RSVM | STFT
    if variant.stft:
        model = STFT(params.model)
    else:
        model = RSVM(params.model, variant, params.data.sample_rate, params.segment_samples)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{path}: weights of another model ({error}); delete it and run dvc repro"
        ) from None
    return model


def _header(params: Params, name: str, seed: int) -> dict[str, str]:
    """What must agree between a model file and the parameters that use it."""
    return {
        "variant": name,
        "seed": str(seed),
        "settings": json.dumps(params.variant(name).model_dump(), sort_keys=True),
        "model": json.dumps(params.model.model_dump(), sort_keys=True),
        "sample_rate": str(params.data.sample_rate),
    }
