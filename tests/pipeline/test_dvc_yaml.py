"""dvc.yaml says the truth: every module a stage imports is one of its deps, and so on."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from stemproof.params import load_params

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES: dict[str, Any] = PIPELINE["stages"]
NAMES = [
    "render-demo",
    "prepare-musdb18",
    "train-baseline",
    "train-improved",
    "train-ablation",
    "generate-pgd-adversarials",
    "evaluate",
    "audit",
    "report",
]


def imported(path: Path) -> set[Path]:
    """Files of this project that a file imports, directly or through another."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        tree = ast.parse(waiting.pop().read_text())
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                base = ROOT / ("stages/common" if name == "common" else name.replace(".", "/"))
                file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
                if file.is_file() and file not in found:
                    found.add(file)
                    waiting.append(file)
    return found


def script(stage: dict[str, Any]) -> Path:
    command = stage["cmd"].split()
    assert command[0] == "python"
    return ROOT / command[1]


def test_stages_have_their_names_and_a_description() -> None:
    assert list(STAGES) == NAMES
    assert all(stage["desc"] for stage in STAGES.values())


@pytest.mark.parametrize("name", NAMES)
def test_deps_hold_every_module_that_is_imported(name: str) -> None:
    stage = STAGES[name]
    deps = [ROOT / dep for dep in stage["deps"] if "$" not in dep]
    for file in {script(stage), *imported(script(stage))} - {ROOT / "stemproof/__init__.py"}:
        covered = any(file == dep or dep in file.parents for dep in deps)
        assert covered, f"{name} imports {file.relative_to(ROOT)}, which is not in its deps"


@pytest.mark.parametrize("name", NAMES)
def test_deps_and_params_exist(name: str) -> None:
    stage = STAGES[name]
    outs = [
        next(iter(out)) if isinstance(out, dict) else out
        for other in STAGES.values()
        for out in other["outs"]
    ]
    for dep in stage["deps"]:
        made = any(out == dep or out.startswith(f"{dep}/") for out in outs)
        assert made or "$" in dep or (ROOT / dep).exists(), dep
    tree = load_params(ROOT / "params.yaml").model_dump()
    for key in stage["params"]:
        value: Any = tree
        for part in key.split("."):
            if "$" in part:
                break
            assert part in value, key
            value = value[part]


def test_metrics_and_plots_stand_at_the_top_level() -> None:
    assert PIPELINE["metrics"]
    assert PIPELINE["plots"]
    assert all("metrics" not in stage and "plots" not in stage for stage in STAGES.values())
