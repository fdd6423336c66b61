"""The board: ranks only what compares, marks what was not attacked with gradients, and is true."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, AllParams
from threat_cases import MixedRun, mixed_run

from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint
from stemproof.report.board import build_board, command_of, find_claims
from stemproof.report.checking import read_checked
from stemproof.report.claims import Claim

Make = Callable[..., Path]
RESULTS = ROOT / "results"


@pytest.fixture
def run(tmp_path: Path, make_params: Callable[..., AllParams]) -> MixedRun:
    return mixed_run(tmp_path / "run", make_params())


@pytest.fixture
def make(run: MixedRun, tmp_path: Path) -> Make:
    """Write a claim of one system, changed at some places."""

    def write(system: str, name: str = "", folder: str = "one", **changes: Any) -> Path:
        written = json.loads(run.claim(system).model_dump_json())
        written["variant"] = name or system
        for place, value in changes.items():
            part = written
            *path, last = place.split("__")
            for key in path:
                part = part[key]
            part[last] = value
        written["parameters_sha256"] = fingerprint(written["parameters"])
        file = tmp_path / "results" / folder / f"{name or system}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(written))
        return file

    return write


def parts(page: str) -> dict[str, list[list[list[str]]]]:
    """By heading, the tables below it: rows of cells, without the heading of the table."""
    found: dict[str, list[list[list[str]]]] = {}
    for block in page.split("\n## ")[1:]:
        tables: list[list[list[str]]] = []
        before = ""
        for line in block.splitlines():
            if line.startswith("|"):
                if not before.startswith("|"):
                    tables.append([])
                tables[-1].append([c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]])
            before = line
        found[block.splitlines()[0]] = [rows[2:] for rows in tables]
    return found


def board_of(files: list[Path], tmp_path: Path) -> dict[str, list[list[list[str]]]]:
    return parts(build_board(files, tmp_path / "report")["board.md"])


def test_informed_and_blind_never_stand_in_one_table(make: Make, tmp_path: Path) -> None:
    files = [make(name) for name in ("rsvm", "toy", "sister", "dull", "box")]
    shown = board_of(files, tmp_path)
    assert list(shown) == ["Informed systems", "Blind systems"]
    (others,) = shown["Informed systems"]  # without break points
    assert [row[1] for row in others] == ["rsvm", "sister"]
    (ranked,) = shown["Blind systems"]
    # The lower the break point, the more robust; without white box it is not ranked above.
    assert [(row[0], row[1]) for row in ranked] == [
        ("1 of 2", "dull"),
        ("2 of 2", "toy"),
        ("not ranked", "box (no white box)"),
    ]
    dull = ranked[0]
    assert dull[2] == "dull" and dull[3] == "demo (aaaaaaaa, 1 recording)"
    assert dull[4].endswith("(-, one recording)")
    assert "pgd, linf, eps 0.01, SNR" in dull[5]
    assert dull[6:9] == [f"{level} (-, one recording)" for level in ("18.0", "13.0", "9.0")]
    assert dull[9] == "3 steps, 4 parts, 1 not broken, whole recordings"
    assert dull[10] == "1 of 2 (few seeds)"
    assert dull[11] == "[00000000](../results/one/dull.json)"


def test_ranks_are_among_what_compares(make: Make, tmp_path: Path) -> None:
    files = [
        make("toy", "here"),
        make("dull", "also-here"),
        make("toy", "like-here"),
        make("toy", "other-data", data__sha256="c" * 64),
        make("toy", "longer-search", parameters__breaks__steps=99),
        make("toy", "tens", parameters__attack__excerpt=10.0, attack__excerpt=10.0, excerpt=10.0),
        make("toy", "gone", attacked__break_3db={"value": 13.0}, attacked__break_6db={"value": 1}),
    ]
    (ranked,) = board_of(files, tmp_path)["Blind systems"]
    ranks = {row[1]: row[0] for row in ranked}
    assert {ranks.pop(name) for name in ("other-data", "longer-search", "tens")} == {"1 of 1"}
    # Equals share a rank, and the next one counts both.
    assert ranks == {
        "also-here": "1 of 4",
        "gone": "1 of 4",
        "here": "3 of 4",
        "like-here": "3 of 4",
    }
    names = [row[1] for row in ranked]
    places = sorted(names.index(name) for name in ranks)
    assert places == list(range(places[0], places[0] + 4))  # what compares stands together


def test_what_has_no_break_point_stands_in_a_block_of_its_own(make: Make, tmp_path: Path) -> None:
    bare = make("toy", "bare")
    written = json.loads(bare.read_text())
    for level in (1, 3, 6):
        del written["attacked"][f"break_{level}db"]
    bare.write_text(json.dumps(written))
    text = build_board([bare, make("dull")], tmp_path / "report")["board.md"]
    ranked, others = parts(text)["Blind systems"]
    assert [row[1] for row in ranked] == ["dull"] and ranked[0][0] == "1 of 1"
    assert [row[:2] for row in others] == [["not ranked", "bare"]]
    assert others[0][6:10] == ["-"] * 4
    assert text.index("dull") < text.index("Without break points, and therefore not ranked")


class Page(HTMLParser):
    """Tags that are open, and what a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.links += [str(value) for key, value in attrs if key == "href"]
        self.loads += [tag] if tag in ("script", "link", "img", "iframe") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_of_strangers_claims_is_harmless_and_whole(make: Make, tmp_path: Path) -> None:
    bad = "<script>x</script> | [y](z)\n# `q`"
    file = make("toy", folder="a b", variant=bad, kind=bad, data__source=bad)
    pages = build_board([file, make("rsvm")], tmp_path / "report")
    page = Page()
    page.feed(pages["board.html"])
    assert not page.open and not page.loads
    assert page.links == ["../results/one/rsvm.json", "../results/a%20b/toy.json"]
    assert "<script" not in pages["board.md"]
    (row,) = parts(pages["board.md"])["Blind systems"][0]
    assert len(row) == 13 and row[1] == r"&lt;script>x&lt;/script> \| \[y](z) # 'q'"
    for link in page.links:
        assert (tmp_path / "report" / link.replace("%20", " ")).resolve().exists()


def test_a_claim_that_dvc_did_not_record_is_marked(make: Make, tmp_path: Path) -> None:
    files = [make("toy", "a", recorded="seals"), make("toy", "b")]
    ((first, second),) = board_of(files, tmp_path)["Blind systems"]
    assert [first[1], second[1]] == ["a (not recorded by DVC)", "b"]
    assert [", not recorded by DVC," in read_checked(file).in_words() for file in files] == [
        True,
        False,
    ]


def test_how_long_a_system_was_trained_stands_beside_its_kind(make: Make, tmp_path: Path) -> None:
    training = {"training": {"epochs": 64}}
    file = make("rsvm", "long", kind="rsvm", parameters__rsvm=training)
    pages = board_of([file, make("toy", parameters__rsvm=training)], tmp_path)
    assert pages["Informed systems"][0][0][2] == "rsvm, 64 epochs"
    assert pages["Blind systems"][0][0][2] == "toy"
    assert "-S rsvm.training.epochs=64 " in command_of(read_checked(file))


def test_a_command_is_what_the_parameters_say(make: Make) -> None:
    claim = read_checked(make("toy", data__source="musdb18", parameters__data__source="musdb18"))
    said = command_of(claim)
    assert said.startswith("git checkout 00000000 && dvc exp run -S data.source=musdb18 -S data.ro")
    assert " -S 'systems=[baseline,improved]' " in said and " -S attack.excerpt=null " in said
    assert "attack.eps=0.01" in said and "attack.snr" not in said and "attack.mask" not in said
    assert command_of(claim.model_copy(update={"parameters": {}})) == "-"
    informed = command_of(read_checked(make("rsvm")))
    assert "attack.mask=fixed" in informed and "excerpt" not in informed
    assert "data.root" not in informed  # rendered by the pipeline itself
    for setting in ("reference=", "runtime.precision=", "attack.pgd.steps=4 ", "audit.segments="):
        assert f" -S {setting}" in informed and f" -S {setting}" in said
    assert "audit.excerpts.queries=" in said and "audit.excerpts" not in informed


def test_an_edited_claim_has_no_place(make: Make, tmp_path: Path) -> None:
    file = make("toy", flags_raised=0)
    with pytest.raises(InputError, match=r"toy.json: flags_raised = 0, but 1 are; write it again"):
        build_board([file], tmp_path / "report")


@pytest.mark.slow
def test_the_command_writes_it(make: Make, tmp_path: Path) -> None:
    def said(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "stemproof.cli", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert "error: no claims under results/" in said("board", code=2)
    make("toy"), make("rsvm")
    assert said("board").split() == ["report/board.md", "report/board.html"]
    by_name = said("board", "results/one/toy.json", "--out", "elsewhere")
    assert by_name.split() == ["elsewhere/board.md", "elsewhere/board.html"]
    assert "Informed systems" not in (tmp_path / "elsewhere/board.md").read_text()
    words = said("claim", "results/one/toy.json")
    assert "break point 3 dB 15.00 dB [one recording, no interval]" in words
    make("toy", flags_raised=2)
    assert "error: results/one/toy.json: flags_raised = 2, but 1 are" in said(
        "claim", "results/one/toy.json", code=2
    )


@pytest.mark.parametrize("file", find_claims(RESULTS), ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_file_of_results_is_a_claim_that_agrees_with_itself(file: Path) -> None:
    assert isinstance(read_checked(file), Claim)


def test_the_board_is_that_of_the_results() -> None:
    pages = build_board(find_claims(RESULTS), ROOT / "report")
    for name, text in pages.items():
        assert (ROOT / "report" / name).read_text() == text, "run stemproof board"
