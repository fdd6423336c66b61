"""What a killed preparation left, and what has become of it since: gone on with, or done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import AllParams

from stemproof.core.errors import InputError
from stemproof.core.ownership import MARKER
from stemproof.data import prepare as preparing
from stemproof.data.prepare import prepare

MakeParams = Callable[..., AllParams]
SONGS = 7


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Preparation:
    """Runs of one preparation, and how many songs each of them has decoded."""

    def __init__(self, params: AllParams, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.params, self.out, self.part = params, folder / "out", folder / "out.part"
        self.decoded = 0
        honest = preparing._prepare_track

        def counted(*arguments: Any) -> Any:
            self.decoded += 1
            return honest(*arguments)

        patch.setattr(preparing, "_prepare_track", counted)

    def run(self) -> dict[str, Any]:
        self.decoded = 0
        return prepare(self.params.data, self.params.segments, 1, self.out)


@pytest.fixture
def run(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> Preparation:
    return Preparation(make_params(data={"root": str(songs)}), tmp_path, monkeypatch)


@pytest.fixture
def whole(run: Preparation) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What an undisturbed run gives; then all of it is gone but its unfinished work."""
    summary = run.run()
    assert run.decoded == SONGS
    found = everything(run.out)
    shutil.rmtree(run.out)
    return summary, found


def with_another_number(content: bytes) -> bytes:
    """Still what it was, but for one figure of the song."""
    changed = content.replace(b'"silent_segments": ', b'"silent_segments": 1')
    assert changed != content
    return changed


RECORD: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-9],
    "cut behind its hash": lambda content: content[:65],
    "text": lambda content: b"This is a note.\n" * 9,
    "no text": lambda content: b"\xff\xfe\0" * 9,
    "zeros": lambda content: bytes(len(content)),
    "of before": lambda content: content.partition(b"\n")[2],
    "a list": lambda content: b"[1]",
    "an object": lambda content: b"{}",
    "another number": with_another_number,
    "a key less": lambda content: content.replace(b'"samples": 4400, ', b""),
}
ARRAY: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-4],
    "one bit": lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
    "text": lambda content: b"This is a note.\n" * 9,
}
LIST: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-9],
    "no text": lambda content: b"\xff\xfe\0" * 9,
    "another tree": lambda content: b'{"files": []}',
    "no list": lambda content: json.dumps({"files written by stemproof": 7}).encode(),
}
DAMAGE = [
    (name, how)
    for name, ways in (
        ("train-0000.npy.json", RECORD),
        ("train-0000.npy", ARRAY),
        (MARKER, LIST),
    )
    for how in ways
]


@pytest.mark.parametrize(("name", "how"), DAMAGE)
def test_what_is_damaged_is_done_again_and_nothing_else(
    run: Preparation,
    whole: tuple[dict[str, Any], dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
    name: str,
    how: str,
) -> None:
    ways = RECORD if name.endswith(".json") and name != MARKER else ARRAY
    damage = (LIST if name == MARKER else ways)[how]
    path = run.part / name
    content = path.read_bytes()
    assert damage(content) != content
    path.write_bytes(damage(content))
    capsys.readouterr()
    summary, files = whole
    assert run.run() == summary
    assert everything(run.out) == files
    assert run.decoded == (0 if name == MARKER else 1)
    told = {MARKER: ["damaged, writing it again"], "train-0000.npy": []}
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{path}: {words}" for words in told.get(name, ["damaged, computing it again"])]


def test_what_is_whole_is_gone_on_with(
    run: Preparation, whole: tuple[dict[str, Any], dict[str, bytes]]
) -> None:
    for gone, again in (("train-0001.npy.json", 1), ("test-0005.npy", 1), (MARKER, 0)):
        (run.part / gone).unlink()
        assert (run.run(), run.decoded) == (whole[0], again)
        assert everything(run.out) == whole[1]


def test_work_of_other_code_is_done_again(
    run: Preparation,
    whole: tuple[dict[str, Any], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preparing, "code_fingerprint", lambda: "other code")
    assert run.run() == whole[0]
    assert run.decoded == SONGS


@pytest.mark.parametrize("name", ["notes.txt", "mine.npy", "train-0000.npy.txt"])
def test_files_of_others_are_not_ours_where_no_list_says_so(
    run: Preparation, whole: tuple[dict[str, Any], dict[str, bytes]], name: str
) -> None:
    (run.part / MARKER).write_text("{")
    (run.part / name).write_bytes(b"mine")
    with pytest.raises(InputError, match=f"out.part: .* {name} is not known to come from this"):
        run.run()
    assert (run.part / name).read_bytes() == b"mine"
    (run.part / name).unlink()
    assert (run.run(), run.decoded) == (whole[0], 0)


def test_a_list_that_is_a_folder_is_told(
    run: Preparation, whole: tuple[dict[str, Any], dict[str, bytes]]
) -> None:
    """As is whatever the system refuses to read: that is no damage."""
    (run.part / MARKER).unlink()
    (run.part / MARKER).mkdir()
    with pytest.raises(InputError, match="a file belongs there: move the folder away"):
        run.run()
    assert np.load(run.part / "train-0000.npy").shape == (2, 2, 4400)
