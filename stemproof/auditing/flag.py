"""One check of an audit, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Flag:
    """One check.

    Attributes:
        name: a short name.
        raised: whether the figure is doubtful.
        reason: what was measured, in one sentence.
        measured: whether anything was.
    """

    name: str
    raised: bool
    reason: str
    measured: bool = True

    @property
    def word(self) -> str:
        """RAISED, clear, or not measured."""
        return ("RAISED" if self.raised else "clear") if self.measured else "not measured"
