"""Do recordings, parameters and a separator fit together?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stemproof.api.recordings import Recordings, Signal, shown
from stemproof.attacks.params import AttackParams, AttackSection
from stemproof.core.errors import InputError
from stemproof.core.params import validate
from stemproof.data.excerpts import part_seed
from stemproof.separators.protocol import MaskKind, Separator


def attack_params(
    separator: Separator,
    params: AttackParams | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AttackParams:
    """The parameters of an attack, with the kind of mask that the separator has."""
    mask = _mask_of(separator)
    if params is None:
        params = validate(AttackSection, dict(settings or {}), "attack")
    elif settings:
        raise InputError("name either params or settings of the attack, not both")
    if "mask" in params.model_fields_set and params.mask != mask:
        raise InputError(
            f"attack: mask = {params.mask}, but the system was loaded with mask = {mask}; say it "
            "in `load`"
        )
    return params.model_copy(update={"mask": mask})


def _mask_of(separator: Any) -> MaskKind:
    """Where the mask of a system comes from, also of one that is wrapped."""
    while not hasattr(separator, "mask") and hasattr(separator, "inside"):
        separator = separator.inside
    mask: MaskKind = "recomputed" if getattr(separator, "mask", "") == "recomputed" else "fixed"
    return mask


def fitting(
    separator: Separator, mixture: Signal, vocals: Signal, sample_rate: int | None
) -> Recordings:
    """Recordings that fit a separator."""
    if not isinstance(separator, Separator):
        raise InputError(
            f"a {type(separator).__name__} is no separator; make it one with stemproof.load"
        )
    own = separator.sample_rate
    if sample_rate is not None and sample_rate != own:
        raise InputError(
            f"the recordings have {sample_rate} Hz, the system takes {own} Hz; wrap it: "
            f"stemproof.separators.wrappers.with_sample_rate(separator, {sample_rate})"
        )
    recordings = Recordings.of(mixture, vocals, own)
    channels = recordings.mixture.shape[1]
    if channels != separator.channels:
        raise InputError(
            f"the recordings have {channels} channel(s), the system takes {separator.channels}; "
            f"wrap it: stemproof.separators.wrappers.with_channels(separator, {channels})"
        )
    return recordings


def fitting_training(
    separator: Separator, recordings: Recordings, training: tuple[Signal, Signal]
) -> Recordings:
    """Recordings that a universal perturbation for others can be learned on."""
    found = fitting(separator, *training, sample_rate=None)
    if found.mixture.shape[1:] != recordings.mixture.shape[1:]:
        raise InputError(
            f"training is {shown(found.mixture)}, the mixture {shown(recordings.mixture)}; one "
            "perturbation for all needs one length"
        )
    return found


def seeds_of(part: slice, purpose: str, seed: int) -> list[int]:
    """Seeds of recordings, which belong to their places and not to a batch."""
    places = range(part.start or 0, part.stop)
    return [part_seed("recording", place, purpose, seed) for place in places]
