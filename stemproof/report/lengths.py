"""Tables of what longer training changes, from the study under results/ that was stored of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from stemproof.core.errors import InputError
from stemproof.core.files import opened, read_json
from stemproof.figures.table import compared
from stemproof.report.markdown import as_table

STUDY = Path("results/longer-training-musdb18-7")
PAIR = STUDY / "pair"  # the run of baseline and improved alone
SHOWN = (8, 16, 32)  # epochs, beside the last that every training reached
FIRST = "baseline"  # in every table
COMPARED = ("bs", "paired_bs", "at_bs", "paired_at_bs", "rb", "paired_drop")
Row = dict[str, str]


def over_epochs(study: Path = STUDY) -> str:
    """Validation figures of every system: the mean over its seeds, with the smallest and largest.

    Args:
        study: folder of the stored figures.

    Returns:
        Markdown: reconstruction and BS after some epochs, the last one that all trainings reached.

    Raises:
        InputError: a table is missing or lacks a column.
    """
    curves: dict[tuple[str, int], dict[str, Row]] = {}
    for row in _rows(study / "curves.csv", "system", "seed", "epoch", "valid_si_sdr", "valid_bs"):
        curves.setdefault((row["system"], int(row["epoch"])), {})[row["seed"]] = row
    systems = sorted({system for system, _ in curves}, key=lambda name: (name != FIRST, name))
    seeds = max(len(found) for found in curves.values())
    last = max(
        epoch
        for _, epoch in curves
        if all(len(curves.get((system, epoch), ())) == seeds for system in systems)
    )
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
        Markdown, a row a system and epoch.

    Raises:
        InputError: a table is missing or lacks a column.
    """
    columns = ("si_sdr", "bs", "at_bs", "rb", "drop")
    found = _rows(study / "lengths.csv", "system", "epoch", "split", *columns)
    rows = [
        [row["system"], row["epoch"], *(f"{float(row[column]):.2f}" for column in columns)]
        for row in found
        if row["split"] == "valid"
    ]
    return as_table(["system", "epochs", "SI-SDR", "BS", "AT-BS", "RB", "paired drop"], rows)


def on_test(run: Path = STUDY / "run") -> str:
    """Figures on the test tracks, with intervals.

    Args:
        run: folder of a stored run.

    Returns:
        Markdown, a row a system.

    Raises:
        InputError: a file is missing or damaged.
    """
    files = sorted((run / "metrics").glob("*.json"), key=lambda file: (file.stem != FIRST, file))
    breaks = {"break_1db": "break point 1 dB", "break_3db": "3 dB", "break_6db": "6 dB"}
    keys = ("si_sdr", "bs", "at_bs", "rb", "drop", *breaks)
    rows = []
    for file in files:
        figures = read_json(file)
        cells = []
        for key in keys:
            value, low, high = (figures[name] for name in (key, f"{key}_low", f"{key}_high"))
            digits = 1 if key.startswith("break") or abs(value) >= 100 else 2
            cells.append(f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        rows.append([file.stem, *cells])
    header = ["system", "SI-SDR", "BS", "AT-BS", "RB", "paired drop", *breaks.values()]
    return as_table(header, rows)


def differences(run: Path = STUDY / "run") -> str:
    """Every system minus the reference, with intervals and p-values adjusted for all of them.

    Args:
        run: folder of a stored run.

    Returns:
        Markdown, a row a system.

    Raises:
        InputError: the file is missing or damaged.
    """
    found = read_json(run / "comparison.json")
    rows = []
    for system, differs in found.items():
        if not isinstance(differs, dict):
            continue
        cells = [
            f"{d['difference']:+.2f} [{d['low']:+.2f}, {d['high']:+.2f}], p = {d['p_holm']:.3f}"
            for d in (differs[key] for key in COMPARED)
        ]
        rows.append([f"{system} minus {found['reference']}", *cells])
    words = [compared()[key].words for key in COMPARED]
    return as_table(["difference", *words], rows)


def _rows(path: Path, *needs: str) -> list[Row]:
    with opened(path, "no such file; restore it with git") as stream:
        rows = list(csv.DictReader(io.StringIO(stream.read().decode())))
    lacking = [name for name in needs if not rows or rows[0].get(name) is None]
    if lacking:
        raise InputError(f"{path}: it lacks {', '.join(lacking)}; restore it with git")
    return rows


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.2f} [{min(values):.2f}, {max(values):.2f}]"
