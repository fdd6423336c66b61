"""The pictures of the report: what is drawn, with axes, units and words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullLocator

from stemproof.report.drawing import INK, PAPER, Picture, drawn, look

LONGEST_NAME = 30  # letters of a track's name in a picture
ROW, GAP = 0.15, 0.14  # inches, of a system's line in the plot of tracks, and between tracks


@dataclass(frozen=True)
class Lines:
    """One line a system.

    Attributes:
        name: of the picture.
        tables: by system, with the columns ``x`` and ``y``.
        x: column along the abscissa.
        y: column along the ordinate.
        across: what the abscissa shows, with its unit.
        up: what the ordinate shows, with its unit.
        title: heading.
        caption: what is to be seen.
        log: whether the abscissa is logarithmic.
        marked: whether every point has a marker.
    """

    name: str
    tables: Mapping[str, pd.DataFrame]
    x: str
    y: str
    across: str
    up: str
    title: str
    caption: str
    log: bool = False
    marked: bool = True


def lines(what: Lines, places: Mapping[str, int]) -> Picture | None:
    """Draw lines; None where no system has the column.

    Args:
        what: is drawn.
        places: of the systems in the tables, by which they look the same in all pictures.
    """
    known = {
        name: table[[what.x, what.y]].dropna()
        for name, table in what.tables.items()
        if what.y in table and table[what.y].notna().any()
    }
    if not known:
        return None
    ends = [f"{name} from {_ends(table[what.y])}" for name, table in known.items()]
    says = f"{what.title}: {what.up} against {what.across}. {'; '.join(ends)}."
    with drawn(what.name, says) as canvas:
        axes = canvas.axes
        for name, table in known.items():
            style = look(places[name])
            size = 4 if what.marked else 0
            axes.plot(table[what.x], table[what.y], label=name, markersize=size, **style)
        axes.set(title=what.title, xlabel=what.across, ylabel=what.up)
        if what.log:
            axes.set_xscale("log")
            ticks = sorted({at for table in known.values() for at in table[what.x]})
            axes.set_xticks(ticks, [f"{at:g}" for at in ticks])
            axes.xaxis.set_minor_locator(NullLocator())
        axes.legend()
    return Picture(canvas.svg, what.caption)


def _ends(values: pd.Series) -> str:
    return f"{values.iloc[0]:.2f} to {values.iloc[-1]:.2f}"


def tracks(
    name: str, tables: Mapping[str, pd.DataFrame], places: Mapping[str, int], up: str
) -> Picture:
    """Every track of every system: the clean figure joined to the attacked one.

    Args:
        name: of the picture.
        tables: by system: ``track``, ``bs``, ``at_bs``, ``drop``, a row a track and seed.
        places: of the systems in the tables.
        up: what the abscissa shows, with its unit.
    """
    means = {
        own: table.groupby("track", sort=False)[["bs", "at_bs", "drop"]].mean()
        for own, table in tables.items()
    }
    lost = pd.concat([mean["drop"] for mean in means.values()], axis=1).mean(axis=1)
    # What loses most comes first; what has collapsed has no figure, and comes last.
    order = list(lost.sort_values(ascending=False, kind="stable").index)
    height = len(order) * (len(means) * ROW + GAP)
    says = "What separation gives on every track, clean and attacked. " + " ".join(
        f"{track}: {', '.join(_pair(own, mean, track) for own, mean in means.items())}."
        for track in order
    )
    with drawn(name, says, height=height + 1.1) as canvas:
        axes, step = canvas.axes, ROW / (len(means) * ROW + GAP)
        for number, (own, mean) in enumerate(means.items()):
            style = look(places[own])
            rows = np.arange(len(order)) + (number - (len(means) - 1) / 2) * step
            clean, attacked = (mean.reindex(order)[key].to_numpy() for key in ("bs", "at_bs"))
            axes.hlines(rows, attacked, clean, color=style["color"], linewidth=2)
            axes.plot(clean, rows, linestyle="", markersize=6, markerfacecolor=PAPER, **style)
            axes.plot(attacked, rows, linestyle="", markersize=6, label=own, **style)
            for row, value in zip(rows, clean, strict=True):
                if np.isnan(value):
                    axes.text(0.02, row, f"{own}: silence", transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(order)), [_short(track) for track in order])
        axes.set(ylim=(len(order) - 0.4, -0.6))
        # Of the whole picture: beside long names the axes are narrow.
        canvas.figure.supxlabel(up, fontsize=11)
        axes.grid(visible=False, axis="y")
        handles, labels = axes.get_legend_handles_labels()
        canvas.figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return Picture(
        canvas.svg,
        "Hollow: separated from the clean mixture. Filled: from the attacked one. The line between "
        "them is what the attack costs; tracks that lose most stand first.",
    )


def _pair(own: str, mean: pd.DataFrame, track: str) -> str:
    if track not in mean.index or mean.loc[track, ["bs", "at_bs"]].isna().any():
        return f"{own} silence"
    clean, attacked = (float(mean[key][track]) for key in ("bs", "at_bs"))
    return f"{own} {clean:.1f} to {attacked:.1f} dB"


def _short(name: str) -> str:
    return (
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
    )


def heat_map(
    name: str, values: pd.DataFrame, groups: Sequence[int], caption: str
) -> Picture | None:
    """What is lost (column) by what was crafted on another model (row); None where there is none.

    Args:
        name: of the picture.
        values: dB; models by models, NaN where there is nothing to compare.
        groups: how many rows, and columns, belong together and are set apart from the others.
        caption: what is to be seen.
    """
    if values.empty:
        return None
    table = values.to_numpy(dtype=float)
    highest = max(float(np.nanmax(table, initial=0)), 1e-9)
    says = "Loss of SI-SDR in dB. " + " ".join(
        f"Crafted on {source!s}: "
        + ", ".join(f"{v:.2f} played to {played!s}" for played, v in row.items() if v == v)
        + "."
        for source, row in values.iterrows()
    )
    size = len(values.columns)
    with drawn(name, says, height=1.5 + 0.42 * len(values)) as canvas:
        axes, colors = canvas.axes, colormaps["cividis"]
        for row, column in np.ndindex(table.shape):
            value = float(table[row, column])
            if np.isnan(value):
                axes.text(column, row, "-", ha="center", va="center")
                continue
            shade = math.sqrt(min(max(value / highest, 0.0), 1.0))  # small losses differ, too
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colors(shade)))
            dark = shade < 0.5
            # Fixed, unlike the page's own: the squares stay as they are in dark mode.
            axes.text(
                column,
                row,
                f"{value:.2f}",
                ha="center",
                va="center",
                color="#ffffff" if dark else "#000000",
                fontsize=11 if size < 7 else 7,
            )
        for edge in np.cumsum(groups)[:-1]:
            axes.axhline(edge - 0.5, color=INK, linewidth=2)
            axes.axvline(edge - 0.5, color=INK, linewidth=2)
        axes.set_xticks(range(size), list(values.columns), rotation=35, ha="right")
        axes.set_yticks(range(len(values)), list(values.index))
        axes.set(xlim=(-0.5, size - 0.5), ylim=(len(values) - 0.5, -0.5))
        axes.set(xlabel="played to (loss in dB)", ylabel="crafted on")
        axes.grid(visible=False)
    return Picture(canvas.svg, caption)
