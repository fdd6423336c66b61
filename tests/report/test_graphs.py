"""Pictures of the documentation: up to date, whole, and of the stored figures."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import ROOT

from stemproof.core.files import read_json
from stemproof.report.graphs import GRAPHS, document
from stemproof.report.paper_claims import CLAIMS, RUNS

by_name = pytest.mark.parametrize("name", GRAPHS, ids=str)


def label(svg: str) -> str | None:
    """What it says, with every figure that is drawn, or with its ends."""
    return ElementTree.fromstring(svg).get("aria-label")


@by_name
def test_the_stored_picture_is_of_the_stored_figures(name: Path) -> None:
    stored = (ROOT / name).read_text(encoding="utf-8")
    assert label(stored) == label(document(name)), "run python -m stemproof.report.docs"
    shown = f"]({name.relative_to('docs').as_posix()})"
    pages = ("docs/results.md", "docs/more-results.md")
    assert any(shown in (ROOT / page).read_text(encoding="utf-8") for page in pages)


@by_name
def test_it_stands_alone(name: Path) -> None:
    svg = document(name)
    assert svg == document(name)  # the same bytes
    named = set(re.findall(r"var\((--[a-z0-9-]+)\)", svg))
    light, dark = svg.split("@media")
    for part in (light, dark.split("</style>")[0]):
        assert named <= set(re.findall(r"(--[a-z0-9-]+):", part))
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert int(root.attrib["width"]) > int(root.attrib["height"]) > 100


def test_intervals_are_those_of_the_runs() -> None:
    said = label(document(Path("docs/figures/claims.svg"))) or ""
    for folder in RUNS.values():
        stored = read_json(folder / "metrics/comparison.json")["improved"]
        for key, (words, _) in CLAIMS.items():
            interval = f"[{stored[key]['low']:+.2f}, {stored[key]['high']:+.2f}]"
            assert re.search(rf"\b{words}, [^:]+: \S+ {re.escape(interval)}", said)
