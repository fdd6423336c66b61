"""dvc.yaml says the truth: what a stage imports and what parameters it reads is what it lists."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from conftest import ROOT

from stemproof.attacks.broken import OF_ATTACK
from stemproof.attacks.registry import METHODS
from stemproof.core.influences import INFLUENCES
from stemproof.core.params import Sections

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES: dict[str, Any] = PIPELINE["stages"]
NAMES = [
    "render-demo",
    "prepare-musdb18",
    "train-baseline",
    "train-improved",
    "train-ablation",
    "take-own",
    "generate-pgd-adversarials",
    "find-break-points",
    "evaluate",
    "compare",
    "audit",
    "protect",
    "listen",
    "report",
    "board",
]
PACKAGE = ROOT / "stemproof/__init__.py"
# Imported by name at run time: the code of the kinds, of which a model file carries a hash.
BY_NAME = {"train-baseline": "rsvm", "train-improved": "rsvm"}


def imported(path: Path) -> set[Path]:
    """Files of this project that a file imports, directly or through another."""
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        for node in executed(ast.parse(waiting.pop().read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                base = ROOT / ("stages/common" if name == "common" else name.replace(".", "/"))
                file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
                # A module's packages are imported with it.
                packages = [parent / "__init__.py" for parent in base.parents]
                for needed in (file, *packages):
                    # The whole package's own imports what it gives when it is asked for.
                    if needed.is_file() and needed not in {*found, PACKAGE}:
                        found.add(needed)
                        waiting.append(needed)
    return found


def executed(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module but for those that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from executed(node)


def script(stage: dict[str, Any]) -> Path:
    command = stage["cmd"].split()
    assert command[0] == "python"
    return ROOT / command[1]


def module(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))
    try:
        spec = importlib.util.spec_from_file_location(f"stage_{path.stem}", path)
        assert spec and spec.loader
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = loaded
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(path.parent))
    return loaded


def test_stages_have_their_names_and_a_description() -> None:
    assert list(STAGES) == NAMES
    assert all(stage["desc"] for stage in STAGES.values())


@pytest.mark.parametrize("name", NAMES)
def test_deps_hold_every_module_that_is_imported(name: str) -> None:
    stage = STAGES[name]
    deps = [ROOT / dep for dep in stage["deps"] if "$" not in dep]
    inits = {file for file in (ROOT / "stemproof").glob("**/__init__.py") if is_empty(file)}
    needed = {script(stage), *imported(script(stage))}
    if name in BY_NAME:
        needed |= imported(ROOT / f"stemproof/separators/{BY_NAME[name]}/__init__.py")
    for file in needed - inits:
        covered = any(file == dep or dep in file.parents for dep in deps)
        assert covered, f"{name} imports {file.relative_to(ROOT)}, which is not in its deps"


def is_empty(file: Path) -> bool:
    """Whether a file holds a docstring and nothing else."""
    return len(ast.parse(file.read_text()).body) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_no_dep_is_too_many(name: str) -> None:
    """A dep without use makes a stage run again for nothing."""
    stage = STAGES[name]
    needed = {script(stage), *imported(script(stage))}
    room = ROOT / "stemproof/separators"
    if name.startswith("train") or room / "checkpoint.py" in needed:
        # Of the kinds, which are imported by name; a model file carries no hash of it.
        needed.add(room / "masks.py")
    if name == "evaluate":
        needed.add(room / "stft.py")  # the oracle, imported by name, too
    if name.startswith("train"):
        needed |= imported(room / "rsvm/__init__.py") | {
            room / "rsvm/__init__.py",
            room / "stft.py",
        }
    for dep in stage["deps"]:
        path = ROOT / dep
        if not dep.startswith(("stages/", "stemproof/")):
            continue
        assert any(path == file or path in file.parents for file in needed), dep


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_of_a_stage_are_those_that_it_reads(name: str) -> None:
    stage = STAGES[name]
    needs = module(script(stage)).Needs
    assert issubclass(needs, Sections)
    declared = set(needs.model_fields) - needs.without_effect
    listed = {key.partition(".")[0] for key in stage.get("params", ())}
    assert declared == listed
    # A whole section, but for entries of the separators that have a name.
    partial = {key for key in stage.get("params", ()) if "." in key}
    if name == "find-break-points":
        # There is no budget: of the attack only that which is not of one, and the sections of
        # methods that search where there is no gradient.
        able = {own for own, method in METHODS.items() if "gradient" not in method.needs}
        assert partial == {f"attack.{key}" for key in OF_ATTACK | able}
        return
    assert all(key.startswith("separators.") for key in partial)


def test_the_table_of_what_influences_a_result_is_that_of_dvc_yaml() -> None:
    """What a stage that is run by hand holds its inputs against is what makes DVC run again."""
    marks = {"{system}": "${item.system}", "{oracle}": "${evaluate.oracle}", "{shared}": "rsvm"}
    for name, names in INFLUENCES.items():
        if name == "report":
            assert not names  # nothing is made of it
            continue
        listed = set(STAGES["train-ablation" if name == "train" else name]["params"])
        for mark, meant in marks.items():
            names = [own.replace(mark, meant) for own in names]
        # Its settings of the attack are held by themselves: less than a section.
        assert set(names) == {key for key in listed if not key.startswith("attack.")}, name
    # Of claims there is nothing to hold.
    trains = {
        name for name, stage in STAGES.items() if stage["cmd"].split()[1] == "stages/train.py"
    }
    others = {*NAMES} - trains - {"board"}
    assert set(INFLUENCES) == {"train", *others}


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
    tree = yaml.safe_load((ROOT / "tests/params.yaml").read_text())
    for key in stage.get("params", ()):
        value: Any = tree
        for part in key.split("."):
            if "$" in part:
                break
            assert part in value, key
            value = value[part]


def test_every_section_of_the_parameters_is_read_by_a_stage() -> None:
    read = {key for stage in STAGES.values() for key in module(script(stage)).Needs.model_fields}
    assert read == set(yaml.safe_load((ROOT / "tests/params.yaml").read_text()))


def test_metrics_and_plots_stand_at_the_top_level() -> None:
    assert PIPELINE["metrics"]
    assert PIPELINE["plots"]
    assert all("plots" not in stage for stage in STAGES.values())
    # What is off by default has its own: a file that is not there is shown nowhere.
    assert [name for name, stage in STAGES.items() if "metrics" in stage] == ["protect"]


def outputs(stage: dict[str, Any]) -> list[str]:
    """Paths that a stage writes."""
    return [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]


def test_artifacts_are_models_that_every_run_makes() -> None:
    assert set(PIPELINE["artifacts"]) == {"baseline", "improved"}
    for name, artifact in PIPELINE["artifacts"].items():
        stage = STAGES[f"train-{name}"]
        assert stage["matrix"] == {"seed": "${train.seeds}"}
        path = artifact["path"].replace("${train.seeds[0]}", "${item.seed}")
        assert path in outputs(stage) and artifact["type"] == "model"


def test_the_graph_of_the_documentation_is_that_of_dvc_yaml() -> None:
    """`dvc dag --md` of two systems, with the stages of a matrix as one."""
    text = (ROOT / "docs/dvc.md").read_text()
    nodes = dict(re.findall(r'(node\d+)\["([\w-]+)', text))
    drawn = {(nodes[a], nodes[b]) for a, b in re.findall(r"(node\d+)-->(node\d+)", text)}
    left_out = {"train-ablation", "take-own", "protect"}  # of what is off, or of more systems
    assert set(nodes.values()) == set(NAMES) - left_out
    needed = set()
    for name, stage in STAGES.items():
        for dep in (dep.replace("${data.root}", "data/demo") for dep in stage["deps"]):
            for other, made in STAGES.items():
                # Of a matrix: `models/baseline/...` is written by one stage of two.
                written = [re.sub(r"\$\{[^}]*\}", "*", out) for out in outputs(made)]
                wanted = re.sub(r"\$\{[^}]*\}", "*", dep)
                if any(fnmatch(out, wanted) or out.startswith(f"{wanted}/") for out in written):
                    needed.add((other, name))
    assert drawn == {pair for pair in needed if not left_out & set(pair)}
