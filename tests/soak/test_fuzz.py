"""Fuzzing starts from whole files, and sees every way in which a reader can misbehave."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import fuzz_seeds
import pytest
import torch
from fuzz_judge import Reader, Verdict, judge
from fuzz_readers import READERS

from stemproof.core.errors import InputError, RefusedError

WITH_ATHERIS = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed"
)


@pytest.mark.parametrize("name", READERS)
def test_every_seed_is_accepted(tmp_path: Path, name: str) -> None:
    reader = READERS[name]
    seeds = reader.seeds()
    assert seeds
    for number, content in enumerate(seeds):
        assert len(content) <= reader.longest
        path = tmp_path / f"{number}{reader.suffix}"
        path.write_bytes(reader.wrapped(content))
        assert judge(reader, path) == Verdict("accepted")


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_such_file_is_refused(tmp_path: Path, name: str) -> None:
    reader = READERS[name]
    path = tmp_path / f"x{reader.suffix}"
    path.write_bytes(b"\xff\x00 no such file")
    verdict = judge(reader, path)
    assert verdict.kind == "refused" and verdict.said.startswith(f"{path}: ")


def test_seeds_are_the_same_every_time() -> None:
    """No time of the day, and no place in memory, is in them."""
    for name, reader in READERS.items():
        before = reader.seeds()
        held = [torch.ones(1000) for _ in range(100)]
        assert reader.seeds() == before, name
        assert held


def test_what_wraps_an_input_makes_the_file_that_it_is_of() -> None:
    assert list(map(fuzz_seeds.model_of, fuzz_seeds.model_headers())) == fuzz_seeds.models()
    for header, whole in zip(fuzz_seeds.array_headers(), fuzz_seeds.arrays(), strict=True):
        assert whole.startswith(fuzz_seeds.array_of(header)[:-24])


def raises(make: Callable[[Path], BaseException]) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        raise make(path)

    return read


def judged(path: Path, read: Callable[[Path], Any], **limits: float) -> Verdict:
    def positive(found: Any) -> None:
        assert found > 0

    path.write_bytes(b"content")
    return judge(Reader(".x", lambda: [b""], read, positive), path, **limits)


class TwoLinesError(InputError):
    """A message of two lines, which an InputError makes one of."""

    def __str__(self) -> str:
        return f"{self.args[0]}\nand more"


class Panic(BaseException):
    """As extensions in Rust panic."""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: ValueError("strange"), "ValueError: strange"),
        (lambda path: MemoryError(), "MemoryError: "),
        (lambda path: Panic("gone"), "Panic: gone"),
        (lambda path: SystemExit(3), "SystemExit: 3"),
        (lambda path: TwoLinesError(f"{path}: bad"), "a refusal of more lines than one: "),
        (lambda path: InputError("the file is bad"), "a refusal that does not name the file: "),
        (lambda path: InputError(f"{path.name}: bad"), "a refusal that does not name the file: "),
        (lambda path: InputError(f"{path}: "), "a refusal that does not name the file: "),
        (lambda path: InputError(f"{path}: bad\n"), "a refusal of more lines than one: "),
        (
            lambda path: RefusedError(f"{path}: not enough memory; buy some"),
            "a small file that asks for more memory than there is: ",
        ),
    ],
)
def test_what_a_reader_must_not_say_is_a_fault(
    tmp_path: Path, make: Callable[[Path], BaseException], said: str
) -> None:
    verdict = judged(tmp_path / "x", raises(make))
    assert verdict.kind == "fault" and verdict.said.startswith(said)
    assert "test_fuzz.py:" in verdict.where


def test_a_result_and_a_sentence_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert judged(path, lambda path: 1) == Verdict("accepted")
    found = judged(path, raises(lambda path: InputError(f"{path}: bad; fetch it again")))
    assert found == Verdict("refused", f"{path}: bad; fetch it again")


def test_garbage_is_a_fault(tmp_path: Path) -> None:
    for garbage, said in ((-1, "AssertionError"), ("text", "TypeError"), (None, "TypeError")):
        verdict = judged(tmp_path / "x", lambda path, garbage=garbage: garbage)
        assert verdict.kind == "fault" and verdict.said.startswith(f"accepted: {said}")


def test_what_takes_too_much_is_a_fault(tmp_path: Path) -> None:
    verdict = judged(tmp_path / "x", lambda path: sum(range(10**5)), seconds=0.0)
    assert (verdict.kind, verdict.where) == ("fault", "time")
    verdict = judged(tmp_path / "x", lambda path: 1, megabytes=-1.0)
    assert (verdict.kind, verdict.where) == ("fault", "memory")


def test_without_atheris_one_sentence_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["fuzz.py", "--out", str(tmp_path / "fuzz.json")])
    with pytest.raises(SystemExit) as ended:
        fuzz.main()
    said = str(ended.value.code)
    assert said == (f"atheris is not installed; run {sys.executable} -m pip install atheris==3.0.0")
    assert not list(tmp_path.iterdir())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONHASHSEED": "0"}, cwd=fuzz.HERE,
    )  # fmt: skip


@WITH_ATHERIS
def test_a_reader_is_fuzzed(tmp_path: Path) -> None:
    out = tmp_path / "fuzz.json"
    ended = run("fuzz.py", "training", "--inputs", "200", "--out", str(out))
    assert ended.returncode == 0, ended.stderr[-3000:]
    about = json.loads(out.read_text())["readers"]["training"]
    assert about["inputs"] == 200 == about["accepted"] + about["refused"]
    assert about["accepted"] and about["refused"] and about["branches"] > 10
    assert about["faults"] == 0 and about["places"] == []


@pytest.mark.slow
@WITH_ATHERIS
def test_a_reader_that_there_is_not_is_named(tmp_path: Path) -> None:
    out = tmp_path / "fuzz.json"
    ended = run("fuzz.py", "trainings", "--inputs", "200", "--out", str(out))
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("trainings: no such reader; there are wav, ")


@pytest.mark.slow
@WITH_ATHERIS
def test_a_reader_that_breaks_is_gone_on_with(tmp_path: Path) -> None:
    """A crash, a loop without end and an exception are kept, and the other inputs are tried."""
    script = f"""
        import os, fuzz, json, pathlib, fuzz_child
        from fuzz_judge import Reader

        def read(path):
            content = path.read_bytes()
            if content[:1] == b"H":
                os.abort()
            while content[:1] == b"a":
                pass
            return 1 / (len(content) - 2)

        fuzz.WALL = 1
        reader = Reader(".x", lambda: [b"whole"], read, lambda found: None, longest=3)
        fuzz_child.fuzz_readers.READERS["bad"] = reader
        found = fuzz.fuzz("bad", 3000, 1, pathlib.Path({str(tmp_path / "kept")!r}))
        print(json.dumps(found))
    """
    ended = run("-c", textwrap.dedent(script))
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout)
    places = {place["where"].partition(" at ")[0]: place for place in found["places"]}
    assert set(places) >= {"crash", "ZeroDivisionError"}
    assert found["faults"] == sum(place["count"] for place in found["places"])
    for place in places.values():
        assert list((tmp_path / "kept").glob(f"{place['sha256']}*"))
