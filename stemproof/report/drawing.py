"""How pictures look, and how a figure becomes SVG that stands in a page.

The same data gives the same bytes. Colours are names of the page's style sheet, so that a picture
follows it into dark mode and onto paper.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# What the style sheet calls them; no two may be the same. Those of systems are told apart by
# colour-blind readers, too (Okabe and Ito, 2008), and each has a marker of its own.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, SOFT, LINE, PAPER = "#1f2328", "#5b626b", "#e3e5e8", "#fdfdfc"
NAMES = {
    INK: "var(--ink)",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    PAPER: "var(--paper)",
    **{color: f"var(--system-{number})" for number, color in enumerate(COLORS)},
}
# Left out of the SVG: they would change its bytes or name web addresses.
METADATA = ("Date", "Creator", "Format", "Type")
FILE_SCALE = 1.6  # pixels a point, of a picture that is a file of its own
WIDTH = 5.2  # inches; of a phone's page, so that letters are as large as the text around
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "svg.fonttype": "none",
    "svg.hashsalt": "stemproof",
    "text.parse_math": False,  # a song may be called $$$
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Picture:
    """A picture and its words.

    Attributes:
        svg: with a text alternative.
        caption: what is to be seen, in a sentence or two.
    """

    svg: str
    caption: str


@dataclass
class Canvas:
    """A figure that is being drawn, and the SVG that it becomes.

    Attributes:
        figure: of matplotlib.
        axes: in it.
        svg: empty until it is done.
    """

    figure: Figure
    axes: Axes
    svg: str = ""


def look(number: int) -> dict[str, Any]:
    """Colour and marker of a system, by its place in the tables."""
    return {"color": COLORS[number % len(COLORS)], "marker": MARKERS[number % len(MARKERS)]}


@contextmanager
def drawn(name: str, says: str, height: float = 3.3) -> Iterator[Canvas]:
    """A figure to draw in, which is SVG behind the block.

    Args:
        name: of the picture; no other of the page has it.
        says: the text in its place for who does not see it.
        height: in inches.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, height), layout="constrained")
        canvas = Canvas(figure, axes)
        try:
            yield canvas
            stream = io.StringIO()
            figure.savefig(stream, format="svg", metadata=dict.fromkeys(METADATA))
        finally:
            plt.close(figure)
        canvas.svg = for_page(stream.getvalue(), name, says)


def for_page(svg: str, name: str, says: str) -> str:
    """A document of matplotlib as a part of a page that holds many of them."""
    text = svg[svg.index("<svg") :].strip()
    # Its style would be that of the whole page.
    text = re.sub(r"\s*<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None

    def tag(found: re.Match[str]) -> str:
        own = re.sub(r"\bid=\"([^\"]+)\"", rf'id="{name}-\1"', found[0])
        own = re.sub(r"(?:xlink:)?(href=\"|url\()#", rf"\1#{name}-", own)
        return re.sub("|".join(NAMES), lambda color: NAMES[color[0]], own)

    # In tags only: what stands between them are words of the user's.
    rest = re.sub(r"<[^>]*>", tag, rest)
    return f'<svg class="plot" role="img" aria-label="{html.escape(says)}" {box[0]}>{rest}'


def for_file(svg: str, colors: str) -> str:
    """A picture of a page as a document of its own, on paper of the page's color.

    Args:
        svg: of :func:`for_page`.
        colors: rules that say what the page's names of colors are.
    """
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="0 0 (\S+) (\S+)"', head)
    assert box is not None
    width, height = (f"{float(side) * FILE_SCALE:.0f}" for side in box.groups())
    paper = '<rect width="100%" height="100%" fill="var(--paper)"/>'
    head += f' width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg"'
    return f"{head}>\n<style>{colors}</style>\n{paper}{rest}\n"
