"""Audit every system on the same few test segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stemproof.attacks.params import AttackParams
from stemproof.auditing.checks import Auditor
from stemproof.auditing.flags import Flag, raise_flags
from stemproof.auditing.material import Material
from stemproof.auditing.params import AuditParams
from stemproof.auditing.scores import without_absent
from stemproof.auditing.transfer import other_mask, transfer
from stemproof.separators.protocol import Informed, Separator


@dataclass(frozen=True)
class Audited:
    """One system's figures and flags.

    Attributes:
        attack: method and norm that were audited.
        figures: everything that was measured; without those that nothing is left of, because what
            was put out has collapsed.
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


@dataclass(frozen=True)
class System:
    """One model.

    Attributes:
        name: of the system.
        seed: of the training.
        separator: the model under the threat model.
        stored_budget: largest fraction of the budget that its stored adversarials use, as read
            back from the disk.
        trained: whether training seeds make a difference.
        universal: the perturbation that was learned and played to all segments, 1 x samples, when
            the attack is such a one.
    """

    name: str
    seed: int
    separator: Separator
    stored_budget: float
    trained: bool = True
    universal: Tensor | None = None

    @property
    def model(self) -> str:
        """Name and seed."""
        return f"{self.name}-{self.seed}"

    @property
    def twin(self) -> Separator | None:
        """The same system with the other kind of side information, where there is one."""
        return self.separator.twin if isinstance(self.separator, Informed) else None


def audit(
    settings: AuditParams,
    attack: AttackParams,
    systems: Sequence[System],
    material: Material,
    training: Material,
) -> dict[str, Audited]:
    """Measure every system and raise its flags.

    Transfer is measured between all models; all else on the first training seed of a system.

    Args:
        settings: the section ``audit``.
        attack: the section ``attack``.
        systems: the models, system by system.
        material: the segments.
        training: segments that a universal perturbation is learned on.
    """
    torch.manual_seed(attack.seed)  # for a system that is random at test time

    def auditor(separator: Separator, system: System) -> Auditor:
        return Auditor(separator, material, training, attack, settings, system.universal)

    auditors = {system.model: auditor(system.separator, system) for system in systems}
    crossed = transfer(auditors)
    results: dict[str, Audited] = {}
    for system in systems:
        if system.name in results:
            continue
        print(f"audit {system.model}: {len(material.tracks)} segments", flush=True)
        own = auditors[system.model]
        figures = own.figures()
        seeds = [other for other in systems if other.name == system.name]
        figures["seeds"] = len(seeds) if system.trained else None
        figures["mask"] = attack.mask
        figures["default_steps"] = own.default_steps
        figures["transfer"] = {
            played.model: {source: scores[played.model] for source, scores in crossed.items()}
            for played in seeds
        }
        if system.twin is not None:
            twin = auditor(system.twin, system)
            pair = own, twin
            if attack.mask == "recomputed":
                pair = twin, own
                # A straight-through gradient is not the slope of a threshold, and is not meant to
                # be: what a finite difference can check is the twin's.
                health = twin.gradient_health()
                figures["gradient"]["finite_difference_error"] = health["finite_difference_error"]
            figures["masks"] = other_mask(*pair)
        stored = max(other.stored_budget for other in seeds)
        figures["budget_used"] = max(figures["budget_used"], stored)
        flags = raise_flags(figures, settings)
        attacked = f"{own.attack.method}, {own.attack.norm}"
        results[system.name] = Audited(attacked, without_absent(figures), flags)
    return results
