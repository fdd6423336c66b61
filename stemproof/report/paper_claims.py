"""What the paper says of its improved system beside what was found: a table of stored runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemproof.core.files import read_json
from stemproof.figures.statistics import detectable
from stemproof.paper.li2022 import IMPROVED, TABLE
from stemproof.report.lengths import PAIR
from stemproof.report.markdown import as_table

# What was trained for how long: folders of stored runs.
RUNS = {
    "8 epochs": Path("results/musdb18-7/run"),
    "64 epochs": PAIR,
}
# Figure, and where the paper has it go: Table 1, improved minus RSVM.
CLAIMS = {
    "bs": ("BS", "rises"),
    "at_bs": ("AT-BS", "rises"),
    "rb": ("RB", "falls"),
    "si_sdr": ("SI-SDR", "falls"),
}
LEVEL = 0.05  # of a p-value that was adjusted for all comparisons of its run


def against_paper(runs: Mapping[str, Path] = RUNS) -> str:
    """Each of the paper's claims, by the paper's own statistic: a difference of medians.

    Args:
        runs: folders of stored runs, by what they are called.

    Returns:
        Markdown, a row a claim and run.

    Raises:
        InputError: a file is missing or damaged.
    """
    found = {name: read_json(folder / "comparison.json") for name, folder in runs.items()}
    before, after = TABLE.values()
    rows = []
    for key, (words, way) in CLAIMS.items():
        paper = after[key] - before[key]
        for name, comparison in found.items():
            differs, seeds = comparison[IMPROVED][key], comparison["n_seeds"]
            low, high = differs["low"], differs["high"]
            row = [
                f"{words} {way}",
                f"{paper:+.2f}",
                f"{name}, {seeds} seed{'' if seeds == 1 else 's'}",
                f"{differs['difference']:+.2f} [{low:+.2f}, {high:+.2f}]",
                f"{detectable(low, high):.2f}",
                _verdict(differs, way, paper),
            ]
            rows.append(row)
    header = ["the paper says", "the paper", "trained", "here", "could have shown", "verdict"]
    return as_table(header, rows)


def _verdict(differs: Mapping[str, Any], way: str, paper: float) -> str:
    """What an interval says of a claim, and of the paper's figure."""
    low, high = differs["low"], differs["high"]
    size = "possible" if low <= paper <= high else "excluded"
    if low <= 0 <= high:
        said = "not shown"
    else:
        said = "shown" if (low > 0) == (way == "rises") else "the opposite is shown"
        if differs["p_holm"] >= LEVEL:
            said += f", but not after correction (p = {differs['p_holm']:.2f})"
    return f"{said}; the paper's size is {size}"
