"""Gather metrics and plots, and render the templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stemproof.attacks.params import AttackParams
from stemproof.core.documents import read_document
from stemproof.core.tables import read_table
from stemproof.figures.documents import Comparison, SystemMetrics
from stemproof.figures.store import OF_ALL
from stemproof.figures.table import by_key
from stemproof.report import audit_tables, pictures, tables
from stemproof.report.documents import (
    AuditFigures,
    Audits,
    ComputedWith,
    Data,
    check_figures,
    check_one_run,
)
from stemproof.report.markdown import cell, fence, prose
from stemproof.report.threats import Group, Settings


@dataclass(frozen=True)
class Sources:
    """Where the report finds its figures.

    Attributes:
        systems: one metrics file a system, in table order.
        data: ``metrics/data.json``.
        comparison: ``metrics/comparison.json``.
        audit: ``metrics/audit.json``.
        environment: what the figures were computed with.
        plots: folder with curves/, attack/, tracks/ and audit/.
    """

    systems: dict[str, Path]
    data: Path
    comparison: Path
    audit: Path
    environment: Path
    plots: Path


def build_report(settings: Settings, sources: Sources) -> dict[str, str]:
    """Render the report.

    Returns:
        ``index.html`` (self-contained) and ``report.md``.

    Raises:
        InputError: a metrics file or a table is missing, damaged, or not of these systems.
    """
    systems = [
        {"name": name, **read_document(path, SystemMetrics)}
        for name, path in sources.systems.items()
    ]
    data = read_document(sources.data, Data)
    comparison = read_document(sources.comparison, Comparison)
    audits = {
        name: {**read_document(sources.plots / "audit" / f"{name}.json", AuditFigures), **flags}
        for name, flags in read_document(sources.audit, Audits).items()
        if name in sources.systems
    }
    tracks = {
        name: read_table(sources.plots / "tracks" / f"{name}.csv", needs=OF_ALL, filled=["seed"])
        for name in sources.systems
    }
    check_one_run(systems, audits, comparison, (sources.audit, sources.comparison))
    for system in systems:
        check_figures(sources.systems[system["name"]], system, tracks[system["name"]])
    groups = [
        Group(own, comparison, audits, data, tracks)
        for informed in (True, False)
        if (own := [system for system in systems if system["informed"] == informed])
    ]
    shown = yaml.safe_dump(dict(settings.shown), sort_keys=False)
    context: dict[str, Any] = {
        "groups": [group.context(settings) for group in groups],
        "data": data,
        "data_name": data.get("source_words", data["source"]),
        "flags": audit_tables.flags(audits),
        "transfer": audit_tables.transfer(audits),
        "masks": audit_tables.masks(audits),
        "models": tables.models(systems),
        "splits": tables.data(data),
        "environment": read_document(sources.environment, ComputedWith)["environment"],
        "confidence": f"{settings.statistics.confidence:.0%}",
        "params": shown,
        "fence": fence(shown),
    }
    environment = Environment(
        loader=PackageLoader("stemproof.report", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "prose": prose}
    drawn = [
        picture
        for group in groups
        for picture in _pictures(group, sources.plots, settings.attack, len(groups) > 1)
    ]
    return {
        "index.html": environment.get_template("index.html").render(**context, pictures=drawn),
        "report.md": environment.get_template("report.md").render(**context),
    }


def _pictures(group: Group, plots: Path, attack: AttackParams, both: bool) -> list[str]:
    """The pictures of one threat model; what none of its systems has is no picture.

    Args:
        group: its systems.
        plots: folder with curves/, attack/ and audit/.
        attack: the section ``attack``.
        both: whether the run has the other threat model, too.
    """
    names = group.names
    train, crafted = (
        {name: read_table(plots / part / f"{name}.csv", axis=axis, filled=filled) for name in names}
        for part, axis, filled in (("curves", "epoch", ()), ("attack", "step", ("loss",)))
    )
    steps, budgets = (
        _by_system(
            read_table(plots / "audit" / f"{table}.csv", needs=names, axis=axis, empty=True),
            names,
        )
        for table, axis in (("steps", "steps"), ("eps", "factor"))
    )
    unit = {"si_sdr": "-SI-SDR in dB", "mse": "MSE", "output_distance": "squared distance"}
    loss = unit.get(attack.loss, attack.loss)
    clean, attacked = (by_key()[key].said(group.informed) for key in ("bs", "at_bs"))
    whose = f" ({'informed' if group.informed else 'blind'})" if both else ""
    lines: list[tuple[dict[str, pd.DataFrame], str, str, str, str]] = [
        (crafted, "step", "loss", "Worst loss so far against steps", loss),
        (steps, "steps", "at_bs", f"Audit: {attacked} against the number of steps", "dB"),
        (budgets, "factor", "at_bs", f"Audit: {attacked} against multiples of the budget", "dB"),
        (train, "epoch", "valid_bs", f"Validation {clean}", "dB"),
        (train, "epoch", "valid_si_sdr", "Validation SI-SDR of the reconstruction", "dB"),
    ]
    drawn = []
    for tables_of, x, y, title, label in lines:
        known = {
            n: table for n, table in tables_of.items() if y in table and table[y].notna().any()
        }
        if known:
            log = x == "factor"
            drawn.append(pictures.curves(known, x, y, title + whose, label, log=log))
    tracks = {name: group.tracks[name] for name in names}
    drawn.insert(1, pictures.drops(tracks, whose))
    return drawn


def _by_system(table: pd.DataFrame, names: list[str]) -> dict[str, pd.DataFrame]:
    """One column a system -> one table a system."""
    axis = table.columns[0]
    return {name: table[[axis, name]].rename(columns={name: "at_bs"}) for name in names}
