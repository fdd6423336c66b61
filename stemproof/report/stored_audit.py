"""Tables of an audit that is stored under results/."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stemproof.core.errors import InputError
from stemproof.core.files import read_json
from stemproof.report.markdown import as_table
from stemproof.report.stored_runs import of_every_system


class Column(NamedTuple):
    """What a table shows of every system.

    Attributes:
        path: keys in the document of the audit, with points between; ``*`` at its end stands for
            every key that is there, each in a column of its own.
        words: at the head; ``{}`` is the key.
        format: of the value, as :func:`format` has it.
    """

    path: str
    words: str = "{}"
    format: str = ".3f"


MADE_WITH = "made_with"  # no system: the record of the stage
LEVELS = (1, 3, 6)  # dB that the smallest perturbation costs
PAGE: Mapping[str, Sequence[Column]] = {
    "audit-steps": [Column("steps.*")],
    "audit-choices": [
        Column("restarts.*", "restarts: {}"),
        Column("rules.*"),
        Column("objectives.*", "loss {}"),
        Column("strongest", "worst of all of these"),
    ],
    "audit-budget": [Column("bs", "BS", ".2f"), Column("eps.*", format=".2f")],
    "audit-costs": [Column("eps_drop.*", format=".2f")],
    "audit-sizes": [Column("eps_snr.*", format=".1f")],
    "audit-others": [
        Column("black_box.at_bs", "random search", ".2f"),
        Column("black_box.beats_white_box", "beats the white box, share of segments", ".0%"),
        *(
            Column(f"noise.{kind}.worst", f"worst drop, {kind} noise", ".4f")
            for kind in ("signs", "uniform", "gaussian")
        ),
        Column("sparse.at_bs", "few samples", ".2f"),
        Column("universal.at_bs", "universal", ".2f"),
    ],
    "audit-smallest": [
        *(Column(f"minimal_snr.linf.{level}", f"{level} dB", ".1f") for level in LEVELS)
    ],
    "audit-masks": [
        Column("masks.fixed.fixed", "fixed mask"),
        Column("masks.recomputed.recomputed", "recomputed mask, straight-through gradient"),
        Column("masks.fixed.recomputed", "recomputed mask, crafted on the fixed one"),
    ],
    "audit-gradients": [
        Column("gradient.zero_share", "zero", ".1%"),
        Column("gradient.finite_difference_error", "error against a finite difference", ".2%"),
        Column("repeat_difference", "two passes differ by", "g"),
        Column("budget_used", "stored budget used", ".6f"),
    ],
}


def table(run: Path, columns: Sequence[Column]) -> str:
    """What the audit found of every system, a row each.

    Args:
        run: folder of a stored run.
        columns: what is shown.

    Returns:
        Markdown.

    Raises:
        InputError: a file is missing or damaged, or the first system has nothing of a column.
    """
    audits = _audits(run)
    header, paths = ["system"], []
    for column in columns:
        for key, path in _expanded(next(iter(audits.values())), column.path):
            header.append(column.words.format(key))
            paths.append((path, column.format))
    if len(paths) < len(columns):
        raise InputError(f"{run}/plots/audit: it lacks one of {', '.join(c.path for c in columns)}")
    rows = [
        [name, *(_cell(audit, path, form) for path, form in paths)]
        for name, audit in audits.items()
    ]
    return as_table(header, rows)


def transfer(run: Path, seeds: tuple[str, str]) -> str:
    """What every model (column) loses by what was crafted on every model (row), in dB.

    Args:
        run: folder of a stored run.
        seeds: of training, of the models in the rows and of those in the columns. Where they
            differ, a system that is not trained, and so has one seed, is no column.

    Returns:
        Markdown.

    Raises:
        InputError: a file is missing or damaged.
    """
    crafted, heard = seeds
    audits = _audits(run).values()
    cells = {name: own for audit in audits for name, own in audit["transfer"].items()}
    played = {name: own for name, own in cells.items() if name.endswith(f"-{heard}")}
    sources = [name for name in cells if name.endswith(f"-{crafted}")]
    rows = [[source, *(_of_pair(own.get(source)) for own in played.values())] for source in sources]
    return as_table(["crafted on", *played], rows)


def flags(run: Path) -> str:
    """What was raised for every system.

    Args:
        run: folder of a stored run.

    Returns:
        Markdown.

    Raises:
        InputError: the file is missing or damaged.
    """
    rows = []
    for name, own in read_json(run / "metrics/audit.json").items():
        raised = [flag for flag, state in own["flags"].items() if state.lower() == "raised"]
        rows.append([name, str(len(own["flags"])), ", ".join(raised) or "none"])
    return as_table(["system", "checks", "raised"], rows)


def _audits(run: Path) -> dict[str, dict[str, Any]]:
    """What the audit says of every system; beside it stands what it was made with."""
    found = of_every_system(run / "plots/audit")
    return {name: own for name, own in found.items() if name != MADE_WITH}


def _expanded(audit: Mapping[str, Any], path: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Keys and paths of a column's values."""
    *above, last = path.split(".")
    for key in (_at(audit, above) or {}) if last == "*" else [last]:
        yield key, (*above, key)


def _at(found: Any, path: Sequence[str]) -> Any:
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _cell(audit: Mapping[str, Any], path: Sequence[str], form: str) -> str:
    value = _at(audit, path)
    return "-" if value is None else format(value, form)


def _of_pair(cell: Any) -> str:
    value = _at(cell, ["drop"])
    return "-" if value is None else f"{value:.3f}"
