"""Cutting what does not fit into memory at once."""

from __future__ import annotations

from collections.abc import Iterator


def batches(total: int, size: int) -> Iterator[slice]:
    """Cut ``total`` items into slices of at most ``size``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
