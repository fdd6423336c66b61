"""The report's tables of the audit: flags, transfer, masks, and other attacks."""

from __future__ import annotations

from collections.abc import Mapping

from stemproof.figures.table import by_key
from stemproof.report.tables import Cell, Metrics, Table, db

NONE = Cell("-", "nothing to compare")


def flags(audits: Mapping[str, Metrics]) -> Table:
    """One row a check, one column a system."""
    found = Table(["check", *audits], kind="flags", caption="Every check of the audit")
    for checks in zip(*(audit["reasons"] for audit in audits.values()), strict=True):
        row = [Cell(str(checks[0][0]))]
        for _, word, reason in checks:
            row.append(Cell(word, reason, word.replace("not measured", "unmeasured").lower()))
        found.rows.append(row)
    return found


def transfer(audits: Mapping[str, Metrics]) -> Table:
    """What every model (column) loses by what was crafted on every model (row).

    Where both are in a run, each model is said to be informed or blind.
    """
    audited = [audit["transfer"] for audit in audits.values() if "transfer" in audit]
    played = {name: cells for models in audited for name, cells in models.items()}
    threats = {
        model: audit["threat"]
        for audit in audits.values()
        for model in audit.get("transfer", ())
        if "threat" in audit
    }

    def said(model: str) -> str:
        return f"{model} ({threats[model]})" if len(set(threats.values())) > 1 else model

    caption = "Loss of SI-SDR in dB by what was crafted on another model"
    found = Table(["crafted on", *map(said, played)], caption=caption)
    for source in dict.fromkeys(source for cells in played.values() for source in cells):
        row = [Cell(said(source))]
        for cells in played.values():
            cell = cells.get(source, {})
            parts = cell.get("parts", 0)
            row.append(Cell(db(cell["drop"], 3), f"on {parts} parts") if "drop" in cell else NONE)
        found.rows.append(row)
    return found


def _level(levels: Metrics, key: str, digits: int = 2) -> Cell:
    """AT-BS of an audit, which is absent where most of what was put out has collapsed."""
    return Cell(db(levels[key], digits)) if key in levels else Cell("-", "collapsed")


def masks(audits: Mapping[str, Metrics]) -> Table | None:
    """AT-BS with a fixed and with a recomputed mask, under the attack on either.

    None when no system has a mask.
    """
    masked = {name: audit for name, audit in audits.items() if "masks" in audit}
    if not masked:
        return None
    found = Table(
        [
            "system",
            "fixed mask, its own attack",
            "recomputed mask, its own attack",
            "recomputed mask, attack on the fixed one",
        ],
        caption="AT-BS in dB with a fixed and a recomputed mask",
    )
    for name, audit in masked.items():
        crossed = audit["masks"]
        figures = [
            _level(crossed.get(crafted, {}), played, 3)
            for crafted, played in (
                ("fixed", "fixed"),
                ("recomputed", "recomputed"),
                ("fixed", "recomputed"),
            )
        ]
        found.rows.append([Cell(name), *figures])
    return found


def elsewhere(audits: Mapping[str, Metrics], informed: bool) -> Table:
    """Other attacks on the systems of one threat model, not comparable with each other.

    Args:
        audits: of these systems.
        informed: which threat model.
    """
    words = by_key()["at_bs"].said(informed)
    # A level that one system does not reach is still a column; what none was asked is not.
    reached = [audit["minimal_snr"] for audit in audits.values() if "minimal_snr" in audit]
    levels = list(dict.fromkeys(level for found in reached for level in found["linf"]))
    others = {
        "sparse": "{samples} samples changed",
        "universal": "one universal perturbation",
        "black_box": "random search ({queries} queries)",
    }
    measured = {
        key: f"{words}, {said.format(**found[0])}"
        for key, said in others.items()
        if (found := [audit[key] for audit in audits.values() if key in audit])
    }
    costs = [f"SNR that costs {level} dB, L-inf" for level in levels]
    caption = "Other attacks, in dB; not comparable with each other"
    table = Table(["system", *costs, *measured.values()], caption=caption)
    for name, audit in audits.items():
        row = [Cell(name)]
        for level in levels:
            if "minimal_snr" not in audit:
                row.append(Cell("-", "not measured"))
                continue
            own = audit["minimal_snr"]["linf"]
            row.append(Cell(db(own[level]) if level in own else "not reached"))
        row += [
            _level(audit[key], "at_bs") if key in audit else Cell("-", "not measured")
            for key in measured
        ]
        table.rows.append(row)
    return table
