"""One of two processes that share a stage is killed: the other ends, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from soaked import ROOT, Stage, Zygote, hashes, merged, new_project, parameters, pipeline

pytestmark = pytest.mark.slow

MORE_WORK = {"rsvm": {"training": {"epochs": 60}}, "attack": {"pgd": {"steps": 150}}}
SHARED = {"processes": {"devices": 2}}


def start(folder: Path, stage: Stage) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "stages" / f"{stage.script}.py"), *stage.arguments]
    return subprocess.Popen(command, cwd=folder, start_new_session=True, stderr=subprocess.DEVNULL)


def kill_one(folder: Path, stage: Stage, victim: int, sign: str) -> None:
    """Kill one process as soon as work of this stage stands on the disk; all of them end."""
    process = start(folder, stage)
    end = time.monotonic() + 200
    while not any((folder / "checkpoints").glob(sign)):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    first = psutil.Process(process.pid)
    both = [first, *first.children(recursive=True)]
    assert len(both) == 2
    os.kill(both[victim].pid, signal.SIGKILL)
    assert process.wait(60) != 0
    _, alive = psutil.wait_procs(both[1:], timeout=60)
    assert not alive


@pytest.mark.parametrize(
    ("script", "victim", "sign"), [("train", 1, "*.ckpt"), ("generate", 0, "attack/*/*.npy")]
)
def test_one_of_two_processes_is_killed(
    tmp_path: Path, script: str, victim: int, sign: str
) -> None:
    params = parameters(**MORE_WORK)
    stages = pipeline(params)
    stage = next(stage for stage in stages if stage.script == script)
    folder = new_project(tmp_path / "project", params)
    zygote = Zygote(tmp_path / "zygote")
    for before in stages[: stages.index(stage)]:
        assert zygote.run(folder, before).code == 0
    zygote.close()
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(params, SHARED)))
    shutil.rmtree(folder / "checkpoints")
    whole = shutil.copytree(folder, tmp_path / "whole")
    assert start(whole, stage).wait(300) == 0
    kill_one(folder, stage, victim, sign)
    assert hashes(folder, stage.outs) == {}
    assert start(folder, stage).wait(300) == 0
    found = hashes(folder, stage.outs)
    assert len(found) >= 3
    assert found == hashes(whole, stage.outs)
