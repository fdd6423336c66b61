"""Unfinished work is gone on with by the same code only: that which the process has imported."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.core.resume import code_fingerprint


def imported(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType(name)
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, name, module)


def test_the_source_of_an_imported_module_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_fingerprint()
    file = tmp_path / "added.py"
    file.write_text("x = 1")
    assert code_fingerprint() == before
    imported("stemproof.added", file, monkeypatch)
    one = code_fingerprint()
    assert one != before
    assert code_fingerprint() == one
    file.write_text("x = 2")
    assert code_fingerprint() not in (one, before)
    file.write_text("x = 1")
    assert code_fingerprint() == one


def test_other_packages_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_fingerprint()
    (tmp_path / "a.py").write_text("")
    for name in ("stemproof_extras", "numpy.added", "added"):
        imported(name, tmp_path / "a.py", monkeypatch)
    assert code_fingerprint() == before


def test_modules_that_are_not_imported_do_not_count() -> None:
    """Another figure, another report: no training starts over for them."""
    code = """
import sys
from stemproof.core.resume import code_fingerprint
before = code_fingerprint()
import stemproof.core.params
print("stemproof.report.build" not in sys.modules, before != code_fingerprint())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"], done.stderr
