"""Gather metrics and plots, and render the templates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from rsvm.files import read_json, read_table
from rsvm.params import Params
from rsvm.report import figures, tables
from rsvm.report.threat import threat_in_words

DATA_NAMES = {
    "demo": "rendered demo songs (and one real seven-second excerpt in the test split)",
    "musdb18": "MUSDB18 (.stem.mp4)",
    "musdb18hq": "MUSDB18-HQ (.wav)",
}


@dataclass(frozen=True)
class Sources:
    """Where the report finds its figures.

    Attributes:
        metrics: one metrics file a system, in table order.
        data: ``metrics/data.json``.
        comparison: ``metrics/comparison.json``.
        audit: ``metrics/audit.json``.
        environment: what the figures were computed with.
        plots: folder with curves/, attack/, tracks/ and audit/.
    """

    metrics: dict[str, Path]
    data: Path
    comparison: Path
    audit: Path
    environment: Path
    plots: Path


def build_report(params: Params, sources: Sources) -> dict[str, str]:
    """Render the report.

    Returns:
        ``index.html`` (self-contained) and ``report.md``.

    Raises:
        InputError: a metrics file or a table is missing.
    """
    systems = [{"name": name, **read_json(path)} for name, path in sources.metrics.items()]
    data = read_json(sources.data)
    comparison = read_json(sources.comparison)
    audits = {
        name: {**flags, **read_json(sources.plots / "audit" / f"{name}.json")}
        for name, flags in read_json(sources.audit).items()
    }
    context: dict[str, Any] = {
        "systems": systems,
        "data": data,
        "data_name": DATA_NAMES[data["source"]],
        "comparison": comparison,
        "result": tables.result(systems),
        "differences": tables.differences(comparison),
        "p_floor": f"{smallest_p(comparison, params.evaluate.bootstrap):.2g}",
        "controls": tables.controls(systems),
        "seeds": tables.seeds(systems),
        "bsseval": tables.bsseval(systems),
        "flags": tables.flags(audits),
        "transfer": tables.transfer(audits),
        "masks": tables.masks(audits),
        "elsewhere": tables.elsewhere(audits),
        "models": tables.models(systems),
        "splits": tables.data(data),
        "environment": read_json(sources.environment),
        "threat": threat_in_words(params),
        "confidence": f"{params.evaluate.confidence:.0%}",
        "params": yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False),
        "verdict": verdict(comparison, params.evaluate.confidence, "rb", "RB"),
        "paired_verdict": verdict(
            comparison, params.evaluate.confidence, "paired_drop", "The paired drop of SI-SDR"
        ),
    }
    environment = Environment(
        loader=PackageLoader("rsvm.report", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = _pictures(list(sources.metrics), sources.plots, params)
    return {
        "index.html": environment.get_template("index.html").render(**context, pictures=pictures),
        "report.md": environment.get_template("report.md").render(**context),
    }


def smallest_p(comparison: dict[str, Any], resamples: int) -> float:
    """The smallest adjusted p-value that can come out, whatever the data are.

    Of one comparison it is what the resamples and the tracks allow (:class:`rsvm.stats.Interval`);
    Holm multiplies the smallest by the number of comparisons.
    """
    others = [figures for figures in comparison.values() if isinstance(figures, dict)]
    count = sum(len(figures) for figures in others)
    return float(min(1.0, count * max(2 / (resamples + 1), 2.0 ** (1 - comparison["n_tracks"]))))


def verdict(comparison: dict[str, Any], confidence: float, key: str, figure: str) -> str:
    """What an interval allows to say, in one sentence."""
    entry = comparison["improved"][key]
    numbers = f"{entry['difference']:+.3f} dB [{entry['low']:+.3f}, {entry['high']:+.3f}]"
    if entry["low"] > 0:
        claim = "is larger for the improved system (it loses more)"
    elif entry["high"] < 0:
        claim = "is smaller for the improved system (it loses less)"
    else:
        claim = "shows no difference between the systems: the interval holds zero"
    if entry["low"] * entry["high"] > 0 and entry["p_holm"] >= 1 - confidence:
        claim += ", but not after correction for the number of comparisons"
    count = comparison["n_seeds"]
    seeds = "one training seed each" if count == 1 else f"mean over {count} training seeds"
    return f"{figure} {claim}; improved minus baseline is {numbers}, {seeds}."


def _pictures(names: list[str], plots: Path, params: Params) -> dict[str, str]:
    train = {name: read_table(plots / "curves" / f"{name}.csv") for name in names}
    attack = {name: read_table(plots / "attack" / f"{name}.csv") for name in names}
    tracks = {name: read_table(plots / "tracks" / f"{name}.csv") for name in names}
    steps, budgets = (
        _by_system(read_table(plots / "audit" / f"{table}.csv"), names)
        for table in ("steps", "eps")
    )
    loss = "si_sdr" if params.attack.method == "minimal" else params.attack.loss
    unit = {"si_sdr": "-SI-SDR in dB", "mse": "MSE", "output_distance": "squared distance"}
    return {
        "attack": figures.curves(
            attack, "step", "loss", "Worst loss so far against steps", unit[loss]
        ),
        "drops": figures.drops(tracks),
        "steps": figures.curves(
            steps, "steps", "at_bs", "Audit: AT-BS against the number of steps", "dB"
        ),
        "eps": figures.curves(
            budgets,
            "factor",
            "at_bs",
            "Audit: AT-BS against multiples of the budget",
            "dB",
            log=True,
        ),
        "bs": figures.curves(train, "epoch", "valid_bs", "Validation BS", "dB"),
        "si_sdr": figures.curves(
            train, "epoch", "valid_si_sdr", "Validation SI-SDR of the reconstruction", "dB"
        ),
    }


def _by_system(table: pd.DataFrame, names: list[str]) -> dict[str, pd.DataFrame]:
    """One column a system -> one table a system."""
    axis = table.columns[0]
    return {name: table[[axis, name]].rename(columns={name: "at_bs"}) for name in names}
