"""Gather metrics and plots, and render the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stemproof.attacks.params import AttackParams
from stemproof.core.files import read_json, read_table
from stemproof.data.params import SegmentParams
from stemproof.figures.params import StatisticsParams
from stemproof.paper import li2022
from stemproof.report import pictures, tables
from stemproof.report.words import collapse_in_words, threat_in_words


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


@dataclass(frozen=True)
class Settings:
    """What the report says of the parameters.

    Attributes:
        attack: the section ``attack``.
        segments: the section ``segments``.
        statistics: the section ``statistics``.
        shown: all parameters of the run, as they are printed.
    """

    attack: AttackParams
    segments: SegmentParams
    statistics: StatisticsParams
    shown: Mapping[str, Any]


def build_report(settings: Settings, sources: Sources) -> dict[str, str]:
    """Render the report.

    Returns:
        ``index.html`` (self-contained) and ``report.md``.

    Raises:
        InputError: a metrics file or a table is missing.
    """
    systems = [{"name": name, **read_json(path)} for name, path in sources.systems.items()]
    data = read_json(sources.data)
    comparison = read_json(sources.comparison)
    audits = {
        name: {**flags, **read_json(sources.plots / "audit" / f"{name}.json")}
        for name, flags in read_json(sources.audit).items()
    }
    informed = [system["name"] for system in systems if system["informed"]]
    context: dict[str, Any] = {
        "systems": systems,
        "informed": informed,
        "data": data,
        "data_name": data.get("source_words", data["source"]),
        "comparison": comparison,
        "result": tables.result(systems),
        "collapses": [said for s in systems if (said := collapse_in_words(s["name"], s))],
        "differences": tables.differences(comparison),
        "p_floor": f"{smallest_p(comparison, settings.statistics.bootstrap):.2g}",
        "controls": tables.controls(systems),
        "seeds": tables.seeds(systems),
        "bsseval": tables.bsseval(systems),
        "flags": tables.flags(audits),
        "transfer": tables.transfer(audits),
        "masks": tables.masks(audits),
        "elsewhere": tables.elsewhere(audits),
        "models": tables.models(systems),
        "splits": tables.data(data),
        "environment": read_json(sources.environment)["environment"],
        "threat": threat_in_words(settings.attack, settings.segments, bool(informed)),
        "confidence": f"{settings.statistics.confidence:.0%}",
        "params": yaml.safe_dump(dict(settings.shown), sort_keys=False),
        "verdicts": li2022.verdicts(comparison, settings.statistics.confidence),
    }
    environment = Environment(
        loader=PackageLoader("stemproof.report", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = _pictures(list(sources.systems), sources.plots, settings.attack)
    return {
        "index.html": environment.get_template("index.html").render(**context, pictures=drawn),
        "report.md": environment.get_template("report.md").render(**context),
    }


def smallest_p(comparison: dict[str, Any], resamples: int) -> float:
    """The smallest adjusted p-value that can come out, whatever the data are.

    Of one comparison it is what the resamples and the tracks allow (see
    :class:`stemproof.figures.statistics.Interval`); Holm multiplies the
    smallest by the number of comparisons.
    """
    others = [figures for figures in comparison.values() if isinstance(figures, dict)]
    count = sum(len(figures) for figures in others)
    return float(min(1.0, count * max(2 / (resamples + 1), 2.0 ** (1 - comparison["n_tracks"]))))


def _pictures(names: list[str], plots: Path, attack: AttackParams) -> dict[str, str]:
    train = {name: read_table(plots / "curves" / f"{name}.csv") for name in names}
    crafted = {name: read_table(plots / "attack" / f"{name}.csv") for name in names}
    tracks = {name: read_table(plots / "tracks" / f"{name}.csv") for name in names}
    steps, budgets = (
        _by_system(read_table(plots / "audit" / f"{table}.csv"), names)
        for table in ("steps", "eps")
    )
    loss = attack.loss
    unit = {"si_sdr": "-SI-SDR in dB", "mse": "MSE", "output_distance": "squared distance"}
    drawn = {
        "attack": pictures.curves(
            crafted, "step", "loss", "Worst loss so far against steps", unit.get(loss, loss)
        ),
        "drops": pictures.drops(tracks),
        "steps": pictures.curves(
            steps, "steps", "at_bs", "Audit: AT-BS against the number of steps", "dB"
        ),
        "eps": pictures.curves(
            budgets,
            "factor",
            "at_bs",
            "Audit: AT-BS against multiples of the budget",
            "dB",
            log=True,
        ),
    }
    for column, title in (
        ("valid_bs", "Validation BS"),
        ("valid_si_sdr", "Validation SI-SDR of the reconstruction"),
    ):
        if any(column in table for table in train.values()):
            drawn[column] = pictures.curves(train, "epoch", column, title, "dB")
    return drawn


def _by_system(table: pd.DataFrame, names: list[str]) -> dict[str, pd.DataFrame]:
    """One column a system -> one table a system."""
    axis = table.columns[0]
    return {name: table[[axis, name]].rename(columns={name: "at_bs"}) for name in names}
