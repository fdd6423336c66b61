"""Files of tests have names of their own: pytest imports each by its name alone."""

from __future__ import annotations

from collections import Counter

from conftest import ROOT


def test_no_two_files_of_tests_have_one_name() -> None:
    names = Counter(file.name for file in (ROOT / "tests").rglob("test_*.py"))
    assert names
    assert [name for name, files in names.items() if files > 1] == []
