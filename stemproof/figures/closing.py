"""What a stage says when it ends: what it found, in some lines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stemproof.figures import table
from stemproof.figures.figure import Figure

# What is said of a system, as far as it has it.
SHOWN = ("bs", "at_bs", "rb", "drop", "noise_drop", "perturbation_snr", "break_3db")
MOST = 10  # lines


def of_tracks(name: str, tracks: pd.DataFrame, informed: bool) -> str:
    """The medians over tracks of what a model was evaluated with, in one line.

    Args:
        name: of the model.
        tracks: one row a track, columns by the keys of figures.
        informed: whether the system is.
    """
    medians = tracks.median(numeric_only=True).dropna()
    values = {str(key): float(value) for key, value in medians.items()}
    for key, figure in table.by_key().items():
        if figure.minus and set(figure.minus) <= set(values):
            values[key] = values[figure.minus[0]] - values[figure.minus[1]]
    said = [_said(figure, values, informed) for figure in _shown(values)]
    return f"{name}: {', '.join(said) or 'all collapsed'} (medians over tracks: {len(tracks)})"


def of_systems(systems: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a system, with intervals: the first of many."""
    lines = []
    for name, metrics in systems.items():
        informed = bool(metrics["informed"])
        said = [_said(figure, metrics, informed) for figure in _shown(metrics)]
        lines.append(f"{name}: {', '.join(said) or 'all collapsed'}")
    return shortened(lines)


def of_flags(audits: Mapping[str, Sequence[str]], checks: int) -> list[str]:
    """A line a model: the flags that its audit raised.

    Args:
        audits: names of raised flags, by model.
        checks: how many there are.
    """
    return shortened(
        [
            f"{name}: {len(raised)} of {checks} flags raised"
            + (f" ({', '.join(raised)})" if raised else "")
            for name, raised in audits.items()
        ]
    )


def shortened(lines: Sequence[str]) -> list[str]:
    """At most :data:`MOST` lines; the last says how many are left out."""
    if len(lines) <= MOST:
        return list(lines)
    return [*lines[: MOST - 1], f"... and {len(lines) - MOST + 1} more"]


def _shown(values: Mapping[str, Any]) -> list[Figure]:
    figures = table.by_key()
    return [figures[key] for key in SHOWN if key in values]


def _said(figure: Figure, values: Mapping[str, Any], informed: bool) -> str:
    value = values[figure.key]
    if not math.isfinite(value):
        return f"{figure.said(informed)} {value}"
    ends = [values[end] for end in (f"{figure.key}_low", f"{figure.key}_high") if end in values]
    digits = figure.digits
    interval = f" [{', '.join(f'{end:.{digits}f}' for end in ends)}]" if ends else ""
    return f"{figure.said(informed)} {value:.{digits}f}{interval} {figure.unit}"
