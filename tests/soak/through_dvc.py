"""`dvc repro` killed at seeded random moments, with all that it started, until it ends."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from soak import Counts
from soaked import hashes, parameters, pipeline

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "pipeline")]
from test_pipeline import Clone  # noqa: E402 - of the tests

# Kills by time, at a change of files by a stage, and at one by DVC itself.
KINDS = ("time", "change", "DVC's change")
DVC_FILES = {"RWLock-file": ".dvc/tmp/rwlock", "dvc.lock' ": "dvc.lock"}
PATIENCE = 300.0  # seconds in which an undisturbed run has ended
LONGEST = 15.0  # seconds until a kill by time
CHANGES = {"change": 60, "DVC's change": 250}  # of one process, at most


@dataclass
class DvcSoak:
    """An undisturbed run through DVC, and what its outputs were."""

    scratch: Path
    outs: tuple[str, ...] = ()
    expected: dict[str, str] = field(default_factory=dict)

    @classmethod
    def prepared(cls, scratch: Path) -> DvcSoak:
        """With its undisturbed run."""
        soak = cls(scratch)
        params = parameters()
        soak.outs = (*(out for stage in pipeline(params) for out in stage.outs), "dvc.lock")
        whole = Clone(scratch / "whole", params)
        whole.dvc("repro")
        soak.expected = hashes(whole.folder, soak.outs)
        return soak

    def disturbed(self, folder: Path, rng: random.Random, kills: int, counts: Counts) -> None:
        """One run of the whole pipeline, killed so many times at most."""
        clone = Clone(folder, parameters())
        for _ in range(kills):
            kind = rng.choice(KINDS)
            code, said = self._repro(clone, rng, kind)
            if code == 0:
                break
            stages = re.findall(r"Running stage '([^']+)'", said)
            where = stages[-1] if stages else "before any stage"
            if code > 0 and self._cured(clone, said):
                counts.kinds["DVC's own file, cured"] += 1
                continue
            if code > 0:
                counts.faults.append(f"after a kill: {said[-600:]}")
                break
            counts.kills[where] += 1
            counts.kinds[kind] += 1
        code, said = self._repro(clone, rng, "")
        if code:
            counts.faults.append(f"run to its end: {said[-600:]}")
        found = hashes(folder, self.outs)
        counts.hashes += len(self.expected)
        counts.faults += [
            f"{name} differs from that of a whole run"
            for name in sorted(self.expected.keys() | found.keys())
            if self.expected.get(name) != found.get(name)
        ]
        if "up to date" not in clone.dvc("status"):
            counts.faults.append("dvc status: not up to date")

    def _cured(self, clone: Clone, said: str) -> bool:
        """Whether DVC was killed while it wrote a file of its own, which is then removed.

        It writes both in their places; docs/reliability.md says what to do.
        """
        for sign, file in DVC_FILES.items():
            if sign in said:
                (clone.folder / file).unlink()
                return True
        return False

    def _repro(self, clone: Clone, rng: random.Random, kind: str) -> tuple[int, str]:
        environment = {**os.environ, **clone.environment, "PYTHONUNBUFFERED": "1"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        if kind in CHANGES:
            who = "stage" if kind == "change" else "dvc"
            environment |= {
                "PYTHONPATH": str(HERE / "site"),
                "FAULTS_ROOT": str(clone.folder),
                "FAULTS_DIE_AT": f"{who}:{rng.randint(1, CHANGES[kind])}",
            }
        log = self.scratch / "log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                ["dvc", "repro"],
                cwd=clone.folder,
                env=environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
            try:
                process.wait(rng.uniform(0.5, LONGEST) if kind == "time" else PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return process.returncode, log.read_text()
