"""The kind ``rsvm``: the paper's family of models, trained here or published by its authors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from stemproof.core.errors import InputError
from stemproof.core.params import Section
from stemproof.separators.kind import Kind, Made, Making
from stemproof.separators.protocol import MaskKind
from stemproof.separators.rsvm.model import RSVM
from stemproof.separators.rsvm.params import RSVMSettings, Sizes
from stemproof.separators.rsvm.published import load_published, sha256_of_pair
from stemproof.separators.rsvm.separator import InformedRSVM, as_separator
from stemproof.separators.rsvm.train import train
from stemproof.separators.validation import validate

PUBLISHED = Path("published")


def _make(making: Making) -> Made:
    """Train a variant, or take a published model as it is."""
    variant = making.settings
    assert isinstance(variant, RSVMSettings)
    settings = {
        "sizes": making.shared.sizes.model_dump(mode="json"),
        "variant": variant.model_dump(mode="json", exclude_defaults=True),
        "sample_rate": making.data.sample_rate,
        "segment_samples": making.segment_samples,
    }
    if variant.published is None:
        trained = train(making, variant)
        recipe = making.shared.training.model_dump(mode="json")
        return Made(trained.model, {**settings, "training": recipe}, trained.curves)
    model = _published(making, variant)
    row = validate(as_separator(model), making.data.tracks("valid"), making.segments)
    return Made(model, settings, [{"epoch": 0, **row}], trained=False)


def _published(making: Making, variant: RSVMSettings) -> RSVM:
    chosen = variant.published
    assert chosen is not None
    pair = [PUBLISHED / f"{part}_{chosen.identity}.pytorch" for part in ("analysis", "synthesis")]
    sizes = making.shared.sizes
    model = load_published(
        *pair,
        kernel=sizes.kernel,
        hop=sizes.hop,
        sample_rate=making.data.sample_rate,
        segment_seconds=making.segments.seconds,
    )
    found = sha256_of_pair(*pair)
    if found != chosen.sha256:
        raise InputError(
            f"separators.{making.name}.published.sha256 = {chosen.sha256}, but the files "
            f"{pair[0]} and {pair[1]} have {found}; write that, if they are the ones that are meant"
        )
    channels = model.encoder.conv_a1.out_channels
    if channels != sizes.channels:
        raise InputError(
            f"separators.{making.name}: the published model has {channels} channels, "
            f"but rsvm.sizes.channels = {sizes.channels}"
        )
    return model


def _is_trained(settings: Section) -> bool:
    assert isinstance(settings, RSVMSettings)
    return settings.published is None


def _rebuild(settings: Mapping[str, Any]) -> RSVM:
    return RSVM(
        Sizes(**settings["sizes"]),
        RSVMSettings(**settings["variant"]),
        int(settings["sample_rate"]),
        int(settings["segment_samples"]),
    )


def _separator(model: nn.Module, mask: MaskKind) -> InformedRSVM:
    assert isinstance(model, RSVM)
    return as_separator(model, mask)


KIND = Kind(
    name="rsvm",
    settings=RSVMSettings,
    make=_make,
    rebuild=_rebuild,
    separator=_separator,
    summary="RSVM (Mimilakis et al., 2020) and its variants, with the mask of the true stems",
    is_trained=_is_trained,
)
