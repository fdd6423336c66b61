"""Tables of our own that are read back: CSV whose rows are whole and whose cells are numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stemproof.core.errors import InputError
from stemproof.core.files import MISSING, opened

if TYPE_CHECKING:
    import pandas as pd

CURE = "restore it, or run the stage that writes it"
TEXTS = ("track",)  # columns of names; all others are of numbers, or empty where there is none


def read_table(
    path: Path,
    missing: str = MISSING,
    needs: Sequence[str] = (),
    filled: Sequence[str] = (),
    axis: str | None = None,
    empty: bool = False,
) -> pd.DataFrame:
    """Read a CSV file.

    Args:
        path: the file.
        missing: what is said when there is none.
        needs: columns that it must have.
        filled: columns that it must have, without a gap.
        axis: a column that it must have, and that rises from row to row.
        empty: whether it may be without rows.

    Raises:
        InputError: the file is missing, no table, or lacks a column; a row is not whole, or a cell
            is no number.
    """
    import pandas as pd  # not every stage needs it

    with opened(path, missing) as stream:
        text = stream.read().decode()
        try:
            _check_rows(text, empty)
            # A song may be called 1979, or None.
            table = pd.read_csv(
                io.StringIO(text), dtype=dict.fromkeys(TEXTS, str), keep_default_na=False,
                na_values=[""],
            )  # fmt: skip
            _check_cells(table, needs, filled if axis is None else [axis, *filled])
            if axis is not None and not (
                table[axis].is_monotonic_increasing and table[axis].is_unique
            ):
                raise ValueError(f"{axis} does not rise from row to row")
        except (ValueError, csv.Error, OverflowError) as error:  # of pandas all are ValueErrors
            raise InputError(f"{path}: not a table ({error}); {CURE}") from None
    return table


def _check_rows(text: str, empty: bool) -> None:
    """pandas fills up a row that was cut, and shifts columns where rows have one more."""
    rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    if not rows:
        raise ValueError("it is empty")
    header, *others = rows
    if len(set(header)) < len(header):
        raise ValueError("two columns have one name")
    if "" in header:  # pandas would give it one
        raise ValueError("a column has no name")
    if not others and not empty:
        raise ValueError("it has no rows")
    for number, row in enumerate(others, 1):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells for {len(header)} columns")


def _check_cells(table: pd.DataFrame, needs: Sequence[str], filled: Sequence[str]) -> None:
    absent = [name for name in (*needs, *filled) if name not in table]
    if absent:
        raise ValueError(f"it has no column {', '.join(absent)}")
    for name in table.columns:
        column = table[name]
        if name in TEXTS or column.isna().all():
            continue
        if column.dtype.kind not in "iuf":
            raise ValueError(f"{name} has cells that are no numbers")
        if np.isinf(column.to_numpy(dtype=np.float64)).any():
            raise ValueError(f"{name} has a number that is not finite")
    for name in (*filled, *(text for text in TEXTS if text in table)):
        if table[name].isna().any():
            raise ValueError(f"{name} has an empty cell")
