"""Tables of Markdown that tests look at."""

from __future__ import annotations


def rows_of(table: str) -> list[list[str]]:
    """The cells of every line: of the head, of the rule below it, and of the rows."""
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
