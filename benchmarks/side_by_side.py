"""The stages of a run, as many models at a time as a large GPU has room for.

DVC runs one stage after the other, and one training of RSVM leaves most of a large GPU idle. Here
every model of `systems` goes its way by itself (train, generate, find_break_points, evaluate, and
what the audit measures of a system alone), many of them side by side; then come the stages of all
models. It needs no DVC; `dvc commit` records what came out.

    python benchmarks/side_by_side.py --at-once 12 --out figures

A model that is there is not trained again; a stage that was killed goes on. What each stage says is
in `checkpoints/side-by-side`. Trainings share a GPU best under NVIDIA's MPS
(`nvidia-cuda-mps-control -d`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
import yaml
from typer import Option

from harness import ROOT
from stemproof.core.ending import one_line
from stemproof.core.errors import InputError
from stemproof.core.params import Sections, Systems, TrainParams, load_params, read_tree

LOGS = Path("checkpoints/side-by-side")
OF_MODEL = ("train", "generate", "find_break_points", "evaluate")
OF_ALL = ("compare", "audit", "listen", "report")
AUDITS = LOGS / "audit"  # a folder for each system, with little but links
LINKED = ("data", "models", "metrics/data.json", "metrics/models")
KEPT = ("params.yaml", "metrics", "plots", "report")


class Params(Sections):
    """What is run."""

    systems: Systems
    train: TrainParams


def run(command: Sequence[str], log: Path, folder: Path = Path()) -> bool:
    """Run a stage; what it says goes behind what its log has. Whether it succeeded."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as said:
        done = subprocess.run(command, stdout=said, stderr=said, check=False, cwd=folder)
    return done.returncode == 0


def of_model(
    system: str, seed: int, stages: Sequence[str], said: Callable[[str], None]
) -> str | None:
    """Take one model through its stages.

    Args:
        system: its name.
        seed: of its training.
        stages: scripts, in their order.
        said: is told what has ended.

    Returns:
        What failed, with the place of its log; None when nothing did.
    """
    for stage in stages:
        if stage == "train" and Path("models", system, f"{seed}.safetensors").exists():
            continue
        begun, log = time.monotonic(), LOGS / f"{system}-{seed}-{stage}.log"
        arguments = ["--system", system, "--seed", str(seed)]
        if not run(_command(stage, *arguments), log):
            return f"{stage} {system} {seed} ({log})"
        said(f"{stage} {system} {seed}: {time.monotonic() - begun:.0f} s")
    return None


def audit_ahead(system: str, seed: int, said: Callable[[str], None]) -> str | None:
    """Audit a system by itself: the audit of all finds what was measured of it.

    Args:
        system: its name.
        seed: of training, the first one: what the audit measures is of that model.
        said: is told when it has ended.

    Returns:
        What failed, with the place of its log; None when nothing did.
    """
    begun, folder, log = time.monotonic(), AUDITS / system, LOGS / f"{system}-audit.log"
    shutil.rmtree(folder, ignore_errors=True)
    for name in LINKED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(Path(name).resolve())
    kept = Path("checkpoints/audit").resolve()
    kept.mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/audit").symlink_to(kept)
    tree = read_tree()
    tree |= {"systems": [system], "reference": system, "train": {"seeds": [seed]}}
    tree |= {key: [name for name in tree[key] if name == system] for key in ("ablations", "own")}
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    if not run(_command("audit"), log, folder):
        return f"audit {system} ({log})"
    said(f"audit {system}: {time.monotonic() - begun:.0f} s")
    return None


def main(
    at_once: Annotated[int, Option(min=1, help="models that are worked on at a time")] = 4,
    last: Annotated[str, Option(help="stage to end with: one of those above")] = "report",
    out: Annotated[Path | None, Option(help="folder that figures are copied to")] = None,
) -> None:
    """Run the stages of params.yaml, several models at a time."""
    order = [*OF_MODEL, *OF_ALL]
    if last not in order:
        raise InputError(f"--last {last} must be one of {', '.join(order)}")
    stages = order[: order.index(last) + 1]
    params = load_params(Params)
    if not Path("data/prepared/manifest.json").exists() and not run(
        _command("prepare"), LOGS / "prepare.log"
    ):
        raise InputError(f"prepare failed; see {LOGS / 'prepare.log'}")
    models = [(system, seed) for seed in params.train.seeds for system in params.systems]
    own, first = [stage for stage in stages if stage in OF_MODEL], params.train.seeds[0]

    def go(model: tuple[str, int]) -> str | None:
        failed = of_model(*model, own, _say)
        ahead = not failed and "audit" in stages and model[1] == first
        return audit_ahead(*model, _say) if ahead else failed

    with ThreadPoolExecutor(at_once) as pool:
        ends = list(pool.map(go, models))
    keep(out)
    failed = [end for end in ends if end]
    if failed:
        raise InputError(f"failed: {'; '.join(failed)}")
    for stage in (stage for stage in stages if stage in OF_ALL):
        begun, log = time.monotonic(), LOGS / f"{stage}.log"
        if not run(_command(stage), log):
            raise InputError(f"{stage} failed; see {log}")
        _say(f"{stage}: {time.monotonic() - begun:.0f} s")
        keep(out)


def keep(out: Path | None) -> None:
    """Copy what is there of figures and report: no weights, no recordings."""
    for name in KEPT if out else ():
        assert out is not None
        if Path(name).is_dir():
            shutil.copytree(name, out / name, dirs_exist_ok=True)
        elif Path(name).exists():
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, out / name)


def _command(stage: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments]


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    with one_line():
        typer.run(main)
