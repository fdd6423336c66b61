"""Everything that is installed is pinned, hashed but for torch, and its licence listed."""

from __future__ import annotations

import re
import tomllib
from email.message import Message
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.core.errors import InputError
from stemproof.report import licences

FILES = tuple(ROOT / file for file in licences.PINNED)
HASHED = [file for file in FILES if file.name != "requirements-torch.txt"]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_pin_has_hashes_but_torch() -> None:
    """As `pip install --require-hashes` demands it: every line a pin, every pin a hash."""
    for file in HASHED:
        text = "\n".join(line for line in file.read_text().splitlines() if line[:1] != "#")
        entries = text.replace("\\\n", " ").splitlines()
        assert entries
        for entry in entries:
            assert re.fullmatch(
                r"[\w.-]+==\S+( ; [^\\]*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", entry
            ), entry[:80]
    assert list(licences.pins((ROOT / "requirements-torch.txt",))) == [("torch", "2.13.0")]


def test_what_the_project_needs_is_pinned_once() -> None:
    names = [normal(name) for name, _ in licences.pins(FILES)]
    assert len(set(names)) == len(names)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for need in [*project["dependencies"], *(need for extra in extras for need in extra)]:
        assert normal(re.split("[><=]", need)[0]) in names, need


def test_make_installs_these_files_with_their_hashes() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for file in HASHED:
        assert f"--no-deps --require-hashes --requirement {file.name}\n" in makefile
    assert f"REQUIREMENTS := {' '.join(file.name for file in FILES)}\n" in makefile


def test_the_page_lists_what_is_pinned() -> None:
    page = (ROOT / licences.PAGE).read_text()
    assert page.startswith(licences.HEADER)
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", page.removeprefix(licences.HEADER), re.M)
    assert {(name, found) for name, found, _ in rows} == set(licences.pins(FILES))


def test_the_page_says_what_the_packages_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name, pinned in licences.pins():
        try:
            if version(name).partition("+")[0] != pinned:
                pytest.skip(f"{name} is not the pinned one here")
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed here")
    assert licences.page() == (ROOT / licences.PAGE).read_text()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([("License-Expression", "MIT"), ("License", "other")], "MIT"),
        ([("Classifier", "License :: OSI Approved :: BSD License")], "BSD License"),
        ([("Classifier", "License :: OSI Approved"), ("License", "ISC")], "ISC"),
        ([("License", "\n  Apache|2\nmore")], "Apache/2"),
        ([("License", "x" * 61)], "see the package"),
        ([], "see the package"),
    ],
)
def test_licences_as_packages_say_them(fields: list[tuple[str, str]], said: str) -> None:
    metadata = Message()
    for key, value in fields:
        metadata[key] = value
    assert licences.said_of(metadata) == said


def test_another_version_is_no_licence_of_this(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="requirements.txt: no such file; run from the project"):
        licences.page()
    for file in licences.PINNED:
        (tmp_path / file).write_text("numpy==0.1\n")
    with pytest.raises(InputError, match=r"numpy \S+ is installed, but 0.1 is pinned"):
        licences.page()
