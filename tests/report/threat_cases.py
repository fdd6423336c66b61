"""A run of two informed and three blind systems, from figures to claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from conftest import AllParams
from scored_cases import PASSED, Blind, evaluated, informed, oracle, recordings
from torch import Tensor

from stemproof.figures.compare import compare_threats
from stemproof.figures.summary import Models, Scored, summarize
from stemproof.report.claims import Claim, Data, Run, make_claim
from stemproof.report.words import threat_in_words
from stemproof.separators.protocol import Side

INFORMED = {"rsvm": True, "sister": True, "toy": False, "dull": False, "box": False}
REASON = "no gradient: it is a program; for a white-box figure give the model itself"
FAILED = {"passed": False, "checks": [{"name": "gradient", "passed": False, "reason": REASON}]}
GATES: dict[str, dict[str, Any]] = {**dict.fromkeys(INFORMED, PASSED), "box": FAILED}
# Break points at 1, 3 and 6 dB of one recording.
BREAKS = {"toy": (20.0, 15.0, 12.0), "dull": (18.0, 13.0, 9.0), "box": (10.0, 5.0, 2.0)}


class Dull(Blind):
    """Another one."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return mixture - 0.3 * mixture.roll(1, -1)


def broken(scored: Scored, points: tuple[float, float, float]) -> Scored:
    """With break points that are the same on every track."""
    keys = ("break_1db", "break_3db", "break_6db")
    table = pd.DataFrame(dict(zip(keys, points, strict=True)), index=scored.tracks.index)
    return scored.with_breaks(table, {"n_break_parts": 4, "n_unbroken": 1})


def scored_systems(folder: Path) -> dict[str, Models]:
    """Informed systems on three recordings, blind ones on a single one."""
    one = recordings(1)
    blind = {"toy": Blind(), "dull": Dull(), "box": Dull()}
    return {
        "rsvm": {seed: evaluated(folder, informed(seed), oracle()) for seed in (1, 2)},
        "sister": {seed: evaluated(folder, informed(seed + 5), oracle()) for seed in (1, 2)},
        **{
            name: {1: broken(evaluated(folder, system, data=one), BREAKS[name])}
            for name, system in blind.items()
        },
    }


@dataclass(frozen=True)
class MixedRun:
    """What the stages of such a run have written."""

    params: AllParams
    systems: Mapping[str, Models]
    comparison: Mapping[str, Any]

    def metrics(self, name: str) -> dict[str, Any]:
        about = {"kind": name, "informed": INFORMED[name], "gate": GATES[name]}
        return {**summarize(self.systems[name], self.params.statistics), **about}

    def claim(self, name: str, **changes: Any) -> Claim:
        """The claim of one system, on changed parameters of the attack."""
        attack = self.params.attack.model_copy(update=changes)
        parameters = self.params.model_dump(mode="json")
        parameters["attack"] = attack.model_dump(mode="json")
        parameters["separators"] = {system: {"kind": "toy"} for system in self.systems}
        metrics = self.metrics(name)
        run = Run(
            parameters=parameters,
            threat_model=threat_in_words(
                attack, self.params.segments, INFORMED[name], GATES[name], 30.0
            ),
            attack=attack.model_dump(mode="json"),
            eps=attack.eps,
            confidence=0.95,
            data=Data(
                source="demo",
                sha256="a" * 64,
                test_tracks=metrics["n_tracks"],
                test_segments=metrics["n_segments"],
            ),
            environment={"device": "CPU"},
            git_commit="0" * 40,
        )
        reasons = [["budget violated", "clear", "it is kept"], ["few seeds", "RAISED", "one"]]
        audit = {"attack": "pgd, linf", "flags_raised": 1, "reasons": reasons}
        return make_claim(run, name, metrics, self.comparison, audit)


def mixed_run(folder: Path, params: AllParams, reference: str = "rsvm") -> MixedRun:
    """The run, from tables per track on."""
    systems = scored_systems(folder)
    comparison = compare_threats(systems, INFORMED, reference, params.statistics)
    return MixedRun(params, systems, comparison)
