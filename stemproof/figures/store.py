"""The figures of one model on disk, and of a system's models together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stemproof.core.documents import read_document
from stemproof.core.errors import InputError
from stemproof.core.files import write_text
from stemproof.core.params import first_difference
from stemproof.core.seals import check_seal, without_seal, write_sealed
from stemproof.core.tables import read_table
from stemproof.figures.documents import ModelFigures, Training
from stemproof.figures.summary import Scored

FIGURES, TRACKS = "figures.json", "tracks.csv"
TRAINING, ATTACK = "training.csv", "attack.csv"  # curves
FILES = (FIGURES, TRACKS, TRAINING, ATTACK)
FORMAT = 1
# Columns that the table of every model has.
OF_ALL = ("track", "bs", "at_bs", "drop", "noise_bs", "noise_drop", "mixture_si_sdr")
AGAIN = "run evaluate again"
OTHER_DATA = "figures of other recordings than those beside it; run dvc repro"


def write_scored(
    folder: Path, scored: Scored, about: Mapping[str, Any], curves: Sequence[str] = ()
) -> None:
    """Write the figures of one model.

    Args:
        folder: where to.
        scored: the figures.
        about: system, seed, kind, what it was made with, and the like.
        curves: files that were written there before and belong to it.
    """
    # All digits: what is read back are the same numbers.
    write_text(folder / TRACKS, scored.tracks.to_csv(float_format="%.17g"))
    figures: dict[str, Any] = {"format": FORMAT, "counts": dict(scored.counts)}
    if scored.bsseval is not None:
        figures["bsseval"] = dict(scored.bsseval)
    tables = [folder / name for name in (TRACKS, *curves)]
    write_sealed(folder / FIGURES, {**figures, **about}, tables)


def read_training(file: Path, curve: Path) -> dict[str, Any]:
    """What a training says of itself, and whether its curve is whole.

    Args:
        file: of its sizes and last epoch, as JSON.
        curve: of all epochs, as CSV.

    Raises:
        InputError: one of them is missing, damaged, or was changed since.
    """
    read_table(curve, axis="epoch")
    found = read_document(file, Training)
    check_seal(file, found, "train")
    return without_seal(found)


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

    def tables(self) -> dict[str, str]:
        """CSV by the name of its folder of plots: figures per track, and two curves.

        Raises:
            InputError: a curve is missing or damaged.
        """
        tracks = pd.concat(
            {seed: model.tracks for seed, model in self.scored.items()}, names=["seed"]
        )
        curves = {
            plot: mean_curve([folder / file for folder in self.folders])
            for plot, file in (("curves", TRAINING), ("attack", ATTACK))
        }
        return {"tracks": tracks.to_csv(float_format="%.9g"), **curves}


def read_scored(
    folders: Sequence[Path], made_with: Mapping[str, Any], name: str | None = None
) -> SystemModels:
    """Read the figures of a system's models.

    Args:
        folders: one a training seed.
        made_with: the sections of the parameters that they must have been made with.
        name: of the system that they must be of, each folder being named by its seed; None for any.

    Raises:
        InputError: figures are missing or damaged, of another model, of other tracks than those
            beside them, or were made with other parameters.
    """
    scored: dict[int, Scored] = {}
    used: list[Path] = []
    training: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for folder in folders:
        found = read_document(folder / FIGURES, ModelFigures)
        difference = first_difference(found["made_with"], made_with)
        if difference:
            raise InputError(f"{folder}: made with {difference}; run evaluate again")
        first = first or found
        if found["data"] != first["data"]:
            raise InputError(f"{folder}: {OTHER_DATA}")
        if any(found[key] != first[key] for key in ("system", "kind", "informed", "trained")):
            raise InputError(f"{folder}: figures of another system than {used[0]}; {AGAIN}")
        seed = found["seed"]
        if name is not None and (found["system"], str(seed)) != (name, folder.name):
            raise InputError(f"{folder}: figures of {found['system']}, seed {seed}; {AGAIN}")
        tracks = _read_tracks(folder / TRACKS)
        scored[seed] = Scored(tracks, found["counts"], found.get("bsseval"))
        known = next(iter(scored.values())).tracks
        if not (tracks.index.equals(known.index) and tracks.columns.equals(known.columns)):
            raise InputError(f"{folder / TRACKS}: other tracks or columns than {used[0]}; {AGAIN}")
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
        first["data"],
    )


def _read_tracks(file: Path) -> pd.DataFrame:
    """A table per track, indexed by the names of tracks, each of which stands there once."""
    table = read_table(file, needs=OF_ALL).set_index("track")
    if table.index.has_duplicates:
        raise InputError(f"{file}: a track stands there twice; {AGAIN}")
    return table


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
    """The mean over training seeds of a curve whose first column is its axis, as CSV.

    Raises:
        InputError: one is missing, damaged, without rows, or has other columns than the first.
    """
    curves = [read_table(file) for file in files]
    axis, columns = curves[0].columns[0], curves[0].columns
    for file, curve in zip(files, curves, strict=True):
        if not curve.columns.equals(columns) or curve[axis].isna().any():
            raise InputError(f"{file}: not such a curve as {files[0]}; {AGAIN}")
    return str(pd.concat(curves).groupby(axis).mean().to_csv(float_format="%.9g"))
