"""What the report says of the systems of one threat model, which stand by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from stemproof.attacks.params import AttackParams
from stemproof.data.params import SegmentParams
from stemproof.figures.compare import comparison_of
from stemproof.figures.params import StatisticsParams
from stemproof.paper import li2022
from stemproof.report import audit_tables, tables, verdicts
from stemproof.report.params import Audio
from stemproof.report.words import (
    audited_in_words,
    collapse_in_words,
    gate_in_words,
    heard_in_words,
    limits_in_words,
    part_of,
    threat_in_words,
)

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """What the report says of the parameters.

    Attributes:
        attack: the section ``attack``.
        segments: the section ``segments``.
        statistics: the section ``statistics``.
        shown: all parameters of the run, as they are printed.
        changed: those of them that are not the defaults.
        seeds: of the training.
        audio: whose clips are embedded (``report.audio``).
        commit: of the code, in words.
    """

    attack: AttackParams
    segments: SegmentParams
    statistics: StatisticsParams
    shown: Mapping[str, Any]
    changed: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    audio: Audio = "demo"
    commit: str = "not known"


@dataclass(frozen=True)
class Group:
    """The systems of one threat model.

    Attributes:
        systems: their metrics, each with its ``name``, in the order of tables.
        comparison: ``metrics/comparison.json``.
        audits: flags and figures of the audit of all systems of the run.
        data: ``metrics/data.json``.
        tracks: their tables per track.
    """

    systems: Sequence[Metrics]
    comparison: Metrics
    audits: Mapping[str, Metrics]
    data: Metrics
    tracks: Mapping[str, pd.DataFrame]

    @property
    def informed(self) -> bool:
        """Which threat model."""
        return tables.are_informed(self.systems)

    @property
    def names(self) -> list[str]:
        """Of the systems."""
        return [system["name"] for system in self.systems]

    def context(self, settings: Settings) -> dict[str, Any]:
        """What the templates show of it."""
        systems, attack, cut = self.systems, settings.attack, settings.segments
        first = systems[0]
        compared = comparison_of(self.comparison, first["name"])
        confidence = settings.statistics.confidence
        played = list(dict.fromkeys(self.tracks[first["name"]]["track"]))
        found: dict[str, Any] = {
            "informed": self.informed,
            "key": "informed" if self.informed else "blind",
            "names": self.names,
            "lead": verdicts.lead(systems, self.audits, attack, settings.statistics, self.tracks),
            "shares": verdicts.shares(systems),
            "has_aim": attack.of_method.aim is not None,
            "heard": heard_in_words(first, self.data, attack, cut, played),
            "n_seeds": max(system["n_seeds"] for system in systems),
            "seconds": f"{cut.seconds:g}",
            "verdicts": [],
            "result": tables.result(systems),
            "excerpts": tables.excerpts(systems),
            "breaks": tables.breaks(systems),
            "collapses": [said for s in systems if (said := collapse_in_words(s["name"], s))],
            "differences": None,
            "controls": tables.controls(systems),
            "bsseval": tables.bsseval(systems),
            "seeds": tables.seeds(systems),
            "threats": self._threats(attack, cut),
            "unreached": self._unreached(attack),
            "elsewhere": audit_tables.elsewhere(
                {name: self.audits[name] for name in self.names}, self.informed
            ),
            "audited": audited_in_words(self.audits[first["name"]], self.informed),
            "limits": limits_in_words(attack, cut, self.informed),
        }
        if compared is not None:
            found["differences"] = tables.differences(compared, self.informed)
            found["p_floor"] = smallest_p(compared, settings.statistics.bootstrap)
            # The paper is of informed systems, and of attacks with a budget.
            if self.informed and attack.of_method.aim is None:
                found["verdicts"] = li2022.verdicts(compared, confidence)
        return found

    def _threats(self, attack: AttackParams, cut: SegmentParams) -> list[str]:
        """The threat model in words: once for all that pass the gate, and for each other."""
        white = [system for system in self.systems if system["gate"]["passed"]]
        found = []
        if white:
            said = threat_in_words(attack, cut, self.informed, white[0]["gate"])
            names = ", ".join(system["name"] for system in white)
            checked = "Its gradient" if len(white) == 1 else "Their gradients"
            found.append(f"{names}: {said} {checked} passed the checks before the attack.")
        for system in self.systems:
            if gate_in_words(system["gate"]):
                said = threat_in_words(attack, cut, self.informed, system["gate"])
                found.append(f"{system['name']}: {said}")
        levels = [
            f"{system['name']} {system['perturbation_snr']:.1f} dB"
            for system in self.systems
            if "perturbation_snr" in system
        ]
        return [*found, f"Mixture over perturbation (median): {', '.join(levels)}."]

    def _unreached(self, attack: AttackParams) -> list[str]:
        """Where an attack that has an aim fell short of it."""
        part = "segment" if self.informed else part_of(attack)
        return [
            f"On {system['n_not_reached']} {part}s of {system['name']} no perturbation was found "
            "that costs as much: there SNR and drop are of a weaker one."
            for system in self.systems
            if system.get("n_not_reached")
        ]


def smallest_p(comparison: Metrics, resamples: int) -> float | None:
    """The smallest adjusted p-value that can come out, whatever the data are.

    Of one comparison it is what the resamples and the tracks allow (see
    :class:`stemproof.figures.statistics.Interval`); Holm multiplies the
    smallest by the number of comparisons.

    Args:
        comparison: of one threat model.
        resamples: of the bootstrap.

    Returns:
        None where there is a single track, and no p-value.
    """
    tracks = comparison["n_tracks"]
    if tracks < 2:
        return None
    others = [figures for figures in comparison.values() if isinstance(figures, dict)]
    count = sum(len(figures) for figures in others)
    return float(min(1.0, count * max(2 / (resamples + 1), 2.0 ** (1 - tracks))))
