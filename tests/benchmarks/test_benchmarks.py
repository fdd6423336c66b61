"""Benchmarks: how a ratio is taken, and that every question can be asked."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, AllParams

from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.separators.checkpoint import save
from stemproof.separators.registry import entry, find_kind
from stemproof.separators.rsvm.model import build_model

BENCHMARKS = ROOT / "benchmarks"
IN_PROCESS = {"arithmetic": 3, "public_code": 2, "attack": 2, "bsseval": 3, "data": 1}
THROUGH_STAGES = {"memory": 2}
IN_PARTS = {"scale", "sharing"}  # they start many stages


def run(*command: object, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    # Neither this project's package nor its benchmarks are on the path: they find each other.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import harness

    return harness


def test_a_ratio_is_the_median_of_those_of_rounds(harness: Any) -> None:
    row = harness.Times({"slow": [2.0, 12.0, 9.0], "fast": [1.0, 3.0, 3.0]}).row(
        "x", "slow", "fast", target=3.5, factor=0.5
    )
    assert (row.ratio, row.lowest, row.highest) == (1.5, 1.0, 2.0)
    assert "MISSED" in str(row)
    assert "MISSED" not in str(harness.Row("x", 3.5, target=3.5))


def test_sides_take_turns_and_the_first_round_does_not_count(harness: Any) -> None:
    turns: list[str] = []
    times = harness.race({"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, 3)
    assert "".join(turns) == "abbaabba"
    assert [len(rounds) for rounds in times.seconds.values()] == [3, 3]


def test_a_question_that_there_is_not_is_named() -> None:
    done = run("benchmarks/bench.py", "--tiny", "atack")
    assert done.returncode == 2
    assert "no such question: atack; there are arithmetic" in done.stderr


@pytest.mark.slow
def test_everything_can_be_imported() -> None:
    modules = sorted(file.stem for file in BENCHMARKS.glob("*.py"))
    assert {*IN_PROCESS, *THROUGH_STAGES, *IN_PARTS} <= set(modules)
    done = run("-c", f"import bench, {', '.join(modules)}", folder=BENCHMARKS)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("questions", [IN_PROCESS, THROUGH_STAGES], ids=["here", "stages"])
def test_a_question_gives_its_ratios(questions: dict[str, int], tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    done = run("benchmarks/bench.py", "--tiny", "--output", output, *questions)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(output.read_text())
    assert len(results["ratios"]) == sum(questions.values())
    assert all(math.isfinite(row["ratio"]) for row in results["ratios"])
    assert {"device", "torch", "processor", "code"} <= set(results["machine"])


@pytest.fixture
def project(tmp_path: Path, songs: Path, make_params: Callable[..., AllParams]) -> Path:
    """A folder with parameters, prepared data and a model that is not trained."""
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, tmp_path / "data/prepared")
    kind, variant = find_kind("rsvm"), entry(params.separators, "baseline")[1]
    sizes, rate = params.rsvm.sizes, params.data.sample_rate
    model = build_model(sizes, variant, rate, params.segment_samples, 218)
    settings = {
        "sizes": sizes.model_dump(mode="json"),
        "variant": {},
        "sample_rate": rate,
        "segment_samples": params.segment_samples,
    }
    save(tmp_path / "models/baseline/218.safetensors", kind, model, "baseline", 218, settings)
    return tmp_path


def table(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """The cells of a printed table, without its header."""
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.slow
def test_a_larger_budget_and_more_steps_cost_more(project: Path) -> None:
    rows = table(
        run(
            BENCHMARKS / "attack_budget.py",
            *("--eps", "0", "0.001", "0.05", "--steps", "2"),
            folder=project,
        )
    )
    drops = [float(row[-1]) for row in rows]
    assert [row[:2] for row in rows] == [["0", "2"], ["0.001", "2"], ["0.05", "2"]]
    assert drops[0] == 0 < drops[1] < drops[2]
    assert len({row[2] for row in rows}) == 1  # BS is that of the clean mixtures


@pytest.mark.slow
def test_every_precision_stands_beside_float32(project: Path) -> None:
    rows = table(run(BENCHMARKS / "precision.py", folder=project))
    assert [row[:2] for row in rows] == [
        ["32-true", "218"],
        ["tf32", "218"],
        ["bf16-mixed", "218"],
        ["32-true", "219"],
    ]
    assert rows[0][6:] == ["+0.0000"] * 3
    # An emulation that rounds nothing would leave no difference.
    assert all(row[2:6] != rows[0][2:6] for row in rows[1:])


@pytest.mark.slow
def test_scale_attacks_and_evaluates_as_many_tracks_as_it_says(
    harness: Any, project: Path, make_params: Callable[..., AllParams]
) -> None:
    import scale

    for count in (1, 2):
        scale.choose_tracks(project / "data/prepared", project / str(count), count)
        chosen = PreparedData(project / str(count))
        assert [len(chosen.tracks(split)) for split in ("train", "valid", "test")] == [4, 1, count]
    scale.link(project / "data/other", project / "1")
    scale.link(project / "data/other", project / "2")
    assert len(PreparedData(project / "data/other").tracks("test")) == 2
    scale.attack_and_evaluate(make_params(), project, 1)
    times = harness.Times({"1": [1.0], "2": [3.0], "4": [5.0], "8": [13.0]})
    row = scale.per_added_track([1, 2, 4, 8], times)
    assert (row.name, row.ratio) == ("time per added track: 1-2 over 4-8", 1.0)
    assert scale.less_memory({1: [90.0, 10.0, 80.0], 8: [160.0]}).ratio == 0.5


def test_sharing_compares_as_many_threads(harness: Any, tmp_path: Path) -> None:
    import sharing

    for devices in sharing.DEVICES.values():
        settings = sharing.changes(tmp_path, harness.Sizes(), devices, 5)
        params = sharing.new_project(tmp_path, harness.Sizes(), settings)
        assert params.processes.count == devices
        assert params.processes.count * params.runtime.threads == 2
        assert params.rsvm.training.epochs == 5
