"""The first call: from a model to a separator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.separators import checkpoint
from stemproof.separators.kind import ReadyFor
from stemproof.separators.own import OwnSystem, abilities, noise, tried
from stemproof.separators.protocol import MaskKind, Separator
from stemproof.separators.ready import checked, kind_of, ready

Model = str | Path | Separator | nn.Module | Callable[[Tensor], Tensor] | Mapping[str, Any]


def load(
    model: Model | None = None,
    *,
    kind: str | None = None,
    sample_rate: int | None = None,
    channels: int | None = None,
    mask: MaskKind = "fixed",
    device: torch.device | str | None = None,
    samples: int | None = None,
    **settings: Any,
) -> Separator:
    """From a model to a separator that is ready to be attacked.

    A module is put into evaluation mode, and onto the device if one is named; what a bare function
    uses is not known here. Then it is played a second of noise: it has to give the vocals in the
    mixture's shape, and numbers. What is one's own is also asked for a gradient, and for double
    precision: it gets the abilities that it has.

    Args:
        model: path of a model file of this project; or a module or function of one's own, which
            takes mixtures and gives their vocals, batch x channels x samples both ways; or a
            separator that has been loaded or wrapped already; or an entry as under ``separators``
            in params.yaml: a mapping with ``kind`` and that kind's settings.
        kind: of a separator that needs no training, instead of a model: ``kind="spleeter"``.
        sample_rate: of the recordings that the model takes, in Hz; has to be said of one's own.
        channels: of the recordings that the model takes; has to be said of one's own.
        mask: where a model file's mask of the true stems comes from, if it has one.
        device: where to compute; by default where a module is, and the CPU for a model file.
        samples: length of the noise; one second by default.
        settings: of the kind.

    Returns:
        The separator. For recordings of another sample rate or number of channels, or long ones,
        wrap it: :mod:`stemproof.separators.wrappers`.

    Raises:
        InputError: the file is none of this project; there is no such kind or setting, or systems
            of the kind have to be trained; sample rate or channels are not said, or are
            others than the file's; the model gives no tensor, another shape, or not a number.

    >>> import stemproof
    >>> system = stemproof.load(lambda mixture: 0.5 * mixture, sample_rate=8000, channels=1)
    >>> system.sample_rate, system.channels
    (8000, 1)
    >>> stemproof.load(kind="stft", sample_rate=8000, window=512, hop=64).sample_rate
    8000
    >>> stemproof.load(lambda mixture: mixture[..., :-1], sample_rate=8000, channels=1)
    Traceback (most recent call last):
    stemproof.core.errors.InputError: the system gives (2, 1, 7999) for a mixture of (2, 1, 8000); \
it must give the vocals, batch x channels x samples, of the same shape
    """
    said = {"sample_rate": sample_rate, "channels": channels}
    for name, value in said.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InputError(f"{name} = {value!r} must be a whole number above 0")
    if isinstance(model, Mapping):
        settings = {**model, **settings}
        kind = settings.pop("kind", kind)
        model = None
    if (model is None) == (kind is None):
        raise InputError("name either a model or a kind (kind=) of separator")
    if kind is None and settings:
        raise InputError(f"settings ({', '.join(settings)}) are those of a kind; name it by kind=")
    if kind is not None:
        return _of_kind(str(kind), settings, said, mask, device)
    if isinstance(model, str | Path):
        separator = checkpoint.load(Path(model), mask, device or "cpu")
        _agree(separator, said, str(model))
        return separator
    if isinstance(model, nn.Module):
        model.eval()
        if device is not None:
            model.to(device)
        device = next((weight.device for weight in model.parameters()), device)
    if isinstance(model, Separator):
        separator = model
        _agree(separator, said, "the system")
    elif not callable(model):
        raise InputError(
            f"a {type(model).__name__} is no model; name a model file, or give a module or a "
            "function from mixtures to vocals"
        )
    elif sample_rate is None or channels is None:
        raise InputError(
            "a model of one's own does not say what it takes; give sample_rate (Hz) and channels"
        )
    else:
        separator = OwnSystem(model, sample_rate, channels)
    heard = noise(2, separator.channels, samples or separator.sample_rate, device or "cpu")
    tried(separator, heard, 0.5 * heard)
    if isinstance(separator, OwnSystem):
        return abilities(separator, heard[:1]).given_to(separator)
    return separator


def _of_kind(
    name: str,
    settings: dict[str, Any],
    said: Mapping[str, int | None],
    mask: MaskKind,
    device: torch.device | str | None,
) -> Separator:
    kind, where = kind_of(name), f"kind = {name}"
    known = {key: value for key, value in said.items() if value is not None}
    own = {key: value for key, value in known.items() if key in kind.settings.model_fields}
    wanted = ReadyFor(where, device=torch.device(device or "cpu"))
    if said["sample_rate"] is not None:
        wanted = replace(wanted, sample_rate=said["sample_rate"])
    separator = ready(kind, checked(kind, {**settings, **own}, where), wanted, mask)
    _agree(separator, said, where)
    return separator


def _agree(separator: Separator, said: Mapping[str, int | None], name: str) -> None:
    for key, value in said.items():
        own = getattr(separator, key)
        if value is not None and value != own:
            raise InputError(
                f"{name}: {key} is {own}, not {value}; leave it out, and wrap the system for other "
                "recordings (stemproof.separators.wrappers)"
            )
