"""Figures of the report as SVG text; the same data gives the same bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import cycle
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

COLORS = ("#3b6ea5", "#c8553d", "#588157", "#8e6c8a", "#b08900", "#4a4a4a")
# Left out of the SVG: they would change its bytes or name web addresses.
METADATA = ("Date", "Creator", "Format", "Type")
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "stemproof",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
}


def curves(
    tables: Mapping[str, pd.DataFrame],
    x: str,
    y: str,
    title: str,
    unit: str,
    log: bool = False,
) -> str:
    """One line a system.

    Args:
        tables: a table a system, with the columns ``x`` and ``y``.
        x: column along the abscissa.
        y: column along the ordinate.
        title: heading.
        unit: label of the ordinate.
        log: logarithmic abscissa.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
        for color, (name, table) in zip(cycle(COLORS), tables.items(), strict=False):
            axes.plot(table[x], table[y], color=color, label=name, marker=".", linewidth=1.5)
        axes.set(title=title, xlabel=x, ylabel=unit)
        if log:
            axes.set_xscale("log")
        axes.legend(frameon=False)
        return _svg(figure)


def drops(tables: Mapping[str, pd.DataFrame], whose: str = "") -> str:
    """Paired drop per track under attack and under random noise, one column of dots a system.

    Args:
        tables: medians per track of each system.
        whose: what the heading says of them.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
        for place, (color, table) in enumerate(zip(cycle(COLORS), tables.values(), strict=False)):
            # Spread by rank, not at random: the same table gives the same picture.
            spread = (table["drop"].rank(method="first") % 5 - 2) * 0.05
            axes.scatter(place + spread, table["drop"], s=16, color=color, alpha=0.8)
            axes.scatter(place + 0.35 + spread / 2, table["noise_drop"], s=10, color="#999999")
            axes.hlines(table["drop"].median(), place - 0.2, place + 0.2, color=color, linewidth=2)
        axes.set_xticks(range(len(tables)), list(tables))
        title = f"Loss per track{whose}: attack (color), random noise (gray)"
        axes.set(title=title, ylabel="dB")
        return _svg(figure)


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata=dict.fromkeys(METADATA))
    plt.close(figure)
    text = stream.getvalue()
    return text[text.index("<svg") :]
