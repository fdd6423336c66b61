"""Which pictures the report shows of the systems of one threat model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from stemproof.core.tables import read_table
from stemproof.figures.table import by_key
from stemproof.report.drawing import Picture
from stemproof.report.pictures import Lines, heat_map, lines, tracks
from stemproof.report.sweeps import robustness, sweep_of
from stemproof.report.threats import Group, Settings
from stemproof.report.transfers import transfer_values

UNITS = {"si_sdr": "-SI-SDR in dB", "mse": "squared error", "output_distance": "squared distance"}


def illustrations(
    group: Group, plots: Path, settings: Settings, places: Mapping[str, int]
) -> dict[str, Any]:
    """The pictures of one threat model; what none of its systems has is no picture.

    Args:
        group: its systems.
        plots: folder with curves/, attack/ and audit/.
        settings: parameters.
        places: of the systems in the tables.

    Returns:
        ``robustness`` and ``tracks``, a picture each; ``convergence`` and ``training``, lists.
    """
    names, key = group.names, "informed" if group.informed else "blind"
    attack = settings.attack
    train, crafted = (
        {name: read_table(plots / part / f"{name}.csv", axis=axis, filled=filled) for name in names}
        for part, axis, filled in (("curves", "epoch", ()), ("attack", "step", ("loss",)))
    )
    curve = read_table(plots / "audit" / "steps.csv", needs=names, axis="steps", empty=True)
    steps = _by_system(curve, names)
    clean, attacked = (by_key()[figure].said(group.informed) for figure in ("bs", "at_bs"))
    convergence = (
        Lines(
            f"{key}-loss",
            crafted,
            "step",
            "loss",
            "gradient step",
            f"loss, {UNITS.get(attack.loss, attack.loss)}",
            "Loss against steps of the attack",
            "The worst loss so far, median over tracks. Where it is flat, more steps "
            "would change nothing.",
        ),
        Lines(
            f"{key}-steps",
            steps,
            "steps",
            "at_bs",
            "gradient steps in all",
            f"{attacked} in dB",
            f"Audit: {attacked} against the number of steps",
            "Attacks of other lengths, each run anew in the audit.",
            log=True,
        ),
    )
    training = (
        Lines(
            f"{key}-valid",
            train,
            "epoch",
            "valid_bs",
            "epoch of training",
            f"{clean} in dB",
            f"Validation: {clean}",
            "Separation of validation songs while the systems were trained.",
        ),
        Lines(
            f"{key}-reconstruction",
            train,
            "epoch",
            "valid_si_sdr",
            "epoch of training",
            "SI-SDR in dB",
            "Validation: SI-SDR of the reconstruction",
            "Where it still rises at the end, training was stopped early.",
        ),
    )
    sweeps = {
        system["name"]: sweep_of(system, group.audits[system["name"]]) for system in group.systems
    }
    eps = attack.eps if attack.has_eps else None
    figures = {name: group.tracks[name] for name in names}
    up = "SI-SDR of the separated vocals in dB"
    return {
        "robustness": robustness(f"{key}-robustness", sweeps, places, eps),
        "tracks": tracks(f"{key}-tracks", figures, places, up),
        "convergence": _drawn(convergence, places),
        "training": _drawn(training, places),
    }


def transfer_picture(audits: Mapping[str, Any], caption: str) -> Picture | None:
    """The heat map of transfer; None where there is a single model."""
    values, groups = transfer_values(audits)
    return heat_map("transfer", values, groups, caption) if len(values) > 1 else None


def _drawn(all_lines: tuple[Lines, ...], places: Mapping[str, int]) -> list[Picture]:
    pictures = [lines(what, places) for what in all_lines]
    return [picture for picture in pictures if picture is not None]


def _by_system(table: pd.DataFrame, names: list[str]) -> dict[str, pd.DataFrame]:
    """One column a system -> one table a system."""
    axis = table.columns[0]
    return {name: table[[axis, name]].rename(columns={name: "at_bs"}) for name in names}
