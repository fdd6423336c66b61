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
from stemproof.core.locks import only_run
from stemproof.core.seals import without_seal, write_sealed
from stemproof.report.provenance import known_commit, sealed_parameters

RESULTS = ROOT / "results/musdb18-7"
EDITED = {
    "params.yaml": ("eps: 0.003", "eps: 0.004", "attack.eps = 0.003, but .* 0.004; restore the p"),
    "metrics/environment.json": (
        '"NVIDIA H200"',
        '"CPU"',
        "changed since compare .* or bring the r",
    ),
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


def committed(folder: Path) -> str:
    """A repository whose only commit has the parameters of the run."""
    git(folder, "init", "--quiet")
    shutil.copy(RESULTS / "run/params.yaml", folder)
    git(folder, "add", "params.yaml")
    git(folder, "commit", "--quiet", "--message", "start")
    return git(folder, "rev-parse", "HEAD").strip()


def claim(folder: Path, *arguments: str, name: str = "again") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "stages/claim.py"), "--name", name, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_the_published_claims_are_those_of_the_stored_run(run: Path) -> None:
    folder = run.parent
    commit = committed(folder)
    # What no seal holds is not in a claim, and so nothing in it can be wrong.
    params = (run / "params.yaml").read_text()
    assert "  audio: demo" in params and "seed: 2022" in params
    edited = params.replace("  audio: demo", "  audio: 2020-01-01").replace(
        "seed: 2022", "seed: .inf"
    )
    (run / "params.yaml").write_text(edited)
    done = claim(folder, "--stored", "run", "--commit", "HEAD")
    assert done.returncode == 0, done.stderr
    published = sorted(RESULTS.glob("*.json"))
    names = [file.name for file in published]
    assert names == sorted(file.name for file in (run / "metrics/systems").glob("*.json"))
    for file in published:
        written = json.loads((folder / "results/again" / file.name).read_text())
        assert written.pop("git_commit") == commit
        expected = json.loads(file.read_text())
        assert expected.pop("git_commit").startswith("2a48085")
        assert expected["recorded"] == "seals" and written == expected
        assert not {"demo", "report", "protect", "workers"} & set(written["parameters"])


@pytest.mark.slow
def test_nothing_is_written_where_one_claim_disagrees_with_itself(run: Path) -> None:
    folder, file = run.parent, run / "metrics/environment.json"
    committed(folder)
    own = run / "metrics/systems/stft.json"
    metrics = json.loads(own.read_text())
    own.write_text(json.dumps(metrics | {"break_1db": 1.0}))
    # Hashes that somebody wrote anew as well.
    record = json.loads(file.read_text())
    write_sealed(
        file, without_seal(record), [file.parent / name for name in record["sealed"]["files"]]
    )
    done = claim(folder, "--stored", "run", "--commit", "HEAD")
    assert done.returncode == 2
    assert "no claim is written: of stft, what costs more is found at a higher" in done.stderr
    assert not (folder / "results").exists()


@pytest.mark.parametrize("name", EDITED)
def test_a_run_that_was_changed_is_refused(run: Path, name: str) -> None:
    before, after, said = EDITED[name]
    text = (run / name).read_text()
    assert before in text
    (run / name).write_text(text.replace(before, after))
    with pytest.raises(InputError, match=said):
        sealed_parameters(run)


def test_a_run_of_two_data_sets_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed_parameters(run)
    monkeypatch.setattr("stemproof.core.influences.check_seal", lambda *_: None)
    file = run / "plots/audit/made_with.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "data": "0" * 64}))
    with pytest.raises(InputError, match="comparison and audit are of different recordings"):
        sealed_parameters(run)


@pytest.mark.parametrize(
    ("ablations", "said"),
    [
        ("[stft]", "ablations and own name stft of systems, and not attention-only, "),
        ("[]", "nothing"),
    ],
)
def test_lists_that_cannot_have_made_the_run_are_refused(
    run: Path, ablations: str, said: str
) -> None:
    file = run / "params.yaml"
    before, _, rest = file.read_text().partition("ablations:\n")
    _, own, after = rest.partition("own: []\n")
    file.write_text(f"{before}ablations: {ablations}\n{own}{after}")
    with pytest.raises(InputError, match=said):
        sealed_parameters(run)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder; name that of the stored run"):
        sealed_parameters(tmp_path / "nowhere")


@pytest.mark.slow
def test_one_of_the_two_options_is_not_enough(tmp_path: Path) -> None:
    for arguments in (["--stored", "run"], ["--commit", "HEAD"]):
        done = claim(tmp_path, *arguments)
        assert done.returncode == 2
        assert "--stored and --commit go together; give both or neither" in done.stderr


def test_a_commit_that_cannot_have_made_the_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="HEAD: git finds no such commit with a params.yaml here"):
        known_commit(tmp_path, "HEAD", ["attack"])
    commit = committed(tmp_path)
    assert known_commit(tmp_path, commit[:7], ["attack", "breaks"]) == commit
    for name in ("0123abc", "", "--all", "HEAD~1", "HEAD:params.yaml"):
        with pytest.raises(InputError, match="git finds no such commit"):
            known_commit(tmp_path, name, ["attack"])
    with pytest.raises(InputError, match="is no single commit"):
        known_commit(tmp_path, f"^{commit}", ["attack"])
    with pytest.raises(
        InputError, match="its params.yaml has no teleport, which the run has; name"
    ):
        known_commit(tmp_path, "HEAD", ["attack", "teleport"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp/a"])
def test_a_name_that_is_no_folder_under_results_is_refused(tmp_path: Path, name: str) -> None:
    done = claim(tmp_path, name=name)
    assert done.returncode == 2 and f"--name = {name!r} is not allowed" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_claims_of_one_name_are_written_by_one_run_at_a_time(run: Path) -> None:
    folder = run.parent
    committed(folder)
    with only_run(folder / "checkpoints/locks", "claims of", "again"):
        done = claim(folder, "--stored", "run", "--commit", "HEAD")
    assert done.returncode == 2 and "(claims of again) is under way" in done.stderr
    assert not (folder / "results").exists()
