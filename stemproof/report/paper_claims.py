"""What the paper says of its improved system beside what was found: a table of stored runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stemproof.core.files import read_json
from stemproof.figures.statistics import detectable
from stemproof.paper.li2022 import IMPROVED, TABLE
from stemproof.report.markdown import as_table
from stemproof.report.stored_runs import LONG, LONGER, SHORT

# What was trained for how long: folders of stored runs.
RUNS = {
    "8 epochs": SHORT,
    "64 epochs": LONG,
    "100 epochs": LONGER,
}
# Figure, and where the paper has it go: Table 1, improved minus RSVM.
CLAIMS = {
    "bs": ("BS", "rises"),
    "at_bs": ("AT-BS", "rises"),
    "rb": ("RB", "falls"),
    "si_sdr": ("SI-SDR", "falls"),
}
LEVEL = 0.05  # of a p-value that was adjusted for all comparisons of its run


@dataclass(frozen=True)
class PaperClaim:
    """A claim of the paper, and what a run found of it: improved minus baseline, in dB.

    Attributes:
        words: the figure's name.
        way: ``rises`` or ``falls``.
        paper: by how much, in the paper.
        trained: for how long, with how many seeds.
        difference: here.
        low: end of its interval.
        high: the other one.
        p: adjusted for all comparisons of the run.
    """

    words: str
    way: str
    paper: float
    trained: str
    difference: float
    low: float
    high: float
    p: float


def against_paper(runs: Mapping[str, Path] = RUNS) -> str:
    """Each of the paper's claims, by the paper's own statistic: a difference of medians.

    Args:
        runs: folders of stored runs, by what they are called.

    Returns:
        Markdown, a row a claim and run.

    Raises:
        InputError: a file is missing or damaged.
    """
    rows = [
        [
            f"{claim.words} {claim.way}",
            f"{claim.paper:+.2f}",
            claim.trained,
            f"{claim.difference:+.2f} [{claim.low:+.2f}, {claim.high:+.2f}]",
            f"{detectable(claim.low, claim.high):.2f}",
            _verdict(claim),
        ]
        for claim in read_claims(runs)
    ]
    header = ["the paper says", "the paper", "trained", "here", "could have shown", "verdict"]
    return as_table(header, rows)


def read_claims(runs: Mapping[str, Path] = RUNS) -> list[PaperClaim]:
    """Each of the paper's claims beside what every run found of it.

    Args:
        runs: as above.

    Raises:
        InputError: a file is missing or damaged.
    """
    found = {name: read_json(folder / "metrics/comparison.json") for name, folder in runs.items()}
    before, after = TABLE.values()
    claims = []
    for key, (words, way) in CLAIMS.items():
        for name, comparison in found.items():
            differs, seeds = comparison[IMPROVED][key], comparison["n_seeds"]
            trained = f"{name}, {seeds} seed{'' if seeds == 1 else 's'}"
            ends = differs["difference"], differs["low"], differs["high"], differs["p_holm"]
            claims.append(PaperClaim(words, way, after[key] - before[key], trained, *ends))
    return claims


def _verdict(claim: PaperClaim) -> str:
    """What an interval says of a claim, and whether it holds the paper's figure."""
    low, high = claim.low, claim.high
    size = "inside" if low <= claim.paper <= high else "outside"
    if low <= 0 <= high:
        said = "not shown"
    else:
        said = "shown" if (low > 0) == (claim.way == "rises") else "the opposite is shown"
        if claim.p >= LEVEL:
            said += f", but not after correction (p = {claim.p:.2f})"
    return f"{said}; the paper's figure is {size}"
