"""The parts of a page in HTML that tests look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "hr", "img", "input", "source"}


@dataclass
class Element:
    """An element, its attributes, and what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All words in it, with single spaces."""
        words = [c if isinstance(c, str) else c.text for c in self.children]
        return " ".join(" ".join(words).split())

    def all(self, *tags: str) -> list[Element]:
        """The elements of some names in it, in their order; all without a name."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] if not tags or child.tag in tags else []
                found += child.all(*tags)
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(found)
        if tag not in VOID:
            self.open.append(found)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parsed(page: str) -> Element:
    """A page, of which every element must be closed where it was opened."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is not closed"
    return reader.open[0]


def tables(page: str) -> list[list[list[str]]]:
    """The tables of a page: rows of cells, the headings first; a note stands in brackets."""
    return [[[said(c) for c in row.all("th", "td")] for row in t.all("tr")] for t in _tables(page)]


def _tables(page: str) -> list[Element]:
    return parsed(page).all("table")


def said(cell: Element) -> str:
    """What a cell says, and in brackets what stands in small."""
    notes = [note.text for note in cell.all("small")]
    text = " ".join(
        " ".join(
            c if isinstance(c, str) else c.text if c.tag != "small" else "" for c in cell.children
        ).split()
    )
    return f"{text} [{notes[0]}]" if notes else text


def cells(page: str, heading: str) -> dict[str, dict[str, str]]:
    """A table of the report whose headings hold a text: cells by row and column."""
    for header, *rows in tables(page):
        if heading in " | ".join(header):
            return {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    raise AssertionError(f"no table has {heading}")
