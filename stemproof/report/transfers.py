"""Does what was made for one model harm another? As numbers, and as a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from statistics import median
from typing import Any

import pandas as pd

Metrics = Mapping[str, Any]
THREATS = ("informed", "blind")
SMALLEST = 0.01  # dB; of a smaller loss of its own there is no share
MOST, SOME = 0.75, 0.25


def transfer_values(audits: Mapping[str, Metrics]) -> tuple[pd.DataFrame, list[int]]:
    """What every model (column) loses by what was crafted on every model (row), in dB.

    Args:
        audits: of all systems of the run.

    Returns:
        The table, informed models before blind ones, NaN where there is nothing to compare; and how
        many there are of each.
    """
    cells, threats = _cells(audits)
    models = [model for threat in THREATS for model in threats if threats[model] == threat]
    both = len(set(threats.values())) > 1
    said = {model: f"{model} ({threats[model]})" if both else model for model in models}
    rows = {
        said[source]: {
            said[played]: cells[played].get(source, {}).get("drop", math.nan) for played in models
        }
        for source in models
    }
    groups = [sum(threats[model] == threat for model in models) for threat in THREATS]
    return pd.DataFrame.from_dict(rows, orient="index"), [count for count in groups if count]


def transfer_in_words(audits: Mapping[str, Metrics]) -> str:
    """How much of its own attack's loss a system suffers from those of others.

    Args:
        audits: of all systems of the run.

    Returns:
        One sentence a pair of threat models; empty where there is no pair of models.
    """
    cells, threats = _cells(audits)
    said = []
    for source_threat, played_threat in product(THREATS, THREATS):
        shares = []
        for played, source in product(cells, cells):
            cell = cells[played].get(source, {})
            pair = threats.get(source), threats.get(played)
            if source == played or "gain" not in cell or pair != (source_threat, played_threat):
                continue
            own = cell["drop"] - cell["gain"]
            if own > SMALLEST:
                shares.append(cell["drop"] / own)
        if shares:
            said.append(_sentence(source_threat, played_threat, median(shares), len(shares)))
    return " ".join(said)


def _sentence(source: str, played: str, share: float, count: int) -> str:
    much = "carries over nearly whole" if share >= MOST else "carries over in part"
    if share < SOME:
        much = "hardly carries over"
    whom = "another" if source == played else f"a {played} one".replace("a informed", "an informed")
    pairs = f"median of {count} pairs" if count > 1 else "one pair"
    made = f"What was made for {'an' if source == 'informed' else 'a'} {source} model"
    own = "of what that model's own attack costs"
    return f"{made} {much} to {whom}: it costs {share:.0%} {own} ({pairs})."


def _cells(audits: Mapping[str, Metrics]) -> tuple[dict[str, Metrics], dict[str, str]]:
    cells: dict[str, Metrics] = {}
    threats: dict[str, str] = {}
    for audit in audits.values():
        for model, of in audit.get("transfer", {}).items():
            cells[model] = of
            threats[model] = audit.get("threat", THREATS[0])
    return cells, threats
