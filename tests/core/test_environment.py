"""The Python that DVC finds: that of its own environment, or a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from stemproof.core.needed import NEEDED

# Modules of distributions whose names differ.
MODULES = {"lightning-fabric": "lightning_fabric", "pyyaml": "yaml"}
SCRIPTS = sorted(file.stem for file in (ROOT / "stages").glob("*.py") if file.stem != "common")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without any package, as `make` makes it."""
    folder = tmp_path_factory.mktemp("environment") / "own environment"
    venv.create(folder, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = folder / "lib" / version / "site-packages" / "programs.pth"
    target.write_bytes((ROOT / "programs.pth").read_bytes())
    return folder / "bin"


def test_make_puts_it_there() -> None:
    assert "cp programs.pth" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "", None, "/nowhere"])
def test_programs_of_an_environment_find_its_python(bare: Path, path: str | None) -> None:
    """As DVC runs a stage: through a shell, by the name `python`; nothing was activated."""
    started = "import subprocess; subprocess.run(['/bin/sh', '-c', 'python -c \"$CODE\"'])"
    code = "import os, sys; print(sys.executable); print(os.environ['PATH'])"
    environment = {"CODE": code} | ({} if path is None else {"PATH": path})
    done = subprocess.run(
        [str(bare / "python"), "-c", started],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    python, found = done.stdout.splitlines()
    assert Path(python) == bare / "python"
    assert found.split(os.pathsep).count(str(bare)) == 1  # once, however deep it is called
    assert done.stderr == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_python_without_the_packages_says_so(bare: Path, script: str) -> None:
    done = subprocess.run(
        [str(bare / "python"), str(ROOT / "stages" / f"{script}.py")],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: {bare / 'python'} has no ")
    assert "activate its environment" in said


def test_what_is_asked_for_is_what_is_needed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {need.partition(">")[0] for need in project["dependencies"]} - {"dvc"}
    assert {MODULES.get(name, name) for name in names} == set(NEEDED.split())


def test_every_stage_is_run_by_that_name() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert all(stage["cmd"].startswith("python stages/") for stage in stages.values())
