"""Audit every system on the same few test segments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from stemproof.attacks.params import AttackParams
from stemproof.attacks.stored import Adversarials
from stemproof.attacks.threat import threat_of
from stemproof.auditing.auditable import auditable
from stemproof.auditing.bench import Bench
from stemproof.auditing.checks import Auditor
from stemproof.auditing.costs import REMEMBERED, held, passes_of_audit, remembered
from stemproof.auditing.flag import Flag
from stemproof.auditing.flags import raise_flags
from stemproof.auditing.material import Material
from stemproof.auditing.params import AuditParams
from stemproof.auditing.scores import without_absent
from stemproof.auditing.transfer import as_heard, other_mask, played_across
from stemproof.core.progress import Progress
from stemproof.core.room import announce_held
from stemproof.separators.protocol import Informed, Separator
from stemproof.separators.wrappers import Memory


def at_once(_: str, compute: Callable[[], Any]) -> Any:
    """What is measured of a model, when nothing is kept for a later run."""
    return compute()


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
            "flags": {flag.name: flag.word for flag in self.flags},
            # A list: DVC's tables leave it out, the report shows it.
            "reasons": [[flag.name, flag.word, flag.reason] for flag in self.flags],
        }


@dataclass(frozen=True)
class System:
    """One model.

    Attributes:
        name: of the system.
        seed: of the training.
        separator: the model under the threat model.
        material: parts of test recordings that it is audited on.
        training: parts of training recordings, for a universal perturbation.
        stored: what the attack found; None where nothing was stored.
        trained: whether training seeds make a difference.
        universal: the perturbation that was learned and played to all parts, 1 x samples, when
            the attack is such a one.
        aim: how far an attack that aims at a loss fell short of it, as
            :func:`stemproof.auditing.reached.aim_of` counts; None where that is not known.
    """

    name: str
    seed: int
    separator: Separator
    material: Material
    training: Material
    stored: Adversarials | None = None
    trained: bool = True
    universal: Tensor | None = None
    aim: Mapping[str, float] | None = None

    @property
    def model(self) -> str:
        """Name and seed."""
        return f"{self.name}-{self.seed}"

    @property
    def twin(self) -> Separator | None:
        """The same system with the other kind of side information, where there is one."""
        return self.separator.twin if isinstance(self.separator, Informed) else None

    @property
    def white_box(self) -> bool:
        """Whether its gradient passed the gate; without stored adversarials it is believed."""
        return self.stored is None or bool(self.stored.gate["passed"])


def audit(
    settings: AuditParams,
    attack: AttackParams,
    systems: Sequence[System],
    measured: Callable[[str, Callable[[], Any]], Any] = at_once,
) -> dict[str, Audited]:
    """Measure every system and raise its flags.

    Transfer is measured between all models; all else on the first training seed of a system.

    Args:
        settings: the section ``audit``.
        attack: the section ``attack``.
        systems: the models, system by system.
        measured: gives what is measured of a model by itself, whose name it is given: computed by
            the function beside it, or kept from a run that was killed.
    """
    _announce(settings, attack, systems)
    torch.manual_seed(attack.seed)  # for a system that is random at test time
    memories = {system.model: Memory(REMEMBERED) for system in systems}
    benches = {
        system.model: Bench(
            system.separator,
            system.material,
            system.training,
            attack,
            system.universal,
            memory=memories[system.model],
        )
        for system in systems
    }
    stored = {system.model: system.stored for system in systems if system.stored is not None}
    crossed = played_across(benches, stored) if stored else {}
    results: dict[str, Audited] = {}
    for system in systems:
        if system.name in results:
            continue
        seeds = [other for other in systems if other.name == system.name]
        bench = benches[system.model]
        memory, batches = memories[system.model], len(bench.cases)
        do = partial(_figures, settings, attack, system, batches, memory)
        figures = measured(system.model, do)
        memory.forget()
        figures["seeds"] = len(seeds) if system.trained else None
        if crossed:
            figures["transfer"] = {played.model: crossed[played.model] for played in seeds}
        if attack.of_method.aim is None or system.aim is not None:
            figures["aim"] = _of_seeds([other.aim for other in seeds if other.aim is not None])
        found = [other.stored for other in seeds if other.stored is not None]
        used = [figures["budget_used"], *(adversarials.budget_used for adversarials in found)]
        figures["budget_used"] = max(used)
        if found:
            figures["gate"] = dict(found[0].gate)
        flags = raise_flags(figures, settings.of(threat_of(system.separator)))
        audited = bench.attack
        method = audited.method
        if not system.white_box:  # what was stored, by attacks that stand in for the parameters'
            stand_in = "gradient" in attack.of_method.needs
            method = " and ".join(attack.without_gradient if stand_in else [attack.method])
        results[system.name] = Audited(f"{method}, {audited.norm}", without_absent(figures), flags)
    return results


def _of_seeds(aims: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What all models of a system fell short of together; nothing where nothing was aimed at."""
    counts = {key: sum(aim[key] for aim in aims) for key in ("parts", "missed")}
    return {"drop": aims[0]["drop"], **counts} if aims else {}


def _announce(settings: AuditParams, attack: AttackParams, systems: Sequence[System]) -> None:
    if systems[0].material.mixture.device.type != "cpu":
        return
    parts = [part for one in systems for part in (one.material, one.training)]
    searched = [
        (settings.of(threat_of(one.separator)), one.material) for one in systems if one.white_box
    ]
    cure = "lower audit.segments, or attack.excerpt for blind systems"
    answers = max((remembered(*one, attack) for one in searched), default=0)
    announce_held("audit", held(parts, searched, attack) + answers, cure)


def _figures(
    settings: AuditParams, attack: AttackParams, system: System, batches: int, memory: Memory
) -> dict[str, Any]:
    """What is measured of one model by itself, in so many batches of parts."""
    threat, material = threat_of(system.separator), system.material
    suite = settings.of(threat)
    unit = "segments" if threat == "informed" else "excerpts"
    of = f" of {material.chosen_from}" if material.chosen_from else ""
    print(f"audit {system.model}: {unit}: {len(material.tracks)}{of}", flush=True)
    found = _found(attack, system)
    channels = material.mixture.shape[1]
    passes = passes_of_audit(suite, attack, system.white_box, channels, found is not None)
    total = (passes.forward + passes.gradient) * batches
    with Progress(total=total, desc=f"audit {system.model}", unit="pass") as bar:
        parts, own = (material, system.training), (system.universal, found)
        bench = Bench(system.separator, *parts, attack, *own, memory, bar.update)
        return _measured(settings, attack, system, bench)


def _found(attack: AttackParams, system: System) -> Tensor | None:
    """What the attack found on the parts that are audited, parts x samples.

    None where it has to be run: nothing was stored, a part was cut, or another attack is audited
    in its place.
    """
    if system.stored is None:
        return None
    heard, known = as_heard(system.stored, system.material)
    whole = known.all() and not system.material.cut and auditable(attack) is attack
    return heard if whole or not system.white_box else None


def _measured(
    settings: AuditParams, attack: AttackParams, system: System, bench: Bench
) -> dict[str, Any]:
    # Whatever was measured before it, and whether that was now or by a run that was killed.
    torch.manual_seed(attack.seed)
    threat = threat_of(system.separator)
    figures = Auditor(bench, settings.of(threat), system.white_box).figures()
    figures |= {"mask": attack.mask, "threat": threat, "parts": len(system.material.tracks)}
    if system.material.chosen_from:
        figures["chosen_from"] = system.material.chosen_from
    if system.twin is not None and system.white_box:
        twin = Bench(system.twin, system.material, system.training, attack)
        pair = bench, twin
        if attack.mask == "recomputed":
            pair = twin, bench
            # A straight-through gradient is not the slope of a threshold, and is not meant to
            # be: what a finite difference can check is the twin's.
            health = Auditor(twin, settings, white_box=False).gradient_health()
            figures["gradient"]["finite_difference_error"] = health["finite_difference_error"]
        figures["masks"] = other_mask(*pair)
    return figures
