"""Audit every system on the same few test segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rsvm.audit.checks import Auditor, Material, other_mask, transfer
from rsvm.audit.flags import Flag, raise_flags
from rsvm.data.store import PreparedData, loud_mask
from rsvm.errors import InputError
from rsvm.params import Params
from rsvm.separator import Separator


@dataclass(frozen=True)
class Audited:
    """One system's figures and flags."""

    figures: dict[str, Any]
    flags: list[Flag]

    def summary(self) -> dict[str, Any]:
        """What goes into ``metrics/audit.json``; the figures would drown it."""
        return {
            "flags_raised": sum(flag.raised for flag in self.flags),
            "flags": {flag.name: "RAISED" if flag.raised else "clear" for flag in self.flags},
            # A list: DVC's tables leave it out, the report shows it.
            "reasons": [[flag.name, flag.raised, flag.reason] for flag in self.flags],
        }


def choose_material(
    params: Params, data: PreparedData, split: str, device: torch.device
) -> Material:
    """``audit.segments`` loud segments of a split, spread evenly over the tracks.

    Raises:
        InputError: no segment of the split has audible vocals.
    """
    found = []
    for track in data.tracks(split):
        mixture, vocals = track.segments(params.segment_samples)
        loud = np.flatnonzero(loud_mask(vocals.numpy(), params.segments.loud_db))
        found += [(track.name, mixture[number], vocals[number]) for number in loud]
    if not found:
        raise InputError(f"no {split} segment has audible vocals; see segments.loud_db")
    count = min(params.audit.segments, len(found))
    chosen = [found[round(place)] for place in np.linspace(0, len(found) - 1, count)]
    return Material(
        [name for name, _, _ in chosen],
        torch.stack([mixture for _, mixture, _ in chosen]).to(device),
        torch.stack([vocals for _, _, vocals in chosen]).to(device),
    )


@dataclass(frozen=True)
class System:
    """One model, and the same with the other kind of mask.

    Attributes:
        variant: what is reported.
        seed: of the training.
        separator: the model under the threat model's mask.
        twin: the model under the other kind of mask, or None for a system without a mask.
        stored_budget: largest fraction of the budget that its stored adversarials use, as read
            back from the disk.
        trained: whether training seeds make a difference.
    """

    variant: str
    seed: int
    separator: Separator
    twin: Separator | None
    stored_budget: float
    trained: bool = True

    @property
    def name(self) -> str:
        """Variant and seed."""
        return f"{self.variant}-{self.seed}"


def audit(
    params: Params, systems: Sequence[System], material: Material, training: Material
) -> dict[str, Audited]:
    """Measure every variant and raise its flags.

    Transfer is measured between all models; all else on the first training seed of a variant.

    Args:
        params: attack and audit settings.
        systems: the models, variant by variant.
        material: the segments.
        training: segments that a universal perturbation is learned on.
    """
    torch.manual_seed(params.attack.seed)  # for a system that is random at test time

    def auditor(separator: Separator) -> Auditor:
        return Auditor(separator, material, training, params.attack, params.audit)

    auditors = {system.name: auditor(system.separator) for system in systems}
    crossed = transfer(auditors)
    results: dict[str, Audited] = {}
    for system in systems:
        if system.variant in results:
            continue
        print(f"audit {system.name}: {len(material.tracks)} segments", flush=True)
        figures = auditors[system.name].figures()
        seeds = [other for other in systems if other.variant == system.variant]
        figures["seeds"] = len(seeds) if system.trained else None
        figures["mask"] = params.attack.mask
        figures["default_steps"] = params.attack.steps
        figures["transfer"] = {
            played.name: {source: scores[played.name] for source, scores in crossed.items()}
            for played in seeds
        }
        if system.twin is not None:
            pair = auditors[system.name], auditor(system.twin)
            if params.attack.mask == "recomputed":
                pair = pair[1], pair[0]
            figures["masks"] = other_mask(*pair)
        stored = max(other.stored_budget for other in seeds)
        figures["budget_used"] = max(figures["budget_used"], stored)
        results[system.variant] = Audited(figures, raise_flags(figures, params.audit))
    return results
