"""A project in a temporary folder: its parameters, its demo songs, and its stages as processes."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from harness import ROOT, Sizes
from stemproof.attacks.params import AttackSection
from stemproof.core.files import read_json, write_json
from stemproof.core.machine import ProcessParams, RuntimeParams, WorkerParams
from stemproof.core.made_with import MADE_WITH, record_of
from stemproof.core.ownership import MARKER
from stemproof.core.params import PARAMS, Sections, load_params, read_tree, validate
from stemproof.data.demo.songs import render_demo
from stemproof.data.params import DataParams, DemoParams, SegmentParams
from stemproof.data.prepare import prepare
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.params import StatisticsParams
from stemproof.separators.registry import Entries
from stemproof.separators.rsvm.model import RSVM, build_model
from stemproof.separators.rsvm.params import FamilyParams, RSVMSettings

SEED = 218
PREPARED = Path("data/prepared")
Tree = dict[str, Any]
TINY: Tree = {
    "demo": {"train_songs": 2, "valid_songs": 1, "test_songs": 1, "seconds": 2.0},
    "segments": {"seconds": 0.25},
    "rsvm": {
        "sizes": {"channels": 8, "kernel": 128, "hop": 64},
        "training": {"epochs": 1, "batch_size": 4},
    },
    "attack": {"batch": 4, "pgd": {"steps": 1}},
    "evaluate": {"noise_draws": 1, "bsseval": "sdr"},
}


class Params(Sections):
    """The parameters that benchmarks look at."""

    demo: DemoParams
    data: DataParams
    segments: SegmentParams
    separators: Entries
    rsvm: FamilyParams
    attack: AttackSection
    evaluate: EvaluateParams
    statistics: StatisticsParams
    runtime: RuntimeParams
    processes: ProcessParams
    workers: WorkerParams

    @property
    def segment_samples(self) -> int:
        """Length of a segment."""
        return self.segments.samples(self.data.sample_rate)


def parameters(sizes: Sizes) -> Params:
    """The default parameters, or tiny ones."""
    return validate(Params, _tree(sizes, {}), str(PARAMS))


def new_project(folder: Path, sizes: Sizes, changes: Tree) -> Params:
    """Write a project's parameters into a folder.

    Args:
        folder: where to.
        sizes: of what the changes do not name.
        changes: parameters, section by section, that are not the defaults.
    """
    path = folder / PARAMS
    path.write_text(yaml.safe_dump(_tree(sizes, changes)))
    return load_params(Params, path)


def _tree(sizes: Sizes, changes: Tree) -> Tree:
    tree = read_tree(ROOT / PARAMS)
    return _merged(_merged(tree, sizes.of({}, TINY)), changes)


def _merged(tree: Tree, changes: Mapping[str, Any]) -> Tree:
    inside = {
        key: _merged(tree[key], value) if isinstance(tree.get(key), dict) else value
        for key, value in changes.items()
    }
    return {**tree, **inside}


def baseline(params: Params) -> RSVM:
    """RSVM as published, with random weights."""
    rate, length = params.data.sample_rate, params.segment_samples
    return build_model(params.rsvm.sizes, RSVMSettings(), rate, length, seed=0)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar inside the table."""
    with redirect_stderr(io.StringIO()):
        yield


def prepared_demo(params: Params, destination: Path) -> None:
    """Render the songs that the parameters ask for into ``data.root``, and prepare them."""
    with quiet():
        render_demo(params.demo, params.workers.count, params.data.root)
        prepare(params.data, params.segments, params.workers.count, destination)


def _say_prepared(folder: Path) -> None:
    """Let prepared data say what it was made with, as the stage does that this stands for."""
    if (folder / PREPARED).exists():
        marker = folder / PREPARED / MARKER
        said = read_json(marker) if marker.exists() else {}
        record = record_of(read_tree(folder / PARAMS), ["data", "segments"])
        write_json(marker, {**said, MADE_WITH: record})


def run_stage(folder: Path, stage: str, system: str = "") -> tuple[float, float]:
    """Seconds of one stage, and the peak MiB of its process with all of its workers.

    Memory that processes share counts once (proportional set size), sampled five times a second.

    Args:
        folder: of the project.
        stage: its script.
        system: whose model, for stages of one model.

    Raises:
        RuntimeError: the stage failed; with what it said.
    """
    arguments = ["--system", system, "--seed", str(SEED)] if system else []
    _say_prepared(folder)
    command = [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments]
    start = time.perf_counter()
    peak = 0.0
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log) as process,
    ):
        while process.poll() is None:
            peak = max(peak, _memory(psutil.Process(process.pid)))
            time.sleep(0.2)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{stage} {system}: {log.read()}")
    return time.perf_counter() - start, peak


def _memory(process: psutil.Process) -> float:
    """MiB of a process and its descendants."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                sizes = one.memory_full_info()
                total += getattr(sizes, "pss", sizes.uss)  # pss: Linux only
    return total / 2**20
