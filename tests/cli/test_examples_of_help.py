"""What the help of every command and stage shows is understood by that command."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml
from conftest import ROOT
from typer.testing import CliRunner

import stemproof
from stemproof.cli import EXAMPLES, app
from stemproof.core.manual import manual

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SCRIPTS = sorted({stage["cmd"].split()[1] for stage in STAGES.values()})


def test_every_command_has_examples() -> None:
    assert set(EXAMPLES) == {command.name or command.callback.__name__ for command in commands()}


def commands() -> list[typer.models.CommandInfo]:
    return [command for command in app.registered_commands if command.callback]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_understood(name: str) -> None:
    said = CliRunner().invoke(app, [name, "--help"]).output
    group = typer.main.get_command(app)
    for line in EXAMPLES[name]:
        assert line in said
        program, command, *words = shlex.split(line)
        assert (program, command) == ("stemproof", name)
        own = group.commands[command]  # type: ignore[attr-defined]
        with own.make_context(name, words):  # refuses options and values that there are not
            pass


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_stage_says_what_it_reads_and_writes(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    said = manual(script)
    example = said.partition("\n")[0]
    assert example.startswith(f"Example: python {script}") and "$" not in said
    assert "Writes: " in said
    assert "stemproof/" not in said  # code is no input that a user has


@pytest.mark.slow
def test_the_help_of_a_stage(tmp_path: Path) -> None:
    shown = help_of("stages/evaluate.py", ROOT)
    assert "Example: python stages/evaluate.py --system baseline --seed" in shown
    assert "data/adversarial/SYSTEM/SEED" in shown and "Parameters: segments" in shown
    # Where there is no project, and where its parameters cannot be read, there is still help.
    assert "Usage: " in help_of(ROOT / "stages/evaluate.py", tmp_path)
    (tmp_path / "params.yaml").write_text("a: [")
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    assert "cannot be told: params.yaml" in help_of(ROOT / "stages/evaluate.py", tmp_path)


def help_of(script: str | Path, folder: Path) -> str:
    command = [sys.executable, str(script), "--help"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


def test_the_version_is_said() -> None:
    found = CliRunner().invoke(app, ["--version"])
    assert found.exit_code == 0 and found.output.strip() == stemproof.__version__
