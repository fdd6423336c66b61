"""Tables of what longer training changes on validation tracks, from the study under results/."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from stemproof.core.errors import InputError
from stemproof.core.files import opened
from stemproof.figures.table import by_key
from stemproof.paper.li2022 import IMPROVED, RSVM
from stemproof.report.markdown import as_table
from stemproof.report.stored_runs import LENGTHS

STUDY = LENGTHS
SHOWN = (8, 16, 32)  # epochs, beside the last that every training reached
OF_LENGTHS = ("bs", "drop", "rb")
OF_CHOICES = ("si_sdr", "bs", "at_bs", "rb", "drop")
SONGS, STEPS = 80, 120  # of the stored trainings: songs, and steps that an epoch has
OF_SONGS = (960, 1920)  # steps after which trainings on fewer songs stand beside them
VALID = ("valid_si_sdr", "valid_bs")
SIGNALS = ("vocals", "accompaniment", "mixture")
# The attack in a training step of two systems that lengths.csv has: its eps, and its loss's weight.
BUDGETS = {"separation-only": ("0", "2"), "robust": ("0.1", "2")}
Row = dict[str, str]
Curves = dict[tuple[str, int], dict[str, Row]]  # by system and epoch, then by seed


def over_epochs(study: Path = STUDY) -> str:
    """Validation figures of every system: the mean over its seeds, with the smallest and largest.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown: reconstruction and BS after some epochs, the last one that all trainings reached.

    Raises:
        InputError: a table is missing or lacks a column.
    """
    curves = read_curves(study)
    systems = sorted({system for system, _ in curves}, key=lambda name: (name != RSVM, name))
    last = last_of_all(curves)
    epochs = [*SHOWN, last]
    header = ["system", f"SI-SDR, epoch {last}", *(f"BS, epoch {epoch}" for epoch in epochs)]
    rows = [
        [
            system,
            _spread([float(r["valid_si_sdr"]) for r in curves[system, last].values()]),
            *(
                _spread([float(r["valid_bs"]) for r in curves[system, epoch].values()])
                for epoch in epochs
            ),
        ]
        for system in systems
    ]
    return as_table(header, rows)


def by_length(study: Path = STUDY) -> str:
    """What the attack costs after so many epochs, on validation tracks, of one training each.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown, a row a system: BS, paired drop and RB after every number of epochs; a dash where
        a training was stopped before.

    Raises:
        InputError: a table is missing or lacks a column.
    """
    known = by_key()
    found = {(row["system"], int(row["epoch"])): row for row in read_lengths(study)}
    epochs = sorted({epoch for _, epoch in found})
    columns = [(key, epoch) for key in OF_LENGTHS for epoch in epochs]
    rows = [
        [
            system,
            *(
                f"{float(found[system, epoch][key]):.2f}" if (system, epoch) in found else "-"
                for key, epoch in columns
            ),
        ]
        for system in dict.fromkeys(system for system, _ in found)
    ]
    return as_table(["system", *(f"{known[key].words}, {epoch}" for key, epoch in columns)], rows)


def by_choice(study: Path = STUDY) -> str:
    """What other choices of the improved version are worth on validation tracks.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown, a row a choice; first the baseline and the improved version after as many epochs.

    Raises:
        InputError: a table is missing or lacks a column.
    """
    tried = read_lengths(study, "choices.csv")
    epochs = {row["epoch"] for row in tried}
    return _every_figure([*(r for r in _of_two(study) if r["epoch"] in epochs), *tried])


def of_two(study: Path = STUDY) -> str:
    """Every figure of the baseline and the improved version after so many epochs.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown, a row a system and length, on validation tracks.

    Raises:
        InputError: the table is missing or lacks a column.
    """
    return _every_figure(_of_two(study))


def _of_two(study: Path) -> list[Row]:
    return [row for row in read_lengths(study) if row["system"] in (RSVM, IMPROVED)]


def beyond(study: Path = STUDY) -> str:
    """What trainings of two systems give that went on, on validation tracks.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown, a row a system and length.

    Raises:
        InputError: the table is missing or lacks a column.
    """
    return _every_figure(read_lengths(study / "longer"))


def of_mixtures(study: Path = STUDY) -> str:
    """What comes back through encoder and decoder, of what RSVM's loss asks for and of the rest.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown, a row a state: SNR in dB of vocals, accompaniment and mixture.

    Raises:
        InputError: the table is missing or lacks a column.
    """
    rows = [
        [row["system"], row["epoch"], *(f"{float(row[signal]):.2f}" for signal in SIGNALS)]
        for row in _rows(study / "mixtures.csv", "system", "epoch", *SIGNALS)
    ]
    return as_table(["system", "epochs", *SIGNALS], rows)


def by_songs(study: Path = STUDY) -> str:
    """What the number of training songs is worth, after as many steps.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown, a row a number of songs: validation figures of one training each, and of all
        songs the mean over the stored trainings of the baseline, with the smallest and largest.

    Raises:
        InputError: a table is missing or lacks a column.
    """
    fewer = {(row["songs"], int(row["steps"])): row for row in read_songs(study)}
    all_songs = [read_curves(study)[RSVM, steps // STEPS].values() for steps in OF_SONGS]
    rows = [[str(SONGS)]]
    rows[0] += [_spread([float(row[key]) for row in own]) for own in all_songs for key in VALID]
    for songs in dict.fromkeys(songs for songs, _ in fewer):
        some = [fewer.get((songs, steps)) for steps in OF_SONGS]
        rows.append([songs])
        rows[-1] += [f"{float(row[key]):.2f}" if row else "-" for row in some for key in VALID]
    words = [f"{name}, {steps} steps" for steps in OF_SONGS for name in ("SI-SDR", "BS")]
    return as_table(["training songs", *words], rows)


def read_songs(study: Path = STUDY) -> list[Row]:
    """Validation figures of every epoch of trainings on fewer songs.

    Raises:
        InputError: the table is missing or lacks a column.
    """
    return _rows(study / "songs.csv", "songs", "epoch", "steps", *VALID)


def by_budget(study: Path = STUDY) -> str:
    """What the budget of adversarial training and its weight are worth, on validation tracks.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown: first the same training without an attack, by eps, then by weight.

    Raises:
        InputError: a table is missing or lacks a column.
    """
    known = by_key()
    rows = [
        [row["system"], row["eps"], row["weight"], row["epoch"]]
        + [f"{float(row[key]):.2f}" for key in OF_CHOICES]
        for row in read_budgets(study)
    ]
    words = [known[key].words for key in OF_CHOICES]
    return as_table(["system", "eps of training", "weight", "epochs", *words], rows)


def read_budgets(study: Path = STUDY) -> list[Row]:
    """Adversarial trainings by the eps of their attack, then by the weight of its loss.

    Raises:
        InputError: a table is missing or lacks a column.
    """
    tried = _rows(study / "budgets.csv", "eps", "weight", "system", "epoch", "split", *OF_CHOICES)
    epochs = {row["epoch"] for row in tried}
    same = [
        {**row, **dict(zip(("eps", "weight"), BUDGETS[row["system"]], strict=True))}
        for row in read_lengths(study)
        if row["system"] in BUDGETS and row["epoch"] in epochs
    ]
    return sorted([*same, *tried], key=lambda row: (float(row["eps"]), float(row["weight"])))


def read_curves(study: Path = STUDY) -> Curves:
    """Validation figures of every epoch of every training.

    Raises:
        InputError: the table is missing or lacks a column.
    """
    curves: Curves = {}
    for row in _rows(study / "curves.csv", "system", "seed", "epoch", "valid_si_sdr", "valid_bs"):
        curves.setdefault((row["system"], int(row["epoch"])), {})[row["seed"]] = row
    return curves


def last_of_all(curves: Curves) -> int:
    """The last epoch that every training reached."""
    systems, seeds = {system for system, _ in curves}, max(len(found) for found in curves.values())
    return max(
        epoch
        for _, epoch in curves
        if all(len(curves.get((system, epoch), ())) == seeds for system in systems)
    )


def read_lengths(study: Path = STUDY, table: str = "lengths.csv") -> list[Row]:
    """Figures on validation tracks of states of one training a system, attacked.

    Args:
        study: folder of the stored figures.
        table: name of the file.

    Raises:
        InputError: the table is missing or lacks a column.
    """
    found = _rows(study / table, "system", "epoch", "split", *OF_CHOICES)
    return [row for row in found if row["split"] == "valid"]


def _rows(path: Path, *needs: str) -> list[Row]:
    with opened(path, "no such file; restore it with git") as stream:
        rows = list(csv.DictReader(io.StringIO(stream.read().decode())))
    lacking = [name for name in needs if not rows or rows[0].get(name) is None]
    if lacking:
        raise InputError(f"{path}: it lacks {', '.join(lacking)}; restore it with git")
    return rows


def _every_figure(found: Sequence[Row]) -> str:
    known = by_key()
    rows = [
        [row["system"], row["epoch"], *(f"{float(row[key]):.2f}" for key in OF_CHOICES)]
        for row in found
    ]
    return as_table(["system", "epochs", *(known[key].words for key in OF_CHOICES)], rows)


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.2f} [{min(values):.2f}, {max(values):.2f}]"
