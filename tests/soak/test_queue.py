"""Two workers of DVC's queue are killed, and what docs/reliability.md says mends it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from soaked import parameters

sys.path.append(str(Path(__file__).resolve().parents[1] / "pipeline"))
from test_pipeline import Clone

pytestmark = pytest.mark.slow

# Two run at once, and the third one waits.
BUDGETS = {"one": 0.001, "two": 0.002, "three": 0.004}
ONE_SYSTEM = {"systems": ["baseline"], "ablations": []}
WORKERS = "0 active, 0 idle"
PATIENCE = 1800.0  # seconds


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which everything has run once."""
    clone = Clone(tmp_path_factory.mktemp("whole"), parameters(**ONE_SYSTEM))
    clone.dvc("repro")
    clone.commit("results")
    return clone.folder


@pytest.fixture(scope="module")
def expected(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the experiments give that nobody disturbs, without a queue."""
    clone = copied(whole, tmp_path_factory.mktemp("undisturbed") / "project")
    for name, eps in BUDGETS.items():
        clone.dvc("exp", "run", "--name", name, "-S", f"attack.eps={eps}")
    return results(clone)


def copied(whole: Path, folder: Path) -> Clone:
    clone = Clone.__new__(Clone)
    clone.folder = Path(shutil.copytree(whole, folder))
    clone.environment = {"DVC_NO_ANALYTICS": "1"}
    return clone


def results(clone: Clone) -> dict[str, str]:
    """All files of every experiment that is done, as git's hash of them.

    Among them are dvc.lock, with the hashes of what git does not keep, metrics and the report.
    """
    form = "--format=%(refname:lstrip=4) %(tree)"
    listed = clone.git("for-each-ref", form, "refs/exps").splitlines()
    return dict(line.split() for line in listed if line.split()[0] in BUDGETS)


def queue(clone: Clone, names: list[str]) -> None:
    for name in names:
        clone.dvc("exp", "run", "--queue", "--name", name, "-S", f"attack.eps={BUDGETS[name]}")


def start(clone: Clone) -> None:
    # What it prints is not caught: the workers keep its output open for as long as they live.
    clone.run("sh", "-c", "dvc queue start --jobs 2 > started 2>&1")
    said = clone.folder / "started"
    assert "Started '2' new experiments task queue workers." in said.read_text()
    said.unlink()


def stand(clone: Clone) -> dict[str, list[str]]:
    """Names of experiments by their state in the queue."""
    found: dict[str, list[str]] = {}
    for line in clone.dvc("queue", "status").splitlines():
        if len(words := line.split()) > 2 and words[1] in BUDGETS:
            found.setdefault(words[-1], []).append(words[1])
    return found


def until(clone: Clone, enough: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not enough():
        assert time.monotonic() < end, clone.dvc("queue", "status")
        time.sleep(0.2)


def workers(clone: Clone) -> list[psutil.Process]:
    files = (clone.folder / ".dvc/tmp/exps/celery").glob("*.pid")
    alive = [int(file.read_text()) for file in files if psutil.pid_exists(int(file.read_text()))]
    return [psutil.Process(number) for number in alive]


def stages(of: psutil.Process) -> list[psutil.Process]:
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in of.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # also of one that has ended
                if any("stages/" in part for part in child.cmdline()):
                    found.append(child)
    return found


def kill(clone: Clone) -> None:
    """What the machine does when it goes down: workers, and all that they started."""
    for worker in workers(clone):
        os.killpg(os.getpgid(worker.pid), signal.SIGKILL)


def mend(clone: Clone) -> None:
    """What docs/reliability.md says, and nothing else."""
    until(clone, lambda: WORKERS in clone.dvc("queue", "status"))
    clone.dvc("queue", "kill", *stand(clone)["Running"])
    until(clone, lambda: "Running" not in stand(clone))
    lost = stand(clone)["Failed"]
    clone.dvc("queue", "remove", "--failed")
    for copy in (clone.folder / ".dvc/tmp/exps").glob("tmp*"):
        shutil.rmtree(copy)
    queue(clone, lost)


def test_experiments_whose_workers_are_killed(
    whole: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    assert len(set(expected.values())) == 3
    clone = copied(whole, tmp_path / "project")
    queue(clone, list(BUDGETS))
    start(clone)
    until(clone, lambda: sum(bool(stages(worker)) for worker in workers(clone)) == 2)
    time.sleep(random.Random("kill").uniform(0, 8))
    kill(clone)
    assert WORKERS in clone.dvc("queue", "status")
    assert len(stand(clone)["Running"]) == 2  # as DVC believes
    assert len(stand(clone)["Queued"]) == 1
    assert len(results(clone)) < 3
    mend(clone)
    start(clone)
    until(clone, lambda: not {"Running", "Queued"} & set(stand(clone)))
    assert sorted(stand(clone)["Success"]) == sorted(BUDGETS)
    assert results(clone) == expected
    until(clone, lambda: WORKERS in clone.dvc("queue", "status"))
    assert clone.git("status", "--short") == ""
    assert not list((clone.folder / ".dvc/tmp/exps").glob("tmp*"))
