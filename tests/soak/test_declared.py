"""Every stage opens what dvc.yaml says, all of it and nothing else, and no network.

It writes the same bytes anywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from soaked import ROOT, Stage, hashes, parameters, pipeline
from test_dvc_yaml import is_empty as is_a_docstring
from test_pipeline import Clone

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
PACKAGE = ROOT / "stemproof/__init__.py"
EMPTY = [file for file in ROOT.glob("stemproof/*/__init__.py") if is_a_docstring(file)]
STAGES = pipeline(parameters())
# Parameters are listed key by key; checkpoints and what is not finished are no results; a name that
# installed packages give themselves is no file.
ALLOWED = re.compile(
    r".*__path_hook__|params\.yaml|checkpoints(/.*)?|data/prepared\.part.*|\.dvc/.*|\.git(/.*)?"
)
TEMPORARY = re.compile(r"\..*\.[a-z0-9_]{8}(\.\w+)?")  # of a file that is going to stand beside it
CACHED = re.compile(r"__pycache__/([\w]+)\.[\w-]+\.pyc(\.\d+)?")

WRAPPERS = ["stemproof/separators/wrappers/__init__.py"]
PLAYS = ("generate-pgd-adversarials", "find-break-points", "evaluate", "audit", "listen")
# A model file carries a hash of its kind's code; what else is imported with it, its training uses.
OF_THE_MODEL = re.compile(r"stemproof/(separators/(rsvm/.*|validation\.py)|data/loading\.py)")
# Imported by functions that these stages do not call; no import of a stage is left out of dvc.yaml.
UNCALLED = {"compare": WRAPPERS, "report": WRAPPERS}


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Clone]]:
    """Two copies of the project in folders of other names and depths; the first is watched."""
    monkeypatch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("a")
    journal, network = folder / "journal", folder / "network"
    journal.mkdir()
    network.mkdir()
    # The report names the commit of the code, which is made of its time, too.
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_DATE", "2022-01-01T00:00:00Z")
    first = Clone(folder / "one", parameters())
    first.environment |= {
        "PYTHONPATH": str(HERE / "site"),
        "FAULTS_ROOT": str(first.folder),
        "FAULTS_JOURNAL": str(journal),
        "FAULTS_NETWORK": str(network),
    }
    first.dvc("repro")
    second = Clone(folder / "much/deeper/with a space/zwei", parameters())
    second.dvc("repro", "--force")
    yield [first, second]
    monkeypatch.undo()


def test_the_same_bytes_in_any_folder_at_any_time(twins: list[Clone]) -> None:
    outs = [out for stage in STAGES for out in stage.outs]
    found = [hashes(clone.folder, (*outs, "dvc.lock")) for clone in twins]
    assert len(found[0]) > 80
    assert all(any(f"{name}/".startswith(f"{out}/") for name in found[0]) for out in outs)
    assert found[0] == found[1]


def paths_of(opened: list[str]) -> list[str]:
    """Each path once; Python writes a cached module beside it, under another name first."""
    return list(dict.fromkeys(CACHED.sub(r"\1.py", name) for name in opened))


def undeclared(stage: Stage, opened: list[str]) -> list[str]:
    """What a stage opened that is neither its dependency nor its output."""
    found = []
    known = (*stage.deps, *stage.outs)
    kind = stage.name.partition("@")[0]
    for path in paths_of(opened):
        aside = TEMPORARY.fullmatch(Path(path).name)
        if aside and any(Path(out).parent == Path(path).parent for out in stage.outs):
            continue
        if ALLOWED.fullmatch(path) or (kind in PLAYS and OF_THE_MODEL.fullmatch(path)):
            continue
        # Or a folder on the way to one of them.
        if any(f"{path}/".startswith(f"{of}/") or of.startswith(f"{path}/") for of in known):
            continue
        if path.endswith(".py") and is_empty(ROOT / path):
            continue
        found.append(path)
    return found


def unopened(stage: Stage, opened: list[str]) -> list[str]:
    """Dependencies of a stage that it did not open, and nothing in them."""
    paths = paths_of(opened)
    return [dep for dep in stage.deps if not any(f"{p}/".startswith(f"{dep}/") for p in paths)]


def is_empty(file: Path) -> bool:
    """A module that makes a folder a package; that of the whole package gives what is asked for."""
    return file.name == "__init__.py" and file in (PACKAGE, *EMPTY)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_opens_what_it_declares(twins: list[Clone], stage: Stage) -> None:
    opened = (twins[0].folder.parent / "journal" / stage.name).read_text().splitlines()
    assert any(name.startswith("stemproof/") for name in opened)
    assert undeclared(stage, opened) == []
    # Else it would run again for a change of what it does not read.
    assert unopened(stage, opened) == UNCALLED.get(stage.name, [])


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_no_process_of_a_stage_reaches_for_the_network(twins: list[Clone], stage: Stage) -> None:
    """Nor do the workers that it starts; all of them watch themselves."""
    processes = commands(twins[0], stage.name)
    assert any(part.endswith(f"stages/{stage.script}.py") for one in processes for part in one)
    workers = [one for one in processes if any("popen_loky" in part for part in one)]
    assert bool(workers) == (stage.script == "evaluate")  # BSSEval's


def test_dvc_does_not_either(twins: list[Clone]) -> None:
    """It neither counts its use nor looks for a newer release."""
    assert any("repro" in one for one in commands(twins[0], "no stage"))


def commands(clone: Clone, stage: str) -> list[list[str]]:
    """The commands of the processes of a stage, none of which was refused anything."""
    found = []
    for file in (clone.folder.parent / "network").glob(f"{stage}.*"):
        command, *refused = file.read_text().splitlines()
        assert refused == [], file.name
        found.append(json.loads(command))
    return found


def test_what_is_not_declared_is_found() -> None:
    stage = next(stage for stage in STAGES if stage.name == "compare")
    opened = [
        "metrics/models/x/1/figures.json",
        "stemproof/figures/__pycache__/store.cpython-311.pyc.140",
        "metrics/.comparison.abcd1234.json",
        "stemproof/report/__pycache__/board.cpython-311.pyc",
        "metrics/breaks/x/1/about.json",
        "data/.a.abcd1234.json",
    ]
    assert undeclared(stage, opened) == [
        "stemproof/report/board.py",
        "metrics/breaks/x/1/about.json",
        "data/.a.abcd1234.json",
    ]
    missing = unopened(stage, opened)
    assert {"metrics/models", "stemproof/figures"}.isdisjoint(missing)
    assert {"stemproof/core", "stages/compare.py", "stemproof/data/store.py"} < set(missing)
