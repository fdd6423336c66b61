"""JSON as it is defined: ``NaN``, numbers beyond all bounds and keys that stand twice are none."""

from __future__ import annotations

import json
import math
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Read a text of JSON.

    Args:
        text: the text, as UTF-8 where it is bytes.

    Raises:
        ValueError: it is not JSON, or no UTF-8.
    """
    if isinstance(text, bytes):
        text = text.decode()
    try:
        return json.loads(
            text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_named_once
        )
    except RecursionError:
        raise ValueError("brackets inside brackets without end") from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is beyond all numbers")
    return value


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands there twice")
    return found
