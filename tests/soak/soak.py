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
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from soaked import (
    Ran,
    Stage,
    Zygote,
    hashes,
    names,
    new_project,
    parameters,
    pipeline,
    remove,
)

TEMPORARY = re.compile(r"\..*\.[a-z0-9_]{8}(\.\w+)?")  # as tempfile makes them
KINDS = ("time", "change", "recording")


@dataclass
class Counts:
    """What was tried and found.

    Attributes:
        kills: by stage.
        kinds: by kind.
        runs: of the whole pipeline.
        repeated: the most units of work that one kill cost, by stage.
        hashes: files whose hash was compared.
        faults: everything that was not as it should be.
    """

    kills: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    repeated: dict[str, int] = field(default_factory=dict)
    hashes: int = 0
    faults: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "runs": self.runs,
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
        # Nothing that came later changed what was there, and nothing is left beside it.
        for stage in self.stages:
            self.compare(folder, stage, counts)
        left = names(folder) - names(self.scratch / "whole")
        counts.faults += [f"{name} is left behind" for name in sorted(left)]

    def _stage(
        self, folder: Path, stage: Stage, kinds: list[str], rng: random.Random, counts: Counts
    ) -> None:
        begun, killed = 0, 0
        for kind in kinds:
            ran = self.start(folder, stage, self._fault(stage, kind, rng))
            begun += ran.units
            if ran.code > 0:
                counts.faults.append(f"{stage.name}: {ran.said[-300:]}")
                continue
            killed += 1
            counts.kills[stage.name] += 1
            # A stage that was quicker than the clock has ended, and nobody has recorded it.
            counts.kinds["recording" if ran.code == 0 else kind] += 1
            self.check_whole(folder, stage, counts)
        ran = self.start(folder, stage, {})
        begun += ran.units
        if ran.code:
            counts.faults.append(f"{stage.name}, run again: {ran.said[-300:]}")
        self.compare(folder, stage, counts)
        needed = self.whole[stage.name].units
        if killed and needed:
            each = -(-max(begun - needed, 0) // killed)
            counts.repeated[stage.name] = max(counts.repeated.get(stage.name, 0), each)
            if begun > needed + killed:
                counts.faults.append(
                    f"{stage.name}: {begun} units of work for {needed}, after kills {kinds}"
                )

    def _fault(self, stage: Stage, kind: str, rng: random.Random) -> Mapping[str, float | str]:
        whole = self.whole[stage.name]
        if kind == "time":
            return {"kill_after": rng.uniform(0.02, 0.7 * whole.seconds)}
        return {"die_at": rng.randint(1, len(whole.changes))} if kind == "change" else {}

    def start(self, folder: Path, stage: Stage, fault: Mapping[str, float | str]) -> Ran:
        """Start a stage as DVC does: without what it is going to write."""
        for out in stage.outs:
            if out not in stage.kept:
                remove(folder / out)
        return self.zygote.run(folder, stage, **fault)

    @staticmethod
    def forget(folder: Path) -> None:
        """Remove what stages keep for later runs."""
        remove(folder / "checkpoints")

    def check_whole(self, folder: Path, stage: Stage, counts: Counts) -> None:
        """What has its name is whole, also right after a kill: it is what a whole run wrote."""
        for name, digest in hashes(folder, stage.outs).items():
            if not TEMPORARY.fullmatch(Path(name).name):
                counts.hashes += 1
                if digest != self.expected[stage.name].get(name):
                    counts.faults.append(f"{stage.name}: {name} is not whole after a kill")

    def compare(self, folder: Path, stage: Stage, counts: Counts) -> None:
        """Hold what a stage wrote against what it wrote in the whole run."""
        expected, found = self.expected[stage.name], hashes(folder, stage.outs)
        counts.hashes += len(expected)
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                counts.faults.append(f"{stage.name}: {name} differs from that of a whole run")


def soak_stages(scratch: Path, kills: int, rng: random.Random, counts: Counts) -> None:
    """Kill stages by themselves until there were enough kills."""
    soak = Soak.prepared(scratch)
    while sum(counts.kills.values()) < kills:
        folder = scratch / "run"
        soak.disturbed(folder, rng, 3, counts)
        shutil.rmtree(folder)
        counts.runs += 1
    soak.zygote.close()


def soak_dvc(scratch: Path, kills: int, rng: random.Random, counts: Counts) -> None:
    """Kill `dvc repro` until there were enough kills."""
    from through_dvc import DvcSoak

    soak = DvcSoak.prepared(scratch)
    while sum(counts.kills.values()) < kills:
        folder = scratch / "run"
        soak.disturbed(folder, rng, min(20, kills - sum(counts.kills.values())), counts)
        shutil.rmtree(folder)
        counts.runs += 1


def main() -> None:
    """Run until there were enough kills; print and store the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of stages by themselves")
    parser.add_argument("--dvc-kills", type=int, default=60, help="of `dvc repro`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file")
    chosen = parser.parse_args()
    found: dict[str, Any] = {"seed": chosen.seed}
    faults = 0
    for name, soak, kills in (
        ("stages", soak_stages, chosen.kills),
        ("dvc repro", soak_dvc, chosen.dvc_kills),
    ):
        if kills:
            counts, start = Counts(), time.monotonic()
            with tempfile.TemporaryDirectory() as scratch:
                soak(Path(scratch), kills, random.Random(chosen.seed), counts)
            found[name] = {**counts.document(), "seconds": round(time.monotonic() - start)}
            faults += len(counts.faults)
    text = json.dumps(found, indent=2)
    print(text)
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(text + "\n")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
