"""Files get their names when they are whole, some of them together; what a kill left goes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from stemproof.core.aside import unfinished_of, written_aside, written_together
from stemproof.core.errors import InputError
from stemproof.core.files import read_json, write_text
from stemproof.core.ownership import (
    MARKER,
    WRITTEN,
    copy_file,
    link_file,
    move_file,
    renewed,
    replaced,
)

WRITERS = re.compile(
    r"\.write_text\(|\.write_bytes\(|np\.save|torch\.save\((?!\{)|save_file\(|soundfile\.write\("
    r"|wavfile\.write\(|tofile\(|copyfile\(|shutil\.copy\w*\(|json\.dump\(|open\([^)]*\"[wax+]"
)
# A lock, a program's input and messages in a temporary folder, what was opened the line above,
# files in memory, and the samples of a long song, which every run writes before it reads them.
OTHERS = {
    "file.open(",
    "av.open(stored,",
    "soundfile.write(stored, clipped",
    "lock = path.open(",
    "said.open(",
    "wavfile.write(path, self.sample_rate",
    "shutil.copyfileobj(",
    "np.save(stream,",
}


def content(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_files_are_written_aside_and_nowhere_else() -> None:
    """Whoever writes a result in its place would leave half of one when it is killed."""
    found = []
    for room in ("stemproof", "stages"):
        for file in (ROOT / room).rglob("*.py"):
            for line in file.read_text().splitlines():
                if WRITERS.search(line) and "temporary" not in line:
                    found.append((file.name, line.strip()))
    assert [(name, line) for name, line in found if not any(o in line for o in OTHERS)] == []
    assert len(found) == len(OTHERS) + 1  # two such files


def test_files_get_their_names_together(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with written_together():
        write_text(tmp_path / "a", "new")
        write_text(tmp_path / "folder/b", "new")
        assert (tmp_path / "a").read_text() == "old"
        assert not (tmp_path / "folder/b").exists()
    assert content(tmp_path) == {"a": "new", "folder/b": "new"}
    write_text(tmp_path / "a", "after")
    assert (tmp_path / "a").read_text() == "after"


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError("full")])
def test_when_one_fails_all_stay(tmp_path: Path, error: Any) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(BaseException), written_together():  # noqa: B017
        write_text(tmp_path / "a", "new")
        write_text(tmp_path / "b", "new")
        raise error
    assert content(tmp_path) == {"a": "old"}


def test_directories_are_renewed_or_stay(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with renewed({first: ["a.csv", "b.csv"], second: ["c.csv"]}):
        for file in (first / "a.csv", first / "b.csv", second / "c.csv", tmp_path / "beside"):
            write_text(file, "old")
    before = content(tmp_path)
    assert read_json(first / MARKER) == {WRITTEN: ["a.csv", "b.csv"]}
    with pytest.raises(KeyboardInterrupt), renewed({first: ["a.csv", "b.csv"], second: ["c.csv"]}):
        write_text(first / "a.csv", "new")
        write_text(tmp_path / "beside", "new")
        raise KeyboardInterrupt
    assert content(tmp_path) == before
    with renewed({first: ["a.csv", "d.csv"]}):
        # Whoever is killed now leaves nothing that is not known for ours.
        assert read_json(first / MARKER) == {WRITTEN: ["a.csv", "b.csv", "d.csv"]}
        write_text(first / "a.csv", "new")
        write_text(first / "d.csv", "new")
        assert (first / "b.csv").read_text() == "old"
    assert {file.name for file in first.iterdir()} == {"a.csv", "d.csv", MARKER}
    assert read_json(first / MARKER) == {WRITTEN: ["a.csv", "d.csv"]}
    write_text(first / "mine.csv", "mine")
    with pytest.raises(InputError, match="mine.csv"), renewed({second: ["c.csv"], first: []}):
        raise AssertionError
    assert (second / "c.csv").read_text() == "old"


WRITES = """
import sys, time
from pathlib import Path
from stemproof.core.aside import written_aside
with written_aside(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_directory_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    folder, work = tmp_path / "clips", tmp_path / "work/clips"
    names = ["index", *(f"{number}.wav" for number in range(2000))]  # more than may be open

    def write(text: str, numbers: range) -> None:
        with replaced(folder, names, work, "index") as place:
            for number in numbers:
                (place / f"{number}.wav").write_text(text)
            assert folder.exists() == (text != "old")
            write_text(place / "index", text)

    write("old", range(2000))
    before = content(folder)
    assert len(before) == 2002  # and the marker
    for error in (KeyboardInterrupt(), InputError("full")):
        with pytest.raises(type(error)), replaced(folder, names, work, "index") as place:
            write_text(place / "index", "new")
            raise error
        assert content(folder) == before and not work.exists()
    write("new", range(3))
    assert content(folder).keys() == {MARKER, "index", "0.wav", "1.wav", "2.wav"}
    assert (folder / "2.wav").read_text() == "new"
    (folder / "mine.wav").write_text("mine")
    with pytest.raises(InputError, match=r"mine.wav is not known to come"):
        write("newer", range(3))
    assert (folder / "mine.wav").read_text() == "mine" and (folder / "index").read_text() == "new"
    assert not work.exists()


def test_who_vouches_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked: list[str] = []

    def told(source: Path, target: Path) -> None:
        linked.append(target.name)
        os.link(source, target)

    monkeypatch.setattr("stemproof.core.ownership.link_file", told)
    with replaced(tmp_path / "a", ["index", "x", "y"], tmp_path / "b", "index") as place:
        for name in ("index", "y", "x"):
            (place / name).write_text(name)
    assert linked == ["x", "y", "index"]


def test_who_sweeps_between_a_file_and_its_lock_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take a file that was just made for what a kill left."""
    path, made = tmp_path / "a.txt", list[str]()
    make = tempfile.mkstemp

    def swept(**arguments: Any) -> tuple[int, str]:
        handle, name = make(**arguments)
        made.append(name)
        if len(made) == 1:
            words = (
                "import sys, pathlib as p, stemproof.core.aside as a; a._sweep(p.Path(sys.argv[1]))"
            )
            subprocess.run([sys.executable, "-c", words, str(path)], check=True, cwd=ROOT)
            assert not Path(name).exists()
        return handle, name

    monkeypatch.setattr("tempfile.mkstemp", swept)
    write_text(path, "whole")
    assert len(made) == 2 and content(tmp_path) == {"a.txt": "whole"}


def test_what_a_kill_left_goes_with_the_next_write(tmp_path: Path) -> None:
    path, other = tmp_path / "218.safetensors", tmp_path / "219.safetensors"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES, str(file)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for file in (path, path, other)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "written\n"
    left = {file.name for file in tmp_path.iterdir()}
    assert len(left) == 3
    # Two of one file are killed, and nobody writes the other one any more either.
    processes[0].send_signal(signal.SIGKILL)
    processes[2].send_signal(signal.SIGKILL)
    processes[0].wait()
    processes[2].wait()
    write_text(tmp_path / ".218.notes.safetensors", "mine")
    write_text(path, "whole")
    found = content(tmp_path)
    assert found.pop("218.safetensors") == "whole"
    assert found.pop(".218.notes.safetensors") == "mine"
    # Of the process that lives, and of the other file.
    assert sorted(name.split(".")[1] for name in found) == ["218", "219"]
    processes[1].kill()
    processes[1].wait()
    time.sleep(0.01)
    write_text(path, "again")
    assert sum(name.startswith(".218.") for name in content(tmp_path)) == 1


def test_names_of_unfinished_files(tmp_path: Path) -> None:
    long = "x" * 60 + ".json"
    with written_aside(tmp_path / long) as temporary:
        assert unfinished_of(temporary.name, [long])
        assert not unfinished_of(temporary.name, ["y.json"])
    assert unfinished_of(".abcd_123.json", ["a.json"])  # of older versions
    assert not unfinished_of(".abcd_123.json", ["a.csv"])
    assert not unfinished_of("abcd_123.json", ["a.json"])
    assert not unfinished_of(".a.abcd.json", ["a.json"])
    # A suffix that looks like what mkstemp puts in.
    assert unfinished_of(".a.abcd_123.finished", ["a.finished"])
    assert not unfinished_of(".a.abcd_123.finished", ["a.abcd_123"])


def replace_but_not(source: Path, refuse: Callable[[], None]) -> Any:
    replace = Path.replace
    return lambda own, to: refuse() if own == source else replace(own, to)


@pytest.mark.parametrize("call", [link_file, copy_file, move_file])
def test_a_file_comes_to_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    """Also where there are no links, and on another file system."""
    source, target = tmp_path / "a", tmp_path / "b"
    for refused in (False, True):
        source.write_text("1")
        target.unlink(missing_ok=True)
        if refused:

            def no(*_: Any) -> None:
                raise OSError(18, "Invalid cross-device link")

            monkeypatch.setattr(os, "link", no)
            if call is move_file:
                monkeypatch.setattr(Path, "replace", replace_but_not(source, no))
        call(source, target)
        assert target.read_text() == "1"
        assert source.exists() == (call is not move_file)
