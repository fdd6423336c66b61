"""GPUs are handed out one per process, waited for, and given back by processes that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, AllParams

from stemproof.core import gpus as module
from stemproof.core.errors import InputError, RefusedError
from stemproof.core.gpus import claim_gpu
from stemproof.core.runtime import make_fabric

HOLD = "from stemproof.core.gpus import claim_gpu; claim_gpu(); input()"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Two GPUs that no other process knows, and a folder of their own for the locks."""
    name = uuid.uuid4().hex
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("STEMPROOF_GPUS", f"GPU-{name}-a,GPU-{name}-b")
    return name


def holder() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=ROOT,
        env=dict(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_every_process_gets_its_own_and_the_third_waits(gpus: str) -> None:
    first, second = holder(), holder()
    taken = {said(first).split()[1], said(second).split()[1]}
    assert taken == {f"GPU-{gpus}-a", f"GPU-{gpus}-b"}
    third = holder()
    assert "waiting for one of the GPUs" in said(third)
    # A process that is killed gives its GPU back.
    first.send_signal(signal.SIGKILL)
    assert said(third).split()[1] in taken
    for process in (second, third):
        process.kill()
    for process in (first, second, third):
        process.wait()


def test_without_the_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEMPROOF_GPUS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert claim_gpu() is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"


def test_a_process_keeps_what_it_has(gpus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", os.environ["TMPDIR"])
    monkeypatch.setattr(module, "_held", [])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert claim_gpu() == claim_gpu() == f"GPU-{gpus}-a"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == f"GPU-{gpus}-a"
    for lock in module._held:
        lock.close()


def test_several_devices_and_handed_out_gpus_exclude_each_other(
    gpus: str, make_params: Callable[..., AllParams]
) -> None:
    params = make_params(runtime={"accelerator": "auto"}, processes={"devices": 2})
    with pytest.raises(InputError, match="STEMPROOF_GPUS gives every stage one GPU, but .* = 2"):
        make_fabric(params.runtime, params.processes)


def test_a_stage_on_the_cpu_takes_no_gpu(gpus: str, make_params: Callable[..., AllParams]) -> None:
    params = make_params(runtime={"accelerator": "cpu"})
    make_fabric(params.runtime, params.processes)
    assert not module._held


@pytest.mark.parametrize("value", ["", "a", "0;1", "0,,1", "../x"])
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("STEMPROOF_GPUS", value)
    with pytest.raises(InputError, match="is not a list of GPUs"):
        claim_gpu()


def test_locks_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(module, "_held", [])
    monkeypatch.setenv("STEMPROOF_GPUS", "GPU-pretended")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    folder = tmp_path / "stemproof-gpus-me"
    folder.write_text("")
    with pytest.raises(RefusedError, match="stemproof-gpus-me stands where a folder belongs"):
        claim_gpu()
    folder.unlink()
    (folder / "GPU-pretended.lock").mkdir(parents=True)
    with pytest.raises(RefusedError, match="GPU-pretended.lock: .*move the folder away"):
        claim_gpu()
