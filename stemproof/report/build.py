"""Gather metrics and plots, and render the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stemproof.core.documents import read_document
from stemproof.core.seals import SEAL, check_seal
from stemproof.core.tables import read_table
from stemproof.figures.documents import Comparison, SystemMetrics
from stemproof.figures.store import OF_ALL
from stemproof.paper import li2022
from stemproof.report import advice, audit_tables, tables
from stemproof.report.documents import (
    AuditFigures,
    Audits,
    ComputedWith,
    Data,
    check_figures,
    check_one_run,
)
from stemproof.report.illustrations import illustrations, transfer_picture
from stemproof.report.learned import learned
from stemproof.report.listening import Listening, read_listening
from stemproof.report.markdown import cell, fence, prose
from stemproof.report.threats import Group, Settings
from stemproof.report.transfers import transfer_in_words


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
        listening: folder of clips; None for a report without.
    """

    systems: dict[str, Path]
    data: Path
    comparison: Path
    audit: Path
    environment: Path
    plots: Path
    listening: Path | None = None


def build_report(settings: Settings, sources: Sources) -> dict[str, str]:
    """The two pages of the report: ``index.html`` (self-contained) and ``report.md``.

    Raises:
        InputError: as :func:`gathered`.
    """
    return rendered(gathered(settings, sources))


def gathered(settings: Settings, sources: Sources) -> dict[str, Any]:
    """What the pages say, by the names that their templates use.

    Raises:
        InputError: a metrics file, a table or a clip is missing, damaged, or not of these systems
            or this run.
    """
    systems = [
        {"name": name, **read_document(path, SystemMetrics)}
        for name, path in sources.systems.items()
    ]
    data = read_document(sources.data, Data)
    if SEAL in data:  # published data have none
        check_seal(sources.data, data, "prepare-musdb18")
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
    places = {name: place for place, name in enumerate(sources.systems)}
    heard = None
    if sources.listening is not None:
        heard = read_listening(sources.listening, settings.shown, settings.audio, list(places))
    return {
        "groups": [
            {
                **group.context(settings),
                "pictures": illustrations(group, sources.plots, settings, places),
                "heard_parts": heard.of(group.informed) if heard else [],
                "paper": _paper(group, data, sources.plots),
            }
            for group in groups
        ],
        "data": data,
        "data_name": data.get("source_words", data["source"]),
        "flags": audit_tables.flags(audits),
        "raised": advice.raised(audits, settings.attack, list(settings.seeds)),
        "transfer": audit_tables.transfer(audits),
        "transfer_picture": transfer_picture(audits, transfer_in_words(audits)),
        "masks": audit_tables.masks(audits),
        "models": tables.models(systems),
        "splits": tables.data(data),
        "learned": learned(heard.views, sources.listening, places)
        if heard and sources.listening
        else None,
        "environment": {
            **read_document(sources.environment, ComputedWith)["environment"],
            **_hashes(heard),
        },
        "commit": settings.commit,
        "confidence": f"{settings.statistics.confidence:.0%}",
        "changed": yaml.safe_dump(dict(settings.changed), sort_keys=False),
        "params": shown,
        "fence": fence(shown),
    }


def verdicts(context: Mapping[str, Any]) -> list[str]:
    """The verdict on the systems of every threat model, a sentence each."""
    return [group["lead"] for group in context["groups"]]


def rendered(context: Mapping[str, Any]) -> dict[str, str]:
    """The pages, by name."""
    environment = Environment(
        loader=PackageLoader("stemproof.report", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "prose": prose}
    return {
        name: environment.get_template(name).render(**context)
        for name in ("index.html", "report.md")
    }


def _paper(group: Group, data: Mapping[str, Any], plots: Path) -> str:
    """Why SI-SDR differs from the paper's; empty where the run has not what the paper is about."""
    system = next((one for one in group.systems if one["name"] == li2022.RSVM), None)
    if system is None or not group.informed or "si_sdr" not in system:
        return ""
    curve = read_table(plots / "curves" / f"{li2022.RSVM}.csv", axis="epoch")
    rise = None
    if "valid_si_sdr" in curve and len(curve) > 1 and pd.notna(curve["valid_si_sdr"]).all():
        rise = float(curve["valid_si_sdr"].diff().iloc[-1])
    return li2022.reconstruction(system, data, rise)


def _hashes(heard: Listening | None) -> dict[str, str]:
    if heard is None:
        return {}
    models = {f"model {name}, seed {heard.seed}": sha for name, sha in heard.models.items()}
    return {"prepared data": heard.data, **models}
