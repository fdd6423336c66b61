"""An index of clips that somebody edited: one sentence that names it, or a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from edited import DELETED, OTHERS, changed, places
from pages import INFORMED, clips

from stemproof.core.errors import InputError
from stemproof.evaluation.clips import INDEX
from stemproof.report.learned import learned
from stemproof.report.listening import read_listening

SHOWN = {"data": {"source": "demo"}}
# Texts that are printed as they are.
FREE = ("track", "chosen_by", "title", "caption", "across", "up", "shades")


def shown(folder: Path) -> str | None:
    """The sentence that refuses, if one does."""
    try:
        heard = read_listening(folder, SHOWN, "demo", list(INFORMED))
        learned(heard.views, folder, {name: place for place, name in enumerate(INFORMED)})
    except InputError as error:
        return str(error)
    return None


@pytest.mark.slow
def test_every_key(tmp_path: Path) -> None:
    folder = clips(tmp_path / "clips")
    file = folder / INDEX
    whole = json.loads(file.read_text())
    assert shown(folder) is None
    refused = 0
    for way in places(whole):
        for other in (*OTHERS, "../x.wav"):
            file.write_text(changed(whole, way, other))
            said = shown(folder)
            free = way[-1] in FREE and isinstance(other, str)
            # An absent figure means that what was put out had collapsed.
            free |= "figures" in way and (other is DELETED or other == {})
            assert said is not None or free or passes(way, other), (way, other)
            if said is not None:
                refused += 1
                assert said.startswith(f"{folder}") and len(said.splitlines()) == 1
                assert "run listen" in said, said
    assert refused > 300


def passes(way: tuple[Any, ...], other: Any) -> bool:
    """What is still an index: no models, fewer parts, a flag that is true anyway, format 1."""
    if way == ("format",) and other is DELETED:
        return True
    inside = len(way) > 1 and (isinstance(way[-1], int) or len(way) == 2)
    emptied = other is DELETED and inside and way[0] in ("parts", "views", "models")
    return emptied or (way[0] in ("models", "views") and other == {}) or (way[-1] == "rendered")


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        (("format",), 2, "format 2 of a newer release; this one reads up to 1: update it"),
        (("parts", 0, "systems", 0, "system"), "x", "of other systems than the tables"),
        (("parts", 0, "shared", "mixture"), "../../secret.wav", "run listen again"),
    ],
)
def test_what_is_said(tmp_path: Path, way: tuple[Any, ...], value: Any, said: str) -> None:
    folder = clips(tmp_path / "clips")
    whole = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(changed(whole, way, value))
    assert said in str(shown(folder))
