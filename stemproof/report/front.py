"""The front page's part of the board: blind systems, in a small table."""

from __future__ import annotations

from pathlib import Path

from stemproof.figures import table
from stemproof.report.board import RANKED, Entry, find_claims
from stemproof.report.checking import read_checked
from stemproof.report.claims import Claim, Figure


def front(results: Path) -> str:
    """Claims of blind systems that have break points, the most robust system first.

    Args:
        results: folder of the claims.

    Returns:
        Markdown; one sentence where there is no such claim.
    """
    entries = [Entry(read_checked(file), file.as_posix()) for file in find_claims(results)]
    entries = [e for e in entries if e.has_break_points and e.claim.data.source != "demo"]
    blind = sorted((e for e in entries if not e.claim.informed), key=lambda entry: entry.order)
    if not blind:
        return "No claim of a blind system with break points is published yet.\n"
    return _table([entry.claim for entry in blind])


def _table(claims: list[Claim]) -> str:
    figures = table.by_key()
    header = [
        "blind system",
        *(figures[key].said(informed=False) for key in ("bs", "at_bs", "drop")),
        "random noise of that size",
        figures[RANKED].said(informed=False),
        "flags raised",
    ]
    rows = [
        [
            f"{claim.variant} ({claim.data.test_tracks} recordings)",
            *(_cell(found.get(key)) for found, key in _shown(claim)),
            _flags(claim),
        ]
        for claim in claims
    ]
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(claim: Claim) -> list[tuple[dict[str, Figure], str]]:
    return [
        (claim.clean, "bs"),
        (claim.attacked, "at_bs"),
        (claim.attacked, "drop"),
        (claim.attacked, "noise_drop"),
        (claim.attacked, RANKED),
    ]


def _cell(found: Figure | None) -> str:
    if found is None:
        return "-"
    digits = 1 if abs(found.value) >= 20 else 2 if abs(found.value) >= 0.05 else 4
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _flags(claim: Claim) -> str:
    raised = [flag.name for flag in claim.flags if flag.raised]
    return f"{len(raised)} of {len(claim.flags)}" + (f": {', '.join(raised)}" if raised else "")
