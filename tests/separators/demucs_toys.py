"""Small models of the demucs package with random weights, and what the package makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from demucs.apply import BagOfModels, apply_model
from demucs.demucs import Demucs
from demucs.hdemucs import HDemucs
from demucs.htdemucs import HTDemucs
from safetensors.torch import save_file
from torch import Tensor, nn

RATE = 1000
SOURCES = ["drums", "bass", "vocals"]
HYBRID: dict[str, Any] = {"channels": 4, "depth": 2, "nfft": 64, "samplerate": RATE}
TOYS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "Demucs": (
        Demucs,
        # With normalisation, attention and recurrence in its branches.
        {
            "channels": 8,
            "depth": 2,
            "norm_starts": 1,
            "norm_groups": 2,
            "dconv_comp": 2,
            "dconv_attn": 1,
            "dconv_lstm": 1,
            "samplerate": RATE,
            "segment": 0.4,
        },
    ),
    "HDemucs": (
        HDemucs,
        {
            **HYBRID,
            "dconv_comp": 2,
            "dconv_attn": 1,
            "dconv_lstm": 1,
            "norm_starts": 1,
            "norm_groups": 2,
            "segment": 0.4,
        },
    ),
    "HTDemucs": (
        HTDemucs,
        {
            **HYBRID,
            "dconv_comp": 2,
            "bottom_channels": 8,
            "t_layers": 3,
            "t_heads": 2,
            "segment": Fraction(39, 100),
        },
    ),
}


def toy(name: str, seed: int = 0, **changes: Any) -> Any:
    """A model of one of the three classes; the same seed gives the same weights."""
    klass, kwargs = TOYS[name]
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = klass(SOURCES, **{**kwargs, **changes})
        # Branches begin with scales near zero, which would hide what is wrong in them.
        for key, weight in model.named_parameters():
            if key.endswith(("scale", "gamma_1.scale", "gamma_2.scale")):
                weight.data.fill_(0.5)
    return model.eval()


def bag(**changes: Any) -> Any:
    """Two models of two classes with weights of their own."""
    models = [toy("HDemucs", 1), toy("HTDemucs", 2)]
    return BagOfModels(models, [[1.0, 0.0, 3.0], [0.0, 1.0, 1.0]], **changes)


def store(path: Path, model: Any, **changes: Any) -> Path:
    """A safetensors file in the layout that the package reads."""
    args, kwargs = model._init_args_kwargs
    metadata = {
        "klass": f"{type(model).__module__}.{type(model).__name__}",
        "args": json.dumps(args, default=_fraction),
        "kwargs": json.dumps(kwargs, default=_fraction),
        **changes,
    }
    state = {key: weight.contiguous() for key, weight in model.state_dict().items()}
    save_file(state, str(path), {key: text for key, text in metadata.items() if text is not None})
    return path


def pickled(path: Path, model: Any, **changes: Any) -> Path:
    """A pickle in the layout of the package's older releases."""
    args, kwargs = model._init_args_kwargs
    about = {"klass": type(model), "args": args, "kwargs": dict(kwargs)}
    torch.save({**about, "state": model.state_dict(), "training_args": {}, **changes}, path)
    return path


def _fraction(value: Any) -> Mapping[str, Any]:
    assert isinstance(value, Fraction)
    return {"_type": "fraction", "numerator": value.numerator, "denominator": value.denominator}


def applied(model: Any, mixture: Tensor, **how: Any) -> Tensor:
    """The vocals by the package's `apply_model`, normalised as its `Separator` does, by item."""
    outputs = []
    for recording in mixture:
        reference = recording.mean(0)
        mean, spread = reference.mean(), reference.std() + 1e-8
        normal = ((recording - mean) / spread)[None]
        estimate = apply_model(model, normal, **{"shifts": 0, **how})
        outputs.append(estimate[0, model.sources.index("vocals")] * spread + mean)
    return torch.stack(outputs)


@dataclass(frozen=True)
class Unseeded:
    """The package with its default of one random shift, which no seed of ours fixes."""

    model: Any

    @property
    def sample_rate(self) -> int:
        return int(self.model.samplerate)

    @property
    def channels(self) -> int:
        return int(self.model.audio_channels)

    def separate(self, mixture: Tensor, side: Tensor | None = None) -> Tensor:
        return applied(self.model, mixture, shifts=1)


class Shifts:
    """In place of the package's `random`: given shifts, in the order they are asked for."""

    def __init__(self, shifts: Sequence[int]) -> None:
        self.shifts = list(shifts)

    def randint(self, low: int, high: int) -> int:
        shift = self.shifts.pop(0)
        assert low <= shift <= high
        return shift
