"""What a launcher, or another program, left in the environment that is no number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.core.errors import InputError
from stemproof.core.launchers import READ, check_launcher
from stemproof.core.machine import ProcessParams

NAMES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "GROUP_RANK",
    "TORCHELASTIC_RESTART_COUNT",
)
# All are set while torch and the package are imported; then a process for each has it alone. None
# of these has imported Fabric before, as no stage has.
SCRIPT = """
import json, os, sys
from stemproof.core.ending import one_line
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.runtime import make_fabric

assert "lightning_fabric" not in sys.modules
names = json.loads(sys.argv[1])
left = {name: os.environ.pop(name) for name in names}
for name, value in left.items():
    child = os.fork()
    if not child:
        os.environ[name] = value
        os.dup2(os.open(f"{name}.txt", os.O_WRONLY | os.O_CREAT), 2)
        with one_line():
            make_fabric(RuntimeParams(accelerator="cpu"), ProcessParams())
        sys.exit()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([name, status]), flush=True)
"""


@pytest.mark.slow
def test_junk_of_a_launcher_is_one_sentence(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in READ}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(NAMES)],
        cwd=tmp_path,
        env={**clean, **dict.fromkeys(NAMES, "junk"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    ended = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))
    # Of restarts nobody reads anything.
    assert ended == {**dict.fromkeys(NAMES, 2), "TORCHELASTIC_RESTART_COUNT": 0}
    for name, status in ended.items():
        said = (tmp_path / f"{name}.txt").read_text()
        assert "Traceback" not in said
        if status:
            assert said.startswith(f"error: the environment variable {name} = 'junk' is not")
            assert said.count("\n") == 1


@pytest.mark.parametrize("name", READ)
def test_what_fabric_reads_is_a_number_or_not_there(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also an empty text, of which Fabric's import makes a traceback."""
    for other in READ:
        monkeypatch.delenv(other, raising=False)
    for value, said in (("junk", f"{name} = 'junk' is not a number"), (" ", f"{name} is set, but")):
        monkeypatch.setenv(name, value)
        for processes in (ProcessParams(), ProcessParams(devices=2)):
            with pytest.raises(InputError, match=said) as error:
                check_launcher(processes)
            assert "\n" not in str(error.value)
    monkeypatch.delenv(name)
    check_launcher(ProcessParams())
