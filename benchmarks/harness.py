"""What every question shares: sizes, and two sides timed in turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# A benchmark measures the library that stands beside it, installed or not.
sys.path.insert(0, str(ROOT))

Value = TypeVar("Value")


@dataclass(frozen=True)
class Sizes:
    """How large a question is asked.

    Attributes:
        tiny: as small as can be, to see that everything runs; the ratios then mean nothing.
    """

    tiny: bool = False

    def of(self, full: Value, tiny: Value) -> Value:
        """One of two values."""
        return tiny if self.tiny else full

    @property
    def rounds(self) -> int:
        """Rounds of a race that count, unless a question says otherwise."""
        return self.of(9, 1)


@dataclass(frozen=True)
class Row:
    """One ratio.

    Attributes:
        name: what is compared with what.
        ratio: the median over rounds, where there were rounds.
        target: what it should be at least.
        detail: sizes and single figures.
        lowest: of a single round.
        highest: of a single round.
    """

    name: str
    ratio: float
    target: float
    detail: str = ""
    lowest: float | None = None
    highest: float | None = None

    def __str__(self) -> str:
        verdict = "" if self.ratio >= self.target else "MISSED"
        rounds = f"{self.lowest:.2f}-{self.highest:.2f}" if self.lowest is not None else ""
        return (
            f"{self.name:48} {self.ratio:7.2f}  {rounds:14} >= {self.target:<5g} {verdict:7} "
            f"{self.detail}"
        )


@dataclass(frozen=True)
class Times:
    """Seconds of every side in every round."""

    seconds: dict[str, list[float]]

    def median(self, side: str) -> float:
        """Median seconds of a side."""
        return float(np.median(self.seconds[side]))

    def row(
        self, name: str, slow: str, fast: str, target: float, detail: str = "", factor: float = 1.0
    ) -> Row:
        """How many times as fast ``fast`` is as ``slow``, round by round; times a factor."""
        ratios = factor * np.divide(self.seconds[slow], self.seconds[fast])
        lowest, highest = float(ratios.min()), float(ratios.max())
        return Row(name, float(np.median(ratios)), target, detail, lowest, highest)


def race(sides: dict[str, Callable[[], Any]], rounds: int) -> Times:
    """Time the sides in turns, after one round that does not count.

    Every other round runs backwards, so that no side always follows the same one.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        turns = list(sides.items())
        for name, side in turns[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            side()
            if number:
                times[name].append(time.perf_counter() - start)
    return Times(times)
