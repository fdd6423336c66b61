"""Audit every system on the same few test segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rsvm.audit.checks import Auditor, Material, transfer
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


def audit(
    params: Params,
    separators: Mapping[str, Separator],
    material: Material,
    training: Material,
    stored_budget: Mapping[str, float],
) -> dict[str, Audited]:
    """Measure every system and raise its flags.

    Args:
        params: attack and audit settings.
        separators: the systems.
        material: the segments.
        training: segments that a universal perturbation is learned on.
        stored_budget: largest fraction of the budget that the stored adversarials of each
            system use, as read back from the disk.
    """
    torch.manual_seed(params.attack.seed)  # for a system that is random at test time
    auditors = {
        name: Auditor(separator, material, training, params.attack, params.audit)
        for name, separator in separators.items()
    }
    crossed = transfer(auditors)
    results = {}
    for name, auditor in auditors.items():
        print(f"audit {name}: {len(material.tracks)} segments", flush=True)
        figures = auditor.figures()
        figures["default_steps"] = params.attack.steps
        figures["transfer"] = {source: scores[name] for source, scores in crossed.items()}
        figures["budget_used"] = max(figures["budget_used"], stored_budget.get(name, 0.0))
        results[name] = Audited(figures, raise_flags(figures, params.audit))
    return results
