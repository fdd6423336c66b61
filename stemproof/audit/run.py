"""Audit every system on the same few test segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemproof.attacks.generate import Segments
from stemproof.audit.checks import Auditor, Material, other_mask, transfer
from stemproof.audit.flags import Flag, raise_flags
from stemproof.data.store import PreparedData
from stemproof.core.errors import InputError
from stemproof.params import Params
from stemproof.separators.protocol import Separator


@dataclass(frozen=True)
class Audited:
    """One system's figures and flags.

    Attributes:
        attack: method and norm that were audited.
        figures: everything that was measured.
        flags: one per check.
    """

    attack: str
    figures: dict[str, Any]
    flags: list[Flag]

    def summary(self) -> dict[str, Any]:
        """What goes into ``metrics/audit.json``; the figures would drown it."""
        return {
            "attack": self.attack,
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
    segments = Segments.of(data.tracks(split), params.segment_samples)
    loud = segments.loud(params.segments.loud_db)
    if not loud:
        raise InputError(f"no {split} segment has audible vocals; see segments.loud_db")
    count = min(params.audit.segments, len(loud))
    chosen = [loud[round(place)] for place in np.linspace(0, len(loud) - 1, count)]
    mixture, vocals = segments.read(chosen, device)
    names = [segments.tracks[segments.places[number][0]].name for number in chosen]
    return Material(names, mixture, vocals)


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
        crafted_on: name of the system whose gradients attacked it, when not its own.
        universal: the perturbation that was learned and played to all segments, 1 x samples, when
            the attack is such a one.
    """

    variant: str
    seed: int
    separator: Separator
    twin: Separator | None
    stored_budget: float
    trained: bool = True
    crafted_on: str | None = None
    universal: Tensor | None = None

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

    def auditor(separator: Separator, system: System) -> Auditor:
        return Auditor(separator, material, training, params.attack, params.audit, system.universal)

    auditors = {system.name: auditor(system.separator, system) for system in systems}
    crossed = transfer(auditors)
    results: dict[str, Audited] = {}
    for system in systems:
        if system.variant in results:
            continue
        print(f"audit {system.name}: {len(material.tracks)} segments", flush=True)
        source = auditors[system.crafted_on or system.name]
        figures = auditors[system.name].figures(source.own())
        seeds = [other for other in systems if other.variant == system.variant]
        figures["seeds"] = len(seeds) if system.trained else None
        figures["mask"] = params.attack.mask
        figures["default_steps"] = params.attack.steps
        figures["transfer"] = {
            played.name: {source: scores[played.name] for source, scores in crossed.items()}
            for played in seeds
        }
        figures["crafted_on"] = {played.name: played.crafted_on or played.name for played in seeds}
        if system.twin is not None:
            twin = auditor(system.twin, system)
            pair = auditors[system.name], twin
            if params.attack.mask == "recomputed":
                pair = twin, auditors[system.name]
                # A straight-through gradient is not the slope of a threshold, and is not meant to
                # be: what a finite difference can check is the twin's.
                health = twin.gradient_health()
                figures["gradient"]["finite_difference_error"] = health["finite_difference_error"]
            figures["masks"] = other_mask(*pair)
        stored = max(other.stored_budget for other in seeds)
        figures["budget_used"] = max(figures["budget_used"], stored)
        attack = auditors[system.name].attack
        results[system.variant] = Audited(
            f"{attack.method}, {attack.norm}", figures, raise_flags(figures, params.audit)
        )
    return results
