"""Files of ours that another release wrote: a newer one says to update, an older one what to do."""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from safetensors.torch import save_file

from stemproof.core.documents import Document, read_any, read_document
from stemproof.core.errors import InputError
from stemproof.core.influences import said_by
from stemproof.data import manifest as prepared
from stemproof.data.store import PreparedData
from stemproof.figures import store as figures
from stemproof.figures.documents import ModelFigures
from stemproof.report import claims
from stemproof.report.claims import Claim, read_claim
from stemproof.separators import checkpoint

PACKAGE = ROOT / "stemproof"


def forms(of: type[Document] = Document) -> Iterator[type[Document]]:
    """Every form of a JSON file of ours, wherever it is defined."""
    for file in PACKAGE.rglob("*.py"):
        if of is Document and "import" in (text := file.read_text()) and "Document" in text:
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    for form in of.__subclasses__():
        if form.__module__.startswith("stemproof."):
            yield form
        yield from forms(form)


FORMS = sorted(set(forms()), key=lambda form: form.__name__)


def refused(path: Path, read: Callable[[Path], Any]) -> str:
    with pytest.raises(InputError) as error:
        read(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ") and "\n" not in said
    return said


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_a_newer_form_says_to_update_and_an_older_one_what_to_run(
    tmp_path: Path, form: type[Document]
) -> None:
    """Whatever else is in it: keys that a newer release left out or renamed are not asked for."""
    path = tmp_path / "x.json"
    oldest, newest = form.formats
    for read in (
        lambda file: read_document(file, form),
        lambda file: read_any(file, form),
        lambda file: said_by(file, "evaluate", form),
    ):
        for number in (newest + 1, 10**30):
            path.write_text(json.dumps({"format": number, "else": []}))
            wanted = f"format {number} of a newer release; this one reads up to {newest}: update it"
            assert refused(path, read) == f"{path}: {wanted}"
        path.write_text(json.dumps({"format": oldest - 1, "parameters": {}}))
        said = refused(path, read)
        assert f"format {oldest - 1}, this one reads from {oldest} on; " in said
        assert said.endswith(form.cure) and form.cure.endswith("again")


def test_there_are_many_forms() -> None:
    names = {form.__name__ for form in FORMS}
    assert {"Index", "AboutBreaks", "ModelFigures", "Clips", "SystemMetrics", "Audits"} <= names
    assert len(names) >= 13


def manifest(path: Path, number: Any) -> None:
    path.write_text(json.dumps({"version": number, "songs": []}))


def header(path: Path, number: Any) -> None:
    text = json.dumps({"format": number, "else": 1})
    save_file({"x": torch.zeros(1)}, str(path), metadata={checkpoint.HEADER: text})


def claim(path: Path, number: Any) -> None:
    path.write_text(json.dumps({"schema_version": number, "threats": []}))


OTHERS: dict[str, tuple[str, Callable[[Path, Any], None], Callable[[Path], Any], int, str]] = {
    "manifest.json": (
        "version",
        manifest,
        lambda path: PreparedData(path.parent),
        prepared.VERSION,
        "run prepare-musdb18 again",
    ),
    "x.safetensors": (
        "format",
        header,
        checkpoint.read_header,
        checkpoint.FORMAT,
        "delete it and run dvc repro",
    ),
    "claim.json": ("schema_version", claim, read_claim, claims.SCHEMA_VERSION, "is not allowed"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_of_ours(tmp_path: Path, name: str) -> None:
    what, write, read, newest, cure = OTHERS[name]
    path = tmp_path / name
    for number in (newest + 1, 10**30):
        write(path, number)
        wanted = f"{what} {number} of a newer release; this one reads up to {newest}: update it"
        assert refused(path, read) == f"{path}: {wanted}"
    for number in (newest - 1, "2", None, [3]):
        write(path, number)
        said = refused(path, read)
        assert cure in said and "newer" not in said


def test_no_form_with_a_number_is_forgotten() -> None:
    """Whoever numbers a further file finds here that a newer one needs its sentence."""
    numbered = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and any(
                isinstance(name, ast.Name) and name.id in ("FORMAT", "VERSION", "SCHEMA_VERSION")
                for name in node.targets
            ):
                numbered.add(file.relative_to(PACKAGE).as_posix())
    read = {form.__module__ for form in FORMS} | {
        module.__name__ for module in (prepared, checkpoint, claims)
    }
    assert "stemproof.report.heard" in read  # of clips
    modules = {f"stemproof.{name.removesuffix('.py').replace('/', '.')}" for name in numbered}
    assert modules - read == {"stemproof.evaluation.clips", figures.__name__}
    assert ModelFigures.formats[1] == figures.FORMAT
    assert Claim.model_fields["schema_version"].default == claims.SCHEMA_VERSION
