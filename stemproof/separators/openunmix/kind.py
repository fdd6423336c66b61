"""The kind ``openunmix``: weights that are there already, or a model that is trained here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from stemproof.core.errors import InputError
from stemproof.core.params import Section
from stemproof.separators.kind import Kind, Made, Making, ReadyFor
from stemproof.separators.openunmix.folder import Folder, read_folder
from stemproof.separators.openunmix.model import VOCALS, OpenUnmix
from stemproof.separators.openunmix.params import OpenUnmixSettings
from stemproof.separators.openunmix.separator import BlindOpenUnmix
from stemproof.separators.openunmix.train import train
from stemproof.separators.protocol import MaskKind


def _make(making: Making) -> Made:
    """Take the weights of a folder as they are, or train."""
    own = making.settings
    assert isinstance(own, OpenUnmixSettings)
    if own.weights is None:
        trained = train(making, own)
        return Made(trained.model, trained.settings, trained.curves)
    return _ready(own, ReadyFor(making.where))


def _ready(own: Section, wanted: ReadyFor) -> Made:
    """Take the weights of a folder as they are."""
    assert isinstance(own, OpenUnmixSettings)
    assert own.weights is not None
    folder = own.weights.expanduser()
    found = read_folder(folder)
    settings = _settings(found, own, wanted.where, folder)
    model = _rebuild(settings)
    weights = {target.name: target.weights for target in found.targets}
    for name, network in zip(settings["targets"], model.networks, strict=True):
        network.load_state_dict(weights[name])
    return Made(model, settings, [{"epoch": 0}], trained=False)


def _settings(found: Folder, own: OpenUnmixSettings, where: str, folder: Path) -> dict[str, Any]:
    """What a model of a folder is rebuilt from; without a filter it has the vocals only.

    Raises:
        InputError: the filter needs more sources, or fewer channels.
    """
    sources = len(found.targets) + own.residual
    if own.niter and sources < 2:
        raise InputError(
            f"{where}.niter = {own.niter} needs more sources than the one target of {folder}; set "
            "residual = true, or niter = 0"
        )
    if own.niter and found.channels > 2:
        raise InputError(
            f"{where}.niter = {own.niter}: the filter takes two channels at most, and the model of "
            f"{folder} has {found.channels}; set niter = 0"
        )
    targets = [target for target in found.targets if own.niter or target.name == VOCALS]
    return {
        "sample_rate": found.sample_rate,
        "channels": found.channels,
        "n_fft": found.n_fft,
        "n_hop": found.n_hop,
        "targets": [target.name for target in targets],
        "networks": [target.sizes for target in targets],
        "niter": own.niter,
        "residual": own.residual,
        "wiener_frames": own.wiener_frames,
        "window": own.window,
    }


def _is_trained(settings: Section) -> bool:
    assert isinstance(settings, OpenUnmixSettings)
    return settings.weights is None


def _rebuild(settings: Mapping[str, Any]) -> OpenUnmix:
    return OpenUnmix(settings)


def _separator(model: nn.Module, mask: MaskKind) -> BlindOpenUnmix:
    assert isinstance(model, OpenUnmix)
    return BlindOpenUnmix(model)


KIND = Kind(
    name="openunmix",
    settings=OpenUnmixSettings,
    make=_make,
    rebuild=_rebuild,
    separator=_separator,
    summary="Open-Unmix (Stöter et al., 2019), with ready weights or trained here; told nothing",
    is_trained=_is_trained,
    outside=lambda settings: not _is_trained(settings),
    ready=_ready,
)
