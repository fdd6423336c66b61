"""A project as small as can be, the stages of its pipeline in order, and what they leave."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TINY: dict[str, Any] = {
    "demo": {"train_songs": 2, "valid_songs": 1, "test_songs": 2, "seconds": 2.0},
    "segments": {"seconds": 0.5},
    "ablations": ["stft"],
    "systems": ["baseline", "improved"],
    "rsvm": {
        "sizes": {"channels": 16, "kernel": 256, "hop": 128},
        "training": {"epochs": 4, "batch_size": 2, "learning_rate": 1e-3},
    },
    "attack": {"batch": 4, "pgd": {"steps": 2}},
    "breaks": {"steps": 2, "per_track": 2},
    "evaluate": {"noise_draws": 1, "bsseval": "sdr"},
    "statistics": {"bootstrap": 100},
    "audit": {
        "segments": 2,
        "steps": [1],
        "rules": ["decaying"],
        "losses": ["si_sdr"],
        "eps_factors": [1.0],
        "queries": 3,
        "noise_draws": 1,
        "minimal_drops": [],
        "sparse_samples": 10,
        "universal_epochs": 1,
    },
    "runtime": {"accelerator": "cpu", "threads": 1},
    "workers": {"count": 1},
}


def merged(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Parameters with changes, section by section."""
    inside = {
        key: merged(tree[key], value) if isinstance(tree.get(key), dict) else value
        for key, value in changes.items()
    }
    return {**tree, **inside}


def parameters(**changes: Any) -> dict[str, Any]:
    """The parameters of such a project."""
    tree = yaml.safe_load((ROOT / "tests/params.yaml").read_text())
    entry = {"separators": {"stft": {"kind": "stft", "window": 512, "hop": 128}}}
    return merged(merged(merged(tree, TINY), entry), changes)


@dataclass(frozen=True)
class Stage:
    """One stage of the pipeline.

    Attributes:
        name: as DVC calls it.
        script: in ``stages/``, without its suffix.
        arguments: of its command.
        deps: what it says it reads, relative to the project.
        outs: what it says it writes.
        kept: those of its outputs that DVC does not remove before it runs.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    deps: tuple[str, ...]
    outs: tuple[str, ...]
    kept: frozenset[str]


def pipeline(params: dict[str, Any]) -> list[Stage]:
    """The stages of dvc.yaml, a matrix as its items, every stage behind those that it needs."""
    listed: list[Stage] = []
    for name, entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        axes = {key: _value(params, values) for key, values in entry.get("matrix", {}).items()}
        for chosen in itertools.product(*axes.values()):
            item = dict(zip(axes, chosen, strict=True))

            def filled(text: str, item: dict[str, Any] = item) -> str:
                text = re.sub(r"\$\{item\.(\w+)\}", lambda m: str(item[m[1]]), text)
                return re.sub(r"\$\{[\w.]+\}", lambda m: str(_value(params, m[0])), text)

            outs = [o if isinstance(o, dict) else {o: {}} for o in entry["outs"]]
            options = " ".join(f"--{key} {value}" for key, value in item.items())
            command = filled(entry["cmd"].replace("${item}", options)).split()
            listed.append(
                Stage(
                    name + ("@" + "-".join(map(str, chosen)) if chosen else ""),
                    Path(command[1]).stem,
                    tuple(command[2:]),
                    tuple(filled(dep) for dep in entry["deps"]),
                    tuple(filled(out) for of in outs for out in of),
                    frozenset(
                        filled(out) for of in outs for out, how in of.items() if how.get("persist")
                    ),
                )
            )
    return _in_order(listed)


def _value(params: dict[str, Any], reference: str) -> Any:
    found: Any = params
    for key in reference.strip("${}").split("."):
        found = found[key]
    return found


def _in_order(stages: list[Stage]) -> list[Stage]:
    done: list[Stage] = []
    waiting = list(stages)
    while waiting:
        missing = [out for stage in waiting for out in stage.outs]

        def waits(stage: Stage, missing: list[str] = missing) -> bool:
            return any(
                out == dep or out.startswith(f"{dep}/") for dep in stage.deps for out in missing
            )

        ready = next(stage for stage in waiting if not waits(stage))
        done.append(ready)
        waiting.remove(ready)
    return done


def new_project(folder: Path, params: dict[str, Any]) -> Path:
    """A folder in which stages run: its parameters, and the claims that the board shows."""
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    shutil.copytree(ROOT / "results", folder / "results")
    return folder


def remove(path: Path) -> None:
    """Remove a file or a folder, if there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def files_of(folder: Path, outs: tuple[str, ...]) -> Iterator[Path]:
    """All files of some outputs, hidden ones too."""
    for out in outs:
        path = folder / out
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def hashes(folder: Path, outs: tuple[str, ...]) -> dict[str, str]:
    """The SHA-256 of every file of some outputs; what is not there has none."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files_of(folder, outs)
        if file.is_file()
    }


def names(folder: Path) -> set[str]:
    """The names of all files of a project."""
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


class Zygote:
    """Runs stages in forks of one process (see ``zygote.py``)."""

    def __init__(self, scratch: Path) -> None:
        """Start the process, which imports everything once.

        Args:
            scratch: for logs and journals.
        """
        self.scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def run(self, folder: Path, stage: Stage, **fault: float | str) -> Ran:
        """Run a stage by itself.

        Args:
            folder: of the project.
            stage: which.
            fault: ``kill_after`` seconds, or ``die_at`` a change of files below the
                folder, of a ``kind``.
        """
        log, journal = self.scratch / "log", self.scratch / "journal"
        journal.unlink(missing_ok=True)
        request = {
            "folder": str(folder),
            "stage": stage.script,
            "arguments": stage.arguments,
            "log": str(log),
            "journal": str(journal),
            "environment": {"DVC_STAGE": stage.name},
            **fault,
        }
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        lines = journal.read_text().splitlines() if journal.exists() else []
        units = sum(line.startswith("unit ") for line in lines)
        events = [line for line in lines if not line.startswith("unit ")]
        return Ran(answer["code"], answer["seconds"], units, events, log.read_text())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass(frozen=True)
class Ran:
    """How a stage ended.

    Attributes:
        code: exit status; negative for a signal.
        seconds: that it took.
        units: of work that were begun.
        changes: of files, in order.
        said: what it printed.
    """

    code: int
    seconds: float
    units: int
    changes: list[str]
    said: str
