"""What ends a stage is one line for the user, and a traceback for a fault of the program."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, SMALL, default_tree, merged

from stemproof.core.errors import InputError, explained, user_message


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "a.csv"), r"a\.csv: cannot be used .*permission"),
        (FileNotFoundError(2, "No such file", "git"), r"git: cannot be used \(No such file\); "),
        (OSError(errno.EXDEV, "Cross", "a", None, "b"), r"b: cannot be used \(Cross\); mend that"),
        (OSError(errno.ENOSPC, "No space left"), "^No space left; free some space"),
        (MemoryError(), "^not enough memory; lower workers.count, rsvm.training.batch_size"),
        (InputError("a\n  b\r\n\tc  d"), "^a b c  d$"),
    ],
)
def test_errors_that_end_a_stage(error: Exception, said: str) -> None:
    found = user_message(error)
    assert found is not None
    assert re.search(said, found), found


def test_memory_that_is_not_there() -> None:
    for take in (lambda: np.empty(2**50), lambda: torch.empty(2**50)):
        with pytest.raises((MemoryError, RuntimeError)) as error:
            take()
        said = user_message(error.value)
        assert said is not None
        assert said.startswith("not enough memory (")
        assert "lower workers.count" in said


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError("x"), ValueError("x"), KeyError("x")])
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception) -> None:
    assert user_message(error) is None


def test_texts_that_are_no_text() -> None:
    with pytest.raises(UnicodeEncodeError) as error:
        "\udcff".encode()
    assert str(explained(error.value, Path("a.csv"), "written")).startswith(
        "a.csv: cannot be written as UTF-8 ("
    )
    assert str(explained(EOFError(), Path("a"), "read")).startswith("a: ends too early; restore")


@pytest.fixture
def project(songs: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    tree = merged(merged(default_tree(), SMALL), {"data": {"root": str(songs)}})
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    return folder


def refused(folder: Path, stage: str, *arguments: str) -> str:
    """What a stage that is run by hand says, when it fails."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1, done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: ")
    assert "Traceback" not in done.stderr
    return said


@pytest.mark.slow
def test_stages_say_it_in_one_line(project: Path) -> None:
    (project / "checkpoints").write_text("")
    said = refused(project, "prepare")
    assert said.endswith("; checkpoints stands where a folder belongs: move it away")
    (project / "checkpoints").unlink()
    (project / "metrics").write_text("")
    said = refused(project, "prepare")
    assert "metrics/data.json: cannot be written (" in said
    assert said.endswith("; metrics stands where a folder belongs: move it away")
    (project / "tracks").mkdir()
    for name, content in (("a", b"seed,track\n1,\xff\n"), ("b", b"")):
        (project / f"tracks/{name}.csv").write_bytes(content)
    for name in "ab":
        said = refused(project, "contrast", name, name, "--tracks", "tracks")
        assert said.startswith(f"error: tracks/{name}.csv: not a table (")
    assert "name a system of the run" in refused(project, "contrast", "c", "c")
    (project / "params.yaml").write_bytes(b"\xff")
    assert "params.yaml: not UTF-8 text" in refused(project, "prepare")
    (project / "params.yaml").unlink()
    (project / "params.yaml").mkdir()
    assert "params.yaml: cannot be read (Is a directory)" in refused(project, "prepare")
