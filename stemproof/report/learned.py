"""What systems have learned, for the page: maps and curves that they show of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stemproof.core.files import read_array
from stemproof.report.bitmaps import Axis, framed
from stemproof.report.drawing import Picture
from stemproof.report.pictures import Lines, lines

MAP_HEIGHT = 190


@dataclass(frozen=True)
class Learned:
    """What there is to see.

    Attributes:
        curves: a picture for all systems each.
        maps: title of each, with system and colours, and the picture.
    """

    curves: list[Picture]
    maps: list[tuple[str, Picture]]


def learned(
    views: Mapping[str, Sequence[Mapping[str, Any]]], folder: Path, places: Mapping[str, int]
) -> Learned:
    """Draw what systems show of themselves.

    Args:
        views: of every system that can, from the index of clips.
        folder: where the arrays are.
        places: of the systems in the tables.

    Raises:
        InputError: an array is missing or damaged.
    """
    curves: dict[str, tuple[Mapping[str, Any], dict[str, pd.DataFrame]]] = {}
    maps: dict[str, list[tuple[str, Picture]]] = {}
    for name in sorted(views, key=lambda name: places[name]):
        for view in views[name]:
            values = np.array(read_array(folder / view["file"]), dtype=np.float64)
            if values.ndim == 2:
                maps.setdefault(view["title"], []).append(_map(name, view, values))
                continue
            first, last = view["width"]
            table = pd.DataFrame({"x": np.linspace(first, last, len(values)), "y": values})
            curves.setdefault(view["title"], (view, {}))[1][name] = table
    drawn = [
        lines(
            Lines(
                f"learned-{number}",
                tables,
                "x",
                "y",
                view["across"],
                view["up"],
                title,
                view["caption"],
                marked=False,
            ),
            places,
        )
        for number, (title, (view, tables)) in enumerate(curves.items())
    ]
    return Learned(
        [picture for picture in drawn if picture], [one for of in maps.values() for one in of]
    )


def _map(name: str, view: Mapping[str, Any], values: np.ndarray) -> tuple[str, Picture]:
    low, high = float(values.min()), float(values.max())
    shades = (values - low) / (high - low) if high > low else values * 0
    across, up = (
        Axis(view[label], [(0, f"{view[ends][0]:g}"), (1, f"{view[ends][1]:g}")])
        for label, ends in (("across", "width"), ("up", "height"))
    )
    title = f"{view['title']}: {name}"
    colors = f"Black: {low:.3g}, light yellow: {high:.3g} ({view['shades']})."
    says = f"{title}. {view['up']} against {view['across']}. {colors}"
    return title, Picture(
        framed(shades, across, up, says, MAP_HEIGHT), f"{view['caption']} {colors}"
    )
