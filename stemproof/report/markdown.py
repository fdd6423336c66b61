"""Texts of others (names, reasons, claims) in Markdown: letters, and no marks; and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence


def cell(text: object) -> str:
    """A text in a table or a sentence of Markdown: one line, of no cells, tags, links or code."""
    plain = " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|")
    return plain.replace("<", "&lt;").replace("[", "\\[").replace("`", "'")


def prose(text: object) -> str:
    """A sentence of ours, in which texts of others may stand: one line, no tags and no links."""
    plain = " ".join(str(text).split()).replace("](", "]\\(").replace("`", "'")
    return re.sub("<(?=[a-zA-Z/!?])", "&lt;", plain)


def fence(text: str) -> str:
    """A line of marks that encloses a text and does not stand in it."""
    longest = max((len(marks) for marks in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


def as_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
