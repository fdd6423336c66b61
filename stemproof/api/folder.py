"""A folder of songs with stems: gate, attack, break points, figures and the audit of some systems.

The same functions as the stages of the pipeline, on the same kind of files, in a folder of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stemproof import __version__
from stemproof.api.choosing import Chosen
from stemproof.api.costing import estimated
from stemproof.api.folder_params import FolderParams
from stemproof.attacks.broken import find_break_points, read_break_points, settings_of
from stemproof.attacks.store import Victim, generate
from stemproof.attacks.stored import open_adversarials
from stemproof.attacks.threat import fitted, threat_of
from stemproof.auditing import run
from stemproof.auditing.flag import Flag
from stemproof.auditing.material import choose_material
from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams, WorkerParams
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.figures.summary import summarize
from stemproof.separators.checkpoint import load
from stemproof.separators.protocol import Separator


@dataclass(frozen=True)
class System:
    """A system that is loaded and fitted to the songs.

    Attributes:
        name: what tables call it.
        separator: takes the songs.
        file: its model file.
        trained: whether the luck of a training is in it.
    """

    name: str
    separator: Separator
    file: Path
    trained: bool


@dataclass(frozen=True)
class FolderAudit:
    """What was found of one system.

    Attributes:
        name: of the system.
        threat: ``informed`` or ``blind``.
        summary: figures, with intervals (``bs_low``, ``bs_high``) where there are several songs.
        attack: method and norm that the flags are about.
        figures: of the audit.
        flags: one a check.
        gate: what the gate before the attack found.
    """

    name: str
    threat: str
    summary: Mapping[str, Any]
    attack: str
    figures: Mapping[str, Any]
    flags: Sequence[Flag]
    gate: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        flags = [[flag.name, flag.word, flag.reason] for flag in self.flags]
        return {
            "threat": self.threat,
            "gate": dict(self.gate),
            "figures": dict(self.summary),
            "audited_attack": self.attack,
            "audit": dict(self.figures),
            "flags": flags,
        }


def open_systems(
    chosen: Sequence[Chosen], data: PreparedData, work: Path, device: torch.device
) -> list[System]:
    """Load some systems, and fit them to the songs.

    Args:
        chosen: the systems.
        data: the songs.
        work: a folder of one's own, for model files.
        device: where to compute.

    Raises:
        InputError: two have one name; one cannot be loaded, or not be fitted.
    """
    found: list[System] = []
    for one in chosen:
        if one.name in [system.name for system in found]:
            raise InputError(f"{one.name} is named twice; name each system once")
        file = one.stored(work / "models", data.sample_rate, device)
        separator = fitted(load(file, "fixed", device), data)
        found.append(System(one.name, separator, file, one.trained))
    return found


def audit_folder(
    systems: Sequence[System],
    data: PreparedData,
    params: FolderParams,
    work: Path,
    device: torch.device,
) -> list[FolderAudit]:
    """Attack the songs, search break points, score, and audit.

    Args:
        systems: what :func:`open_systems` gave.
        data: what :func:`stemproof.data.songs.prepare_songs` gave.
        params: of everything.
        work: a folder of one's own; it holds as much as the songs, once a system.
        device: where to compute.

    Raises:
        InputError: what is computed is not a number, or parameters do not fit.
    """
    summaries: list[dict[str, Any]] = []
    audited: list[run.System] = []
    for system in systems:
        victim = Victim(system.name, system.separator, system.file)
        attacked, broken = work / "adversarial" / system.name, work / "breaks" / system.name
        common = params.attack, params.cut, victim, data, device
        generate(*common, attacked, work / "unfinished")
        stored = open_adversarials(attacked, params.attack, params.cut, data)
        find_break_points(params.breaks, *common, broken, work / "unfinished")
        made_with = settings_of(params.breaks, params.attack, params.cut)
        breaks = read_break_points(broken, made_with, stored.model_sha256, data.fingerprint)
        scored = _evaluator(system, params, device).evaluate(data, stored)
        scored = scored.with_breaks(breaks.tracks, breaks.counts)
        summaries.append(_summary(summarize({0: scored}, params.statistics)))
        suite = params.audit.of(threat_of(system.separator))
        material = choose_material(
            suite, params.attack, params.cut, data, "test", system.separator, device
        )
        # Nothing is learned on other songs: there are none.
        audited.append(
            run.System(system.name, 0, system.separator, material, material, stored, system.trained)
        )
    results = run.audit(params.audit, params.attack, audited)
    return [
        FolderAudit(
            one.name,
            threat_of(one.separator),
            summary,
            results[one.name].attack,
            results[one.name].figures,
            _flags(results[one.name].flags, len(systems)),
            dict(one.stored.gate) if one.stored else {},
        )
        for one, summary in zip(audited, summaries, strict=True)
    ]


def expected_seconds(
    systems: Sequence[System], data: PreparedData, params: FolderParams, device: torch.device
) -> float:
    """About how long :func:`audit_folder` will take: a timed pass, times the number of passes."""
    return sum(estimated(one.separator, data, params, device) for one in systems)


def document(found: Sequence[FolderAudit], data: PreparedData, params: FolderParams) -> Any:
    """All that was found, as JSON."""
    songs = data.tracks("test")
    return {
        "schema_version": "songs-1",
        "version": __version__,
        "songs": [track.name for track in songs],
        "seconds": [track.samples / data.sample_rate for track in songs],
        "sample_rate": data.sample_rate,
        "channels": data.channels,
        "data": data.fingerprint,
        "params": params.document(),
        "systems": {one.name: one.document() for one in found},
    }


def _evaluator(system: System, params: FolderParams, device: torch.device) -> Evaluator:
    return Evaluator(
        system.name,
        system.separator,
        None,
        params.evaluate,
        params.attack,
        params.cut,
        WorkerParams(),
        ProcessParams(),
        device,
    )


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    """Of a single song there are no intervals, and of a single seed no figures by seed."""
    found = {key: value for key, value in found.items() if key != "seeds"}
    if found["n_tracks"] > 1:
        return found
    return {key: value for key, value in found.items() if not key.endswith(("_low", "_high"))}


def _flags(flags: Sequence[Flag], systems: int) -> list[Flag]:
    """Of a single system nothing came from elsewhere."""
    return [flag for flag in flags if systems > 1 or flag.name != "stronger from elsewhere"]
