"""Kill the stages of a run at seeded random moments, and hold what comes out against a whole run.

Stages run in forks of one process (``zygote.py``), each in its own process group, as DVC runs them:
outputs that DVC does not keep are removed before a stage starts again. There are three kinds of
kill: after a random time; at a random change of a file (a rename that has not happened, a half
removed folder); and after the stage has ended, before DVC has recorded it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from project import Ran, Stage, Zygote, hashes, new_project, parameters, pipeline, remove

KINDS = ("time", "change", "recording")


@dataclass
class Counts:
    """What was tried and found.

    Attributes:
        kills: by stage.
        kinds: by kind.
        repeated: the most units of work that one kill cost, by stage.
        hashes: files whose hash was compared.
        faults: everything that was not as it should be.
    """

    kills: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    repeated: dict[str, int] = field(default_factory=dict)
    hashes: int = 0
    faults: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "kills": sum(self.kills.values()),
            "kills_by_stage": dict(self.kills),
            "kills_by_kind": dict(self.kinds),
            "most_units_repeated_by_one_kill": self.repeated,
            "hashes_compared": self.hashes,
            "faults": self.faults,
        }


@dataclass
class Soak:
    """A run that was not disturbed, against which others are held."""

    scratch: Path
    zygote: Zygote
    params: dict[str, Any]
    stages: list[Stage]
    whole: dict[str, Ran] = field(default_factory=dict)
    expected: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def prepared(cls, scratch: Path) -> Soak:
        """With its undisturbed run."""
        params = parameters()
        soak = cls(scratch, Zygote(scratch / "zygote"), params, pipeline(params))
        folder = new_project(scratch / "whole", params)
        for stage in soak.stages:
            ran = soak.zygote.run(folder, stage)
            if ran.code:
                raise RuntimeError(f"{stage.name}: {ran.said}")
            soak.whole[stage.name] = ran
        # Behind the last stage: a later one may change what an earlier one wrote, and must not.
        soak.expected = {stage.name: hashes(folder, stage.outs) for stage in soak.stages}
        return soak

    def disturbed(self, folder: Path, rng: random.Random, per_stage: int, counts: Counts) -> None:
        """One run of the whole pipeline in which every stage is killed some times."""
        new_project(folder, self.params)
        for stage in self.stages:
            # Of a stage that has ended there is nothing left to kill: at most the last kill waits.
            kinds = [rng.choice(KINDS[:2]) for _ in range(per_stage - 1)] + [rng.choice(KINDS)]
            self._stage(folder, stage, kinds, rng, counts)
        # Nothing that came later changed what was there.
        for stage in self.stages:
            self._compare(folder, stage, counts)

    def _stage(
        self, folder: Path, stage: Stage, kinds: list[str], rng: random.Random, counts: Counts
    ) -> None:
        begun, killed = 0, 0
        for kind in kinds:
            ran = self._start(folder, stage, self._fault(stage, kind, rng))
            begun += ran.units
            if ran.code > 0:
                counts.faults.append(f"{stage.name}: {ran.said[-300:]}")
                continue
            killed += 1
            counts.kills[stage.name] += 1
            # A stage that was quicker than the clock has ended, and nobody has recorded it.
            counts.kinds["recording" if ran.code == 0 else kind] += 1
        ran = self._start(folder, stage, {})
        begun += ran.units
        if ran.code:
            counts.faults.append(f"{stage.name}, run again: {ran.said[-300:]}")
        self._compare(folder, stage, counts)
        needed = self.whole[stage.name].units
        if killed and needed:
            each = -(-max(begun - needed, 0) // killed)
            counts.repeated[stage.name] = max(counts.repeated.get(stage.name, 0), each)
            if begun > needed + killed:
                counts.faults.append(
                    f"{stage.name}: {begun} units of work for {needed}, after kills {kinds}"
                )

    def _fault(self, stage: Stage, kind: str, rng: random.Random) -> dict[str, float]:
        whole = self.whole[stage.name]
        if kind == "time":
            return {"kill_after": rng.uniform(0.02, 0.7 * whole.seconds)}
        return {"die_at": rng.randint(1, len(whole.changes))} if kind == "change" else {}

    def _start(self, folder: Path, stage: Stage, fault: dict[str, float]) -> Ran:
        for out in stage.outs:
            if out not in stage.kept:
                remove(folder / out)
        return self.zygote.run(folder, stage, **fault)

    def _compare(self, folder: Path, stage: Stage, counts: Counts) -> None:
        expected, found = self.expected[stage.name], hashes(folder, stage.outs)
        counts.hashes += len(expected)
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                counts.faults.append(f"{stage.name}: {name} differs from that of a whole run")


def main() -> None:
    """Run until there were enough kills; print and store the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-stage", type=int, default=3, help="kills of a stage in one run")
    parser.add_argument("--out", type=Path, help="a JSON file")
    chosen = parser.parse_args()
    rng, counts = random.Random(chosen.seed), Counts()
    with tempfile.TemporaryDirectory() as name:
        soak = Soak.prepared(Path(name))
        number = 0
        while sum(counts.kills.values()) < chosen.kills:
            folder = Path(name) / f"run-{number}"
            soak.disturbed(folder, rng, chosen.per_stage, counts)
            shutil.rmtree(folder)
            number += 1
        soak.zygote.close()
    text = json.dumps({"seed": chosen.seed, "runs": number, **counts.document()}, indent=2)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    sys.exit(bool(counts.faults))


if __name__ == "__main__":
    main()
