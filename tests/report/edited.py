"""JSON as somebody may have edited it: one key after the other is gone, or of another type."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

DELETED = object()
OTHERS = (DELETED, None, "text", {}, True, [[1]])


def places(tree: Any, *before: Any) -> Iterator[tuple[Any, ...]]:
    """Every key at every level, and the first entry of every list."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield (*before, key)
            yield from places(value, *before, key)
    elif isinstance(tree, list) and tree:
        yield (*before, 0)
        yield from places(tree[0], *before, 0)


def changed(tree: Any, place: tuple[Any, ...], value: Any) -> str:
    """The text of a file in which one place holds something else."""
    tree = copy.deepcopy(tree)
    part = tree
    for key in place[:-1]:
        part = part[key]
    if value is DELETED:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return json.dumps(tree)
