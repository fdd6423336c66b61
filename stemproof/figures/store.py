"""The figures of one model on disk, and of a system's models together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stemproof.core.errors import InputError
from stemproof.core.files import read_json, read_table, write_json, write_text
from stemproof.core.params import first_difference
from stemproof.figures.summary import Scored

FIGURES, TRACKS = "figures.json", "tracks.csv"
FORMAT = 1
OTHER_DATA = "figures of other recordings than those beside it; run dvc repro"


def write_scored(folder: Path, scored: Scored, about: Mapping[str, Any]) -> None:
    """Write the figures of one model.

    Args:
        folder: where to.
        scored: the figures.
        about: system, seed, kind, what it was made with, and the like.
    """
    # All digits: what is read back are the same numbers.
    write_text(folder / TRACKS, scored.tracks.to_csv(float_format="%.17g"))
    figures: dict[str, Any] = {"format": FORMAT, "counts": dict(scored.counts)}
    if scored.bsseval is not None:
        figures["bsseval"] = dict(scored.bsseval)
    write_json(folder / FIGURES, {**figures, **about})


@dataclass(frozen=True)
class SystemModels:
    """The models of one system.

    Attributes:
        scored: their figures by training seed; a system that is not trained has one.
        folders: where these were read.
        about: what goes into the system's metrics beside figures.
        environment: what the figures were computed with.
        data: hash of the recordings that they are of.
    """

    scored: dict[int, Scored]
    folders: list[Path]
    about: dict[str, Any]
    environment: dict[str, str]
    data: str


def read_scored(folders: Sequence[Path], made_with: Mapping[str, Any]) -> SystemModels:
    """Read the figures of a system's models.

    Args:
        folders: one a training seed.
        made_with: the sections of the parameters that they must have been made with.

    Raises:
        InputError: figures are missing, or were made with other parameters.
    """
    scored: dict[int, Scored] = {}
    used: list[Path] = []
    training: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for folder in folders:
        found = read_json(folder / FIGURES)
        difference = first_difference(found.get("made_with", {}), made_with)
        if difference:
            raise InputError(f"{folder}: made with {difference}; run evaluate again")
        first = first or found
        if found.get("data") != first.get("data"):
            raise InputError(f"{folder}: {OTHER_DATA}")
        seed = int(found["seed"])
        scored[seed] = Scored(
            read_table(folder / TRACKS).set_index("track"), found["counts"], found.get("bsseval")
        )
        used.append(folder)
        training[str(seed)] = found["training"]
        if not found["trained"]:
            break  # one model, whatever the seed
    about = {key: first[key] for key in ("kind", "informed", "gate")}
    return SystemModels(
        scored,
        used,
        {**about, "training": training},
        first["environment"],
        str(first.get("data", "")),
    )


def of_one_data_set(systems: Mapping[str, SystemModels]) -> None:
    """Refuse to compare figures of different recordings.

    Raises:
        InputError: two systems were evaluated on other recordings.
    """
    first = next(iter(systems.values()))
    for models in systems.values():
        if models.data != first.data:
            raise InputError(f"{models.folders[0]}: {OTHER_DATA}")


def mean_curve(files: Sequence[Path]) -> str:
    """The mean over training seeds of a curve whose first column is its axis, as CSV."""
    curves = pd.concat([read_table(file) for file in files])
    return str(curves.groupby(curves.columns[0]).mean().to_csv(float_format="%.9g"))
