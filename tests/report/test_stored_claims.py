"""Claims of a run that DVC did not record: what its stages sealed, and nothing that was changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.core.errors import InputError
from stemproof.report.provenance import check_seals, known_commit

RESULTS = ROOT / "results/musdb18-7"
EDITED = {
    "params.yaml": ("eps: 0.003", "eps: 0.004", "attack.eps = 0.003, but .* 0.004; restore the p"),
    "metrics/environment.json": ('"NVIDIA H200"', '"CPU"', "changed since compare wrote it"),
    "metrics/comparison.json": ('"difference": 0.', '"difference": 1.', "changed since compare"),
    "metrics/systems/robust.json": ('"rb": 0.', '"rb": 1.', "changed since compare"),
    "metrics/audit.json": ('"clear"', '"CLEAR"', "changed since audit wrote it"),
    "plots/tracks/improved.csv": ("218,", "219,", "changed since compare wrote it"),
    "plots/audit/stft.json": ('"bs"', '"BS"', "changed since audit wrote it"),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    shutil.copytree(RESULTS / "run", tmp_path / "run")
    return tmp_path / "run"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def claim(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "stages/claim.py"), "--name", "again", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_published_claims_are_those_of_the_stored_run(run: Path) -> None:
    folder = run.parent
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "start")
    done = claim(folder, "--stored", "run", "--commit", "HEAD")
    assert done.returncode == 0, done.stderr
    published = sorted(RESULTS.glob("*.json"))
    names = [file.name for file in published]
    assert names == sorted(file.name for file in (run / "metrics/systems").glob("*.json"))
    for file in published:
        written = json.loads((folder / "results/again" / file.name).read_text())
        assert written.pop("git_commit") == git(folder, "rev-parse", "HEAD").strip()
        expected = json.loads(file.read_text())
        assert expected.pop("git_commit").startswith("2a48085")
        assert expected["recorded"] == "seals" and written == expected


@pytest.mark.parametrize("name", EDITED)
def test_a_run_that_was_changed_is_refused(run: Path, name: str) -> None:
    before, after, said = EDITED[name]
    text = (run / name).read_text()
    assert before in text
    (run / name).write_text(text.replace(before, after))
    with pytest.raises(InputError, match=said):
        check_seals(run)


def test_a_run_of_two_data_sets_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_seals(run)
    monkeypatch.setattr("stemproof.core.influences.check_seal", lambda *_: None)
    file = run / "plots/audit/made_with.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "data": "0" * 64}))
    with pytest.raises(InputError, match="comparison and audit are of different recordings"):
        check_seals(run)


def test_one_of_the_two_options_is_not_enough(tmp_path: Path) -> None:
    for arguments in (["--stored", "run"], ["--commit", "HEAD"]):
        done = claim(tmp_path, *arguments)
        assert done.returncode == 2
        assert "--stored and --commit go together; give both or neither" in done.stderr


def test_a_commit_of_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--commit HEAD is no commit of this repository"):
        known_commit(tmp_path, "HEAD")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "start")
    assert known_commit(tmp_path, "HEAD") == git(tmp_path, "rev-parse", "HEAD").strip()
    with pytest.raises(InputError, match="--commit 0123abc is no commit of this repository"):
        known_commit(tmp_path, "0123abc")
