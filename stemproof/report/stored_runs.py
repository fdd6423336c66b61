"""Tables of runs that are stored under results/: figures on the test tracks, and differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stemproof.core.errors import InputError
from stemproof.core.files import read_json
from stemproof.core.tables import read_table
from stemproof.figures.compare import contrast
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import holm
from stemproof.figures.store import OF_ALL
from stemproof.figures.table import by_key, compared
from stemproof.paper.li2022 import RSVM, TABLE
from stemproof.report.markdown import as_table

SHORT = Path("results/short-training-musdb18-7/run")  # 8 epochs
LENGTHS = Path("results/musdb18-7")
LONG = LENGTHS / "run"  # 64 epochs, every system
FLOAT32 = LENGTHS / "float32"  # two of those, trained again on a CPU
BFLOAT16 = LENGTHS / "bfloat16"  # four, and one that has no other training of that length
L2 = LENGTHS / "l2"  # the same models under an attack in L2
LONGER = LENGTHS / "longer"  # two of these, gone on with to 100 epochs
MISSING = "no such file; restore it with git"
FIGURES = ("si_sdr", "bs", "at_bs", "rb", "drop")
BREAKS = ("break_1db", "break_3db", "break_6db")
COMPARED_BREAKS = tuple(f"paired_{key}" for key in BREAKS)
BSSEVAL = ("sdr", "isr", "sir", "sar")
STATES = ("clean", "attacked")
COMPARED = ("bs", "paired_bs", "at_bs", "paired_at_bs", "rb", "paired_drop")


def systems(run: Path, keys: Sequence[str] = (*FIGURES, *BREAKS), with_paper: bool = False) -> str:
    """Figures of every system on the test tracks, with intervals.

    Args:
        run: folder of a stored run.
        keys: figures of the summary, in the order of the columns.
        with_paper: whether the systems of Li (2022), Table 1, stand below.

    Returns:
        Markdown, a row a system.

    Raises:
        InputError: a file is missing or damaged.
    """
    rows = [
        [name, *(_cell(found, key) for key in keys)]
        for name, found in of_every_system(run / "metrics/systems").items()
    ]
    if with_paper:
        rows += [
            [name, *(f"{own[key]:.2f}" if key in own else "" for key in keys)]
            for name, own in TABLE.items()
        ]
    return as_table(["system", *(by_key()[key].words for key in keys)], rows)


def bsseval(run: Path) -> str:
    """BSSEval of the vocals of every system, clean and attacked: medians over tracks in dB.

    Args:
        run: folder of a stored run.

    Returns:
        Markdown, a row a system; without intervals, for none are computed of it.

    Raises:
        InputError: a file is missing or damaged.
    """
    rows = [
        [name, *(f"{own['bsseval'][state][key]:.2f}" for key in BSSEVAL for state in STATES)]
        for name, own in of_every_system(run / "metrics/systems").items()
    ]
    header = [f"{key.upper()}, {state}" for key in BSSEVAL for state in STATES]
    return as_table(["system", *header], rows)


def differences(run: Path, keys: Sequence[str] = COMPARED, digits: int = 2) -> str:
    """Every system minus the reference, with intervals and p-values adjusted for all of them.

    Args:
        run: folder of a stored run.
        keys: of the comparison, in the order of the columns.
        digits: behind the point.

    Returns:
        Markdown, a row a system.

    Raises:
        InputError: the file is missing or damaged.
    """
    found = read_json(run / "metrics/comparison.json")
    rows = [
        [f"{name} minus {found['reference']}", *(_difference(own[key], digits) for key in keys)]
        for name, own in found.items()
        if isinstance(own, dict)
    ]
    return as_table(["difference", *(compared()[key].words for key in keys)], rows)


def contrasts(
    pairs: Mapping[str, tuple[Path, Path]],
    keys: Sequence[str] = COMPARED,
    seed: int | None = None,
    digits: int = 2,
) -> str:
    """Differences of any two tables per track, with p-values adjusted for all that they have.

    Those of figures that are not shown count, too.

    Args:
        pairs: the table and the one that is subtracted, by the words of the row.
        keys: of the comparison, in the order of the columns.
        seed: the only one of training that is compared; all of them by default.
        digits: behind the point.

    Returns:
        Markdown, a row a pair.

    Raises:
        InputError: a file is missing or damaged, or two tables do not compare.
    """
    found = contrasted(pairs, seed)
    rows = [
        [words, *(_difference(own[key], digits) if key in own else "-" for key in keys)]
        for words, own in found.items()
    ]
    return as_table(["difference", *(compared()[key].words for key in keys)], rows)


def contrasted(
    pairs: Mapping[str, tuple[Path, Path]], seed: int | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """The differences of :func:`contrasts`, by row and figure.

    Args:
        pairs: as there.
        seed: as there.

    Raises:
        InputError: a file is missing or damaged, or two tables do not compare.
    """
    found = {}
    for words, files in pairs.items():
        first, second = read_pair(files)
        if seed is not None:
            first, second = (one[one["seed"] == seed] for one in (first, second))
        found[words] = contrast(first, second, StatisticsParams())
    entries = [entry for own in found.values() for entry in own.values()]
    for entry, adjusted in zip(entries, holm([one["p"] for one in entries]), strict=True):
        entry["p_holm"] = adjusted
    return found


def read_pair(files: tuple[Path, Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables per track.

    Raises:
        InputError: one is missing or damaged.
    """
    first, second = (read_table(file, MISSING, needs=OF_ALL, filled=["seed"]) for file in files)
    return first, second


def of_every_system(folder: Path) -> dict[str, dict[str, Any]]:
    """What is stored of each system, RSVM first.

    Args:
        folder: of a stored run, with a document a system.

    Raises:
        InputError: there is none, or one is damaged.
    """
    files = sorted(folder.glob("*.json"), key=lambda file: (file.stem != RSVM, file))
    if not files:
        raise InputError(f"{folder}: no system is stored there; restore it with git")
    return {file.stem: read_json(file) for file in files}


def _cell(found: Mapping[str, Any], key: str) -> str:
    value, low, high = (found[name] for name in (key, f"{key}_low", f"{key}_high"))
    digits = 1 if key in BREAKS or abs(value) >= 100 else 4 if abs(value) < 0.05 else 2
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _difference(differs: Mapping[str, Any], digits: int) -> str:
    ends = f"[{differs['low']:+.{digits}f}, {differs['high']:+.{digits}f}]"
    return f"{differs['difference']:+.{digits}f} {ends}, p = {differs['p_holm']:.3f}"
