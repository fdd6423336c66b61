"""The page of faults: every fault names tests, and all of these tests are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT

PAGE = ROOT / "docs/faults.md"
GROUPS = [
    "Recordings",
    "Prepared data and adversarials",
    "Separators and weights",
    "Parameters and names",
    "Machine and launchers",
    "Interruptions",
    "DVC",
    "Safety",
]
HEADINGS = ["fault", "what happens", "held by"]
TEST = re.compile(r"(tests/[\w/]+/test_\w+\.py)::(test_\w+)")


def cells(line: str) -> list[str]:
    """Of a row of a table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def tables(text: str) -> dict[str, list[list[str]]]:
    """The rows of every group, without headings."""
    found = {}
    for part in text.split("\n## ")[1:]:
        title, *lines = part.splitlines()
        headings, rule, *rows = [cells(line) for line in lines if line.startswith("|")]
        assert headings == HEADINGS and set("".join(rule)) == {"-"}
        found[title] = rows
    return found


ROWS = [(group, *row) for group, rows in tables(PAGE.read_text()).items() for row in rows]


@cache
def named_in(file: Path) -> frozenset[str]:
    """Names of the tests of a module; of two functions of one name only the last one would run."""
    names = [
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert len(set(names)) == len(names), file
    return frozenset(names)


def faulty(row: tuple[str, ...]) -> list[str]:
    """What is wrong with a row: its form, or what it names."""
    if len(row) != 1 + len(HEADINGS) or not all(row):
        return [f"{len(row) - 1} cells, or an empty one"]
    named = row[3].split(", ")
    found = [f"a test twice: {row[3]}"] if len(set(named)) < len(named) else []
    for name in named:
        test = TEST.fullmatch(name.strip("`"))
        if test is None or name != f"`{test[0]}`":
            found.append(f"no test: {name}")
        elif not (ROOT / test[1]).is_file() or test[2] not in named_in(ROOT / test[1]):
            found.append(f"no such test: {name}")
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_every_fault_is_held_by_tests_that_are_there(row: tuple[str, ...]) -> None:
    assert faulty(row) == []


def test_all_groups_are_there_and_no_fault_stands_there_twice() -> None:
    assert list(tables(PAGE.read_text())) == GROUPS
    assert len(ROWS) >= 60
    assert len({row[1] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("", "empty"),
        ("by nobody", "no test: by"),
        ("tests/data/test_store.py::test_a_damaged_manifest", "no test: tests/"),
        ("`tests/data/test_store.py`", "no test: "),
        ("`tests/data/test_store.py::test_that_there_is_not`", "no such test: "),
        ("`tests/data/test_nothing.py::test_a_damaged_manifest`", "no such test: "),
        ("`tests/data/test_store.py::test_a_damaged_manifest`, later", "no test: later"),
        (", ".join(2 * ["`tests/data/test_store.py::test_a_damaged_manifest`"]), "a test twice"),
    ],
)
def test_what_is_not_held_is_seen(held: str, said: str) -> None:
    (found,) = faulty(("Recordings", "a fault", "refused", held))
    assert said in found
    good = "`tests/data/test_store.py::test_a_damaged_manifest`"
    assert faulty(("Recordings", "a fault", "refused", good)) == []
