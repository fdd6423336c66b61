"""The tables of the documentation are those of the code."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.attacks.registry import METHODS
from stemproof.core.errors import InputError
from stemproof.figures import table
from stemproof.report import docs
from stemproof.separators.registry import kinds

DEFINITIONS = Path("docs/definitions.md")
PAGE = (ROOT / DEFINITIONS).read_text()


def committed_parameters() -> bytes:
    """params.yaml as it was committed: who changes a value for a run need not write the page."""
    command = ["git", "show", "HEAD:./params.yaml"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True)
    return shown.stdout if shown.returncode == 0 else (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        # What is computed anew from tables per track takes seconds.
        pytest.param(name, marks=pytest.mark.slow if "results" in name.stem else ())
        for name in docs.TABLES
    ],
    ids=str,
)
def test_the_pages_are_up_to_date(
    name: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / name).read_text()
    allowed = []
    for parameters in {(ROOT / "params.yaml").read_bytes(), committed_parameters()}:
        (tmp_path / "params.yaml").write_bytes(parameters)
        shutil.copy(ROOT / "dvc.yaml", tmp_path)
        if not (tmp_path / "results").exists():
            (tmp_path / "results").symlink_to(ROOT / "results")
        monkeypatch.chdir(tmp_path)
        allowed.append(docs.refreshed(name, page))
    assert page in allowed, "run python -m stemproof.report.docs"


def test_the_tables_name_all_there_is() -> None:
    for names, shown in (
        ([figure.key for figure in table.FIGURES if figure.listed], docs.figures()),
        (list(METHODS), docs.methods()),
        (kinds(), docs.separators()),
    ):
        assert [line.split("`")[1] for line in shown.splitlines()[2:]] == names


def test_a_page_without_markers_is_refused() -> None:
    broken = PAGE.replace("<!-- end of attacks -->", "")
    with pytest.raises(InputError, match="`<!-- end of attacks -->` are missing; restore them"):
        docs.refreshed(DEFINITIONS, broken)


@pytest.mark.slow
def test_the_command_refreshes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "stemproof.report.docs"]

    def run() -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    missing = run()
    assert missing.returncode == 2
    assert missing.stderr.startswith("error: docs/definitions.md: no such file")
    (tmp_path / "docs").mkdir()
    stale = PAGE.replace(docs.methods(), "| stale |\n")
    assert stale != PAGE
    (tmp_path / DEFINITIONS).write_text(stale)
    shutil.copytree(ROOT / "results", tmp_path / "results")
    for name in docs.TABLES:
        if name != DEFINITIONS:
            shutil.copy(ROOT / name, tmp_path / name)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    done = run()
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(ROOT)
    for page in docs.TABLES:
        assert (tmp_path / page).read_text() == docs.refreshed(page, page.read_text())
