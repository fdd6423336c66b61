"""Gather metrics and plots, and render the templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stemproof.core.files import read_json, read_table
from stemproof.paper import li2022
from stemproof.report import advice, audit_tables, tables
from stemproof.report.illustrations import illustrations, transfer_picture
from stemproof.report.learned import learned
from stemproof.report.listening import Listening, read_listening
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
    """Render the report.

    Returns:
        ``index.html`` (self-contained) and ``report.md``.

    Raises:
        InputError: a metrics file, a table or a clip is missing, or clips are of another run.
    """
    systems = [{"name": name, **read_json(path)} for name, path in sources.systems.items()]
    data, comparison = read_json(sources.data), read_json(sources.comparison)
    audits = {
        name: {**flags, **read_json(sources.plots / "audit" / f"{name}.json")}
        for name, flags in read_json(sources.audit).items()
    }
    tracks = {
        name: read_table(sources.plots / "tracks" / f"{name}.csv") for name in sources.systems
    }
    groups = [
        Group(own, comparison, audits, data, tracks)
        for informed in (True, False)
        if (own := [system for system in systems if system["informed"] == informed])
    ]
    places = {name: place for place, name in enumerate(sources.systems)}
    heard = None
    if sources.listening is not None:
        heard = read_listening(sources.listening, settings.shown, settings.audio, list(places))
    context: dict[str, Any] = {
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
        "environment": {**read_json(sources.environment)["environment"], **_hashes(heard)},
        "commit": settings.commit,
        "confidence": f"{settings.statistics.confidence:.0%}",
        "changed": yaml.safe_dump(dict(settings.changed), sort_keys=False),
        "params": yaml.safe_dump(dict(settings.shown), sort_keys=False),
    }
    environment = Environment(
        loader=PackageLoader("stemproof.report", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return {
        name: environment.get_template(name).render(**context)
        for name in ("index.html", "report.md")
    }


def _paper(group: Group, data: dict[str, Any], plots: Path) -> str:
    """Why SI-SDR differs from the paper's; empty where the run has not what the paper is about."""
    system = next((one for one in group.systems if one["name"] == li2022.RSVM), None)
    if system is None or not group.informed or "si_sdr" not in system:
        return ""
    curve = read_table(plots / "curves" / f"{li2022.RSVM}.csv")
    rise = None
    if "valid_si_sdr" in curve and len(curve) > 1 and pd.notna(curve["valid_si_sdr"]).all():
        rise = float(curve["valid_si_sdr"].diff().iloc[-1])
    return li2022.reconstruction(system, data, rise)


def _hashes(heard: Listening | None) -> dict[str, str]:
    if heard is None:
        return {}
    models = {f"model {name}, seed {heard.seed}": sha for name, sha in heard.models.items()}
    return {"prepared data": heard.data, **models}


def _cell(text: str) -> str:
    """Text in a table of Markdown."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
