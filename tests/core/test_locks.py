"""A stage runs once at a time in a folder, and a run that was killed is in nobody's way."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, SMALL, default_tree, merged

from stemproof.core.errors import InputError
from stemproof.core.locks import only_run
from stemproof.data.store import PreparedData

# A stage of any name that says when it runs, and runs until it is told to end.
HOLD = f"""
import sys
sys.path.insert(0, {str(ROOT / "stages")!r})
from common import run
def main() -> None:
    print("running", flush=True)
    input()
def train(system: str = "baseline", seed: int = 218) -> None:
    main()
run(train if "train" in __file__ else main, writes="contrast" not in __file__)
"""
UNDER_WAY = (
    r"^error: another run of this stage \(.+\) is under way in this folder \(process \d+ on "
)


@pytest.fixture
def project(songs: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    tree = merged(merged(default_tree(), SMALL), {"data": {"root": str(songs)}})
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    return folder


@pytest.fixture
def started(project: Path) -> Iterator[Any]:
    """Starts stages in the project; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(script: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            cwd=project,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def held(started: Any, folder: Path, stage: str, *arguments: str) -> subprocess.Popen[str]:
    """A run of a stage that is under way."""
    script = folder / f"{stage}.py"
    script.write_text(HOLD)
    process = started(script, *arguments)
    assert process.stdout.readline() == "running\n"
    return process


def is_refused(process: subprocess.Popen[str]) -> bool:
    """Ends a run that was just started; whether it was refused, in one line."""
    _, said = process.communicate("\n", timeout=300)
    if process.returncode == 0:
        return False
    assert re.match(UNDER_WAY, said), said
    assert said.count("\n") == 1
    return True


@pytest.mark.slow
def test_a_second_run_is_refused_until_the_first_is_killed(
    started: Any, project: Path, tmp_path: Path
) -> None:
    first = held(started, tmp_path, "prepare")
    second = started(ROOT / "stages/prepare.py")
    _, said = second.communicate(timeout=300)
    assert second.returncode == 2
    assert f"this stage (prepare) is under way in this folder (process {first.pid} on " in said
    assert said.endswith("; wait until it has ended, or end it\n")
    assert not (project / "data").exists()
    first.kill()
    first.wait()
    assert not is_refused(started(ROOT / "stages/prepare.py"))
    assert PreparedData(project / "data/prepared").tracks("train")


@pytest.mark.slow
def test_real_runs_at_once_leave_a_whole_result(started: Any, project: Path) -> None:
    runs = [started(ROOT / "stages/prepare.py") for _ in range(3)]
    refused = [is_refused(run) for run in runs]
    assert not all(refused)
    data = PreparedData(project / "data/prepared")
    assert [len(data.tracks(split)) for split in ("train", "valid", "test")] == [4, 1, 2]


@pytest.mark.slow
def test_runs_that_write_other_files_do_not_meet(started: Any, tmp_path: Path) -> None:
    held(started, tmp_path, "train")
    assert is_refused(started(tmp_path / "train.py"))
    assert not is_refused(started(tmp_path / "train.py", "--seed", "219"))
    assert not is_refused(started(tmp_path / "train.py", "--system", "improved"))
    held(started, tmp_path, "contrast")  # writes nothing
    assert not is_refused(started(tmp_path / "contrast.py"))


@pytest.mark.parametrize(
    ("stage", "environment", "refused"),
    [
        ("train", {"LOCAL_RANK": "1"}, False),  # Fabric started it
        ("train", {"LOCAL_RANK": "0"}, True),
        ("generate", {"SLURM_PROCID": "1"}, False),
        ("generate", {"SLURM_PROCID": "0"}, True),
        # torchrun, inside SLURM and on the first machine
        ("find_break_points", {"LOCAL_RANK": "1"}, False),
        ("evaluate", {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "LOCAL_RANK": "0"}, False),
        ("evaluate", {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "SLURM_PROCID": "1"}, True),
        ("prepare", {"LOCAL_RANK": "1"}, True),  # shared by no processes: each would write it all
    ],
)
def test_further_processes_of_a_run_share_its_lock(
    started: Any, tmp_path: Path, stage: str, environment: dict[str, str], refused: bool
) -> None:
    held(started, tmp_path, stage)
    assert is_refused(started(tmp_path / f"{stage}.py", **environment)) == refused


@pytest.mark.slow
def test_where_there_is_no_project_nothing_is_left(started: Any, project: Path) -> None:
    (project / "params.yaml").rename(project / "params.txt")
    before = sorted(project.iterdir())
    _, said = started(ROOT / "stages/prepare.py").communicate(timeout=300)
    assert said == "error: params.yaml: no such file; run from the project's root\n"
    assert sorted(project.iterdir()) == before


def test_one_lock_a_stage_and_its_arguments(tmp_path: Path) -> None:
    locks = tmp_path / "checkpoints/locks"
    second = only_run(locks, "prepare")
    with only_run(locks, "prepare"), pytest.raises(InputError, match="is under way"), second:
        pass
    with only_run(locks, "train", "../x", 1):  # a name that is refused later leaves its lock here
        pass
    assert {file.name for file in locks.iterdir()} == {"prepare.lock", "train_.._x_1.lock"}


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with only_run(tmp_path, "prepare"):
        assert "its file system has no locks" in capsys.readouterr().out
