"""The package's models: which may be built, what they need, and how they are written down."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from stemproof.core.extras import load_extra

VOCALS = "vocals"
EXTRA, ASKED_BY = "demucs", "kind = demucs"
MODULES = {
    "Demucs": "demucs.demucs",
    "HDemucs": "demucs.hdemucs",
    "HTDemucs": "demucs.htdemucs",
}


def package(module: str) -> Any:
    """A module of the package.

    Raises:
        InputError: the package is not installed.
    """
    return load_extra(module, EXTRA, ASKED_BY)


def class_of(name: str) -> Any:
    """A class of models by its name.

    Raises:
        KeyError: it is none of the three.
    """
    return getattr(package(MODULES[name]), name)


class Ensemble(nn.Module):
    """Models whose vocals are averaged, and how a recording goes through them.

    Args:
        models: of one sample rate and one number of channels.
        weights: of each model's vocals, above 0 in sum.
        overlap: of two windows, as a fraction of one.
        shifts: how many shifted passes of each model are averaged; 0 for one that is not shifted.
        segment: length of a window in seconds, or None for that of each model.
    """

    def __init__(
        self,
        models: Sequence[Any],
        weights: Sequence[float],
        overlap: float,
        shifts: int,
        segment: float | None,
    ) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.weights = [float(weight) for weight in weights]
        self.overlap, self.shifts, self.segment = overlap, shifts, segment

    @property
    def sample_rate(self) -> int:
        """Of the recordings, in Hz."""
        first: Any = self.models[0]
        return int(first.samplerate)

    @property
    def channels(self) -> int:
        """Of the recordings."""
        first: Any = self.models[0]
        return int(first.audio_channels)

    def window(self, model: Any) -> int:
        """Samples of a window of a model, rounded as the package rounds."""
        return int(model.samplerate * (self.segment or model.segment))

    def hop(self, model: Any) -> int:
        """Samples from the start of a window to that of the next."""
        return int((1 - self.overlap) * self.window(model))


def written(system: Ensemble) -> dict[str, Any]:
    """All that :func:`rebuilt` needs, as plain values.

    Raises:
        TypeError: a model was built from values that cannot be written down.
    """
    return {
        "models": [_written(model) for model in system.models],
        "weights": system.weights,
        "overlap": system.overlap,
        "shifts": system.shifts,
        "segment": system.segment,
    }


def _written(model: Any) -> dict[str, Any]:
    args, kwargs = model._init_args_kwargs
    return {
        "class": type(model).__name__,
        "args": _plain(list(args)),
        "kwargs": _plain(kwargs),
        # A bag may have changed it.
        "segment": _plain(model.segment),
    }


def rebuilt(settings: Mapping[str, Any]) -> Ensemble:
    """The system that :func:`written` wrote down, without its weights.

    Raises:
        KeyError: a class is none of the three, or a value is missing.
        TypeError, ValueError: the values build no model.
    """
    return Ensemble(
        [_rebuilt(about) for about in settings["models"]],
        settings["weights"],
        float(settings["overlap"]),
        int(settings["shifts"]),
        settings["segment"],
    )


def _rebuilt(about: Mapping[str, Any]) -> Any:
    try:
        model = class_of(about["class"])(*_unplain(about["args"]), **_unplain(about["kwargs"]))
    except AssertionError as error:  # the package's way of checking arguments
        raise ValueError(f"these arguments build no {about['class']}: {error}") from None
    model.segment = _unplain(about["segment"])
    return model


def _plain(value: Any) -> Any:
    """A value as JSON has it; fractions as the package's own files have them."""
    if isinstance(value, Fraction):
        parts = {"numerator": value.numerator, "denominator": value.denominator}
        return {"_type": "fraction", **parts}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a value of type {type(value).__name__} among the arguments of a model")


def _unplain(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _unplain(item) for key, item in value.items()}
    return [_unplain(item) for item in value] if isinstance(value, list) else value


def why_not(model: Any) -> str | None:
    """Why a model cannot be a separator here, as half a sentence; None where it can."""
    if VOCALS not in model.sources:
        return f"its sources are {', '.join(map(str, model.sources))}; it has no {VOCALS}"
    sizes = {"samplerate": model.samplerate, "audio_channels": model.audio_channels}
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            return f"its {name} = {size!r} is no whole number above 0"
    segment = model.segment
    if not isinstance(segment, int | float | Fraction) or not 0 < segment < math.inf:
        return f"its segment = {segment!r} is no number of seconds"
    if any(getattr(part, "sparse", False) for part in model.modules()):
        return "its attention is sparse, which needs an unreleased part of xformers"
    if getattr(getattr(model, "crosstransformer", None), "sin_random_shift", 0):
        return "it draws random positions at test time (t_sin_random_shift), which no seed fixes"
    if not getattr(model, "cac", True) and model.wiener_iters >= 0:
        return "its Wiener filter works in place, so that no gradient comes back (cac = false)"
    if not all(bool(torch.isfinite(weight).all()) for weight in model.state_dict().values()):
        return "some of its weights are not finite"
    return None


def shortest(model: Any) -> int:
    """Samples that a model must be given to give numbers back.

    A spectrogram alone is padded by reflection, and the spread of one number is none.
    """
    if not getattr(model, "hybrid", True):
        return int(model.nfft) // 2 + 1
    return 1 if model.audio_channels > 1 else 2


def is_model(klass: Any) -> bool:
    """Whether a class is one of the three, and not another of that name."""
    name = getattr(klass, "__name__", None)
    if name not in MODULES or getattr(klass, "__module__", None) != MODULES[name]:
        return False
    return klass is getattr(importlib.import_module(MODULES[name]), name)


def bag_of(models: Sequence[Any], weights: Any, segment: float | None) -> Any:
    """The package's own bag, which sets the segments of its models.

    Raises:
        InputError: the package is not installed.
    """
    return package("demucs.apply").BagOfModels(list(models), weights, segment)
