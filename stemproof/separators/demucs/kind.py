"""The kind ``demucs``: the package's models, with weights that the user has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from stemproof.core.errors import InputError
from stemproof.core.params import Section
from stemproof.separators.demucs.models import Ensemble, rebuilt, written
from stemproof.separators.demucs.params import DemucsSettings
from stemproof.separators.demucs.separator import DemucsVocals, as_separator
from stemproof.separators.demucs.weights import Source, read
from stemproof.separators.kind import Kind, Made, Making, ReadyFor
from stemproof.separators.protocol import MaskKind


def _make(making: Making) -> Made:
    return _ready(making.settings, ReadyFor(making.where))


def _ready(own: Section, wanted: ReadyFor) -> Made:
    """Read the weights, once: the model file holds them, and all that rebuilds the system."""
    assert isinstance(own, DemucsSettings)
    models, weights = read(own.weights, Source(wanted.where, own.allow_pickle))
    system = Ensemble(models, weights, own.overlap, own.shifts, own.segment)
    _check_windows(system, wanted.where)
    try:
        settings = written(system)
    except TypeError as error:
        raise InputError(f"{own.weights}: {error}; name another model") from None
    return Made(system, settings, [{"epoch": 0}], trained=False)


def _check_windows(system: Ensemble, where: str) -> None:
    for model in system.models:
        about: Any = model
        asked = system.segment
        if asked and hasattr(about, "use_train_segment") and asked > about.segment:
            raise InputError(
                f"{where}.segment = {asked:g}, but a model with attention takes at most "
                f"the {float(about.segment):g} s that it was trained on; lower it"
            )
        if system.hop(about) < 1:
            raise InputError(
                f"{where}: a window of {system.window(about)} samples with an overlap "
                f"of {system.overlap:g} does not move on; set a longer segment"
            )


def _rebuild(settings: Mapping[str, Any]) -> Ensemble:
    return rebuilt(settings)


def _separator(model: nn.Module, mask: MaskKind) -> DemucsVocals:
    assert isinstance(model, Ensemble)
    return as_separator(model)


KIND = Kind(
    name="demucs",
    settings=DemucsSettings,
    make=_make,
    rebuild=_rebuild,
    separator=_separator,
    summary="Demucs, HDemucs, HTDemucs and bags of them (Défossez, 2021; Rouard et al., 2023), "
    "with your weights; told nothing",
    is_trained=lambda _: False,
    outside=lambda _: True,
    extra="demucs",
    ready=_ready,
)
