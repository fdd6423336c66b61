"""How flags say what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stemproof.figures.table import by_key


def db(value: float, digits: int = 3) -> str:
    """A figure in words; an infinite one is of a system that was silenced."""
    return f"{value:.{digits}f} dB" if math.isfinite(value) else "all there is (to silence)"


def attacked(figures: Mapping[str, Any]) -> str:
    """What the tables of the system's threat model call the SI-SDR under attack."""
    return by_key()["at_bs"].said(figures.get("threat") != "blind")
