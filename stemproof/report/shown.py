"""What DVC shows of a run: a small file a figure, and the curves of all systems in one table each.

``dvc metrics show`` gives every file a row and every key in it a column. So a file holds one
figure, by system: the table is as narrow as can be. Plots are drawn from tables with a column
``system``, because dvc.yaml cannot know the names of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from stemproof.core.documents import read_document
from stemproof.core.tables import read_table
from stemproof.figures.documents import SystemMetrics
from stemproof.report.build import Sources
from stemproof.report.documents import Audits

DIGITS = 3  # behind the decimal point; what lies below is noise of the arithmetic
# Names of the files, and the keys of `metrics/systems/NAME.json` that they show.
FIGURES = {"rb": "rb", "drop": "drop", "attacked": "at_bs", "clean": "bs"}
THREATS = {True: "informed", False: "blind"}
# Tables of plots: a folder with a table a system; an axis or a name, and the columns drawn.
CURVES = {
    "training": ("curves", ("epoch", "loss", "valid_si_sdr", "valid_bs")),
    "attack": ("attack", ("step", "loss")),
    "tracks": ("tracks", ("track", "bs", "at_bs")),
}
# Of the audit, which has a column a system.
AUDITED = {"steps": ("steps", "steps"), "budget": ("eps", "factor")}


def figures(sources: Sources) -> dict[str, dict[str, float | int | None]]:
    """The contents of ``metrics/NAME.json``: one figure by system, and the flags raised.

    Args:
        sources: of the report.

    Returns:
        dB by system, rounded; None where all that a system put out has collapsed, so that it has
        no such figure. ``flags`` is a number of flags.

    Raises:
        InputError: a metrics file is missing or damaged.
    """
    systems = _systems(sources)
    audits = read_document(sources.audit, Audits)
    shown: dict[str, dict[str, float | int | None]] = {
        name: {system: _rounded(metrics.get(key)) for system, metrics in systems.items()}
        for name, key in FIGURES.items()
    }
    return {**shown, "flags": {system: audits[system]["flags_raised"] for system in systems}}


def curves(sources: Sources) -> dict[str, str]:
    """The contents of ``plots/all/NAME.csv``: rows of all systems, with their threat models.

    Every table has all of its columns and a row of every system, empty where the system has no such
    curve: DVC refuses to draw a column that is not there.

    Args:
        sources: of the report.

    Raises:
        InputError: a metrics file or a table is missing or damaged.
    """
    threats = {name: THREATS[of["informed"]] for name, of in _systems(sources).items()}
    found = {
        name: {
            system: read_table(sources.plots / folder / f"{system}.csv").reindex(columns=columns)
            for system in threats
        }
        for name, (folder, columns) in CURVES.items()
    }
    for name, (file, axis) in AUDITED.items():
        table = read_table(
            sources.plots / "audit" / f"{file}.csv", needs=list(threats), axis=axis, empty=True
        )
        found[name] = {
            system: pd.DataFrame({axis: table[axis], "at_bs": table[system]}) for system in threats
        }
    return {name: _joined(tables, threats) for name, tables in found.items()}


def _systems(sources: Sources) -> dict[str, dict[str, Any]]:
    return {name: read_document(file, SystemMetrics) for name, file in sources.systems.items()}


def _rounded(value: float | None) -> float | None:
    # A zero has no sign: -0.0 would be another figure to DVC.
    return None if value is None else round(value, DIGITS) + 0.0


def _joined(tables: Mapping[str, pd.DataFrame], threats: Mapping[str, str]) -> str:
    parts = []
    for system, table in tables.items():
        drawn = table.dropna(how="all", subset=table.columns[1:]).reset_index(drop=True)
        rows = drawn if len(drawn) else drawn.reindex([0])
        named = pd.DataFrame({"system": system, "threat": threats[system]}, index=rows.index)
        parts.append(named.join(rows))
    return str(pd.concat(parts).to_csv(index=False, float_format="%.9g", lineterminator="\n"))
