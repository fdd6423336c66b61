"""A record that was sealed: what was changed since is named, and what was not passes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemproof.core.aside import written_together
from stemproof.core.errors import InputError
from stemproof.core.files import read_json, write_json, write_text
from stemproof.core.seals import SEAL, check_seal, without_seal, write_sealed

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def said(folder: Path) -> str:
    """What is said of the record in a folder; nothing where it passes."""
    path = folder / "record.json"
    try:
        check_seal(path, read_json(path), "compare")
    except InputError as error:
        return str(error)
    return ""


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "metrics"
    write_text(folder / "systems/a.json", "{}\n")
    write_text(tmp_path / "plots/a.csv", "x\n1\n")
    files = [folder / "systems/a.json", tmp_path / "plots/a.csv"]
    write_sealed(folder / "record.json", {"rb": np.float64(0.85), "of": ("a", 1)}, files)
    return folder


def test_what_was_written_passes(sealed: Path) -> None:
    assert said(sealed) == ""
    found = read_json(sealed / "record.json")
    assert without_seal(found) == {"rb": 0.85, "of": ["a", 1]}
    assert set(found[SEAL]["files"]) == {"systems/a.json", "../plots/a.csv"}
    # Another hand may have laid it out otherwise.
    (sealed / "record.json").write_text(json.dumps(found, sort_keys=True))
    assert said(sealed) == ""


@pytest.mark.parametrize("name", ["systems/a.json", "../plots/a.csv"])
def test_a_file_that_was_changed_or_is_gone_is_named(sealed: Path, name: str) -> None:
    file = Path(os.path.normpath(sealed / name))
    file.write_text(file.read_text() + " ")
    again = "changed since compare wrote it; run compare again, and all that follows"
    assert said(sealed) == f"{file}: {again}"
    file.unlink()
    assert said(sealed).startswith(f"{file}: no such file")


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.update(rb=0.84),
        lambda found: found.update(new=1),
        lambda found: found.pop("of"),
        lambda found: found.update(of=["a", 1.0]),
        lambda found: found[SEAL]["files"].popitem(),
        lambda found: found[SEAL].pop("this"),
        lambda found: found[SEAL].update(files=[]),
        lambda found: found.update({SEAL: "no"}),
    ],
)
def test_a_record_that_was_changed_is_named(sealed: Path, change: Any) -> None:
    found = read_json(sealed / "record.json")
    change(found)
    write_json(sealed / "record.json", found)
    assert said(sealed).startswith(f"{sealed / 'record.json'}: changed since compare wrote it")


def test_a_record_of_an_earlier_release_is_refused(sealed: Path) -> None:
    """One from which somebody took the seal looks like it."""
    write_json(sealed / "record.json", {"rb": 1.0})
    again = "has no seal, as what compare writes has since this release; run compare again"
    assert said(sealed) == f"{sealed / 'record.json'}: {again}"


def test_files_that_are_not_read_need_not_be_there(sealed: Path) -> None:
    (sealed / "systems/a.json").unlink()
    path, plots = sealed / "record.json", sealed.parent / "plots"
    check_seal(path, read_json(path), "compare", plots)
    (plots / "a.csv").write_text("")
    with pytest.raises(InputError, match=r"plots/a.csv: changed since compare"):
        check_seal(path, read_json(path), "compare", plots)


def test_files_that_wait_for_their_names_are_hashed_as_they_will_be(sealed: Path) -> None:
    file = sealed / "systems/a.json"
    with written_together():
        write_text(file, "first\n")
        write_text(file, "second\n")
        write_sealed(sealed / "record.json", {}, [file])
        assert file.read_text() == "{}\n"
    assert file.read_text() == "second\n"
    assert said(sealed) == ""


@given(record=st.dictionaries(st.text().filter(lambda key: key != SEAL), VALUES))
def test_whatever_a_record_says(tmp_path_factory: pytest.TempPathFactory, record: Any) -> None:
    folder = tmp_path_factory.mktemp("any")
    write_sealed(folder / "record.json", record)
    assert said(folder) == ""
    assert without_seal(read_json(folder / "record.json")) == record
