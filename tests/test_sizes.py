"""Modules are short enough to be read at once."""

from __future__ import annotations

import pytest
from conftest import ROOT

LONGEST = {"stemproof": 300, "stages": 135, "benchmarks": 200}  # lines


@pytest.mark.parametrize("room", LONGEST)
def test_no_module_is_too_long(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    lines = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {file: count for file, count in lines.items() if count > LONGEST[room]} == {}
