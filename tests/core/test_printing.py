"""No print ends a stage or a command: not for a letter, not for a reader that has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

STAGE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from pathlib import Path
from common import run
from stemproof.core.errors import InputError
from tqdm import tqdm


def main(fails: bool = False) -> None:
    for _ in tqdm(range(3), desc="Дом"):
        print("BSSEval of Дом left out", flush=True)
    Path("result").write_text("whole")
    print("x" * 100_000)
    if fails:
        raise InputError("Дом: too short")


run(main)
"""
ENVIRONMENTS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "strict ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "unbuffered": {"PYTHONIOENCODING": "latin-1", "PYTHONUNBUFFERED": "1"},
}


def run_stage(
    folder: Path, shell: str, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the stage; ``shell`` stands behind its command and says where its output goes."""
    script = folder / "stage.py"
    script.write_text(STAGE, encoding="utf-8")
    command = [sys.executable, str(script), str(ROOT / "stages"), *arguments]
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$@" {shell}', "-", *command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_letters_that_an_output_does_not_have(tmp_path: Path, environment: dict[str, str]) -> None:
    done = run_stage(tmp_path, "", environment, "--fails")
    assert done.returncode == 2
    assert (tmp_path / "result").read_text() == "whole"
    assert done.stdout.count(rb"BSSEval of \u0414\u043e\u043c left out") == 3
    assert done.stderr.splitlines()[-1] == rb"error: \u0414\u043e\u043c: too short"
    assert b"Traceback" not in done.stderr


def test_letters_that_an_output_has(tmp_path: Path) -> None:
    done = run_stage(tmp_path, "", {"PYTHONIOENCODING": "utf-8"})
    assert "BSSEval of Дом left out".encode() in done.stdout


@pytest.mark.parametrize(
    "shell",
    ["| head -1", "2>&1 | true", ">&-", "2>&-", ">&- 2>&- <&-", ">/dev/full 2>/dev/full"],
)
def test_nobody_reads(tmp_path: Path, shell: str) -> None:
    if "/dev/full" in shell and not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    done = run_stage(tmp_path, shell, {})
    assert done.returncode == 0, done.stderr
    # Also where a stream was closed: nothing printed lands in the file.
    assert (tmp_path / "result").read_text() == "whole"
    failed = run_stage(tmp_path, shell, {}, "--fails")
    assert failed.returncode == 2
    assert b"Traceback" not in failed.stdout + failed.stderr


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["| true", ">/dev/full"])
def test_the_command_goes_on_as_well(shell: str) -> None:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$0" -m stemproof.cli attacks {shell}', sys.executable],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
