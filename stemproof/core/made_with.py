"""What a result was made with, which it carries: is that what params.yaml says now?

A record holds parameters by their names as in ``dvc.yaml``, ``attack`` or ``separators.improved``:
those of the stage that wrote the result, and those of all that it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from stemproof.core.errors import InputError

MADE_WITH = "parameters"  # key of a record in a file of JSON, and in the header of a model
Record = dict[str, Any]


def record_of(tree: Mapping[str, Any], names: Collection[str]) -> Record:
    """Parameters as a result carries them.

    Args:
        tree: all of params.yaml.
        names: sections, or entries of sections (``separators.improved``).
    """
    # As JSON gives them back: a result is a file.
    found: Record = json.loads(
        json.dumps({name: _value(tree, name) for name in names}, default=str)
    )
    return found


def difference(record: Mapping[str, Any], tree: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first parameter of a record that params.yaml has otherwise.

    Args:
        record: what a result carries.
        tree: all of params.yaml.

    Returns:
        The name of its section, and a sentence with both values; None when nothing differs.
    """
    now = record_of(tree, list(record))
    for name, then in record.items():
        said = _difference(name, then, now[name])
        if said is not None:
            return name, said
    return None


def _difference(name: str, then: Any, now: Any) -> str | None:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in [*then, *(key for key in now if key not in then)]:
            said = _difference(f"{name}.{key}", then.get(key, _NOTHING), now.get(key, _NOTHING))
            if said is not None:
                return said
        return None
    return None if then == now else f"{name} = {then}, but params.yaml says {now}"


class _Nothing:
    """What stands for a parameter that is not there."""

    def __str__(self) -> str:
        return "nothing (its default)"


_NOTHING = _Nothing()


def _value(tree: Mapping[str, Any], name: str) -> Any:
    section, _, entry = name.partition(".")
    found = tree.get(section)
    if not entry:
        return found
    return found.get(entry) if isinstance(found, Mapping) else None


def merged(*records: Mapping[str, Any]) -> Record:
    """The records of several results as one; each parameter once."""
    return {name: value for record in records for name, value in record.items()}


def carried(found: Mapping[str, Any], where: object, again: str) -> Record:
    """The record that a result carries.

    Args:
        found: what was read: a file of JSON, or a model's header.
        where: its file, for messages.
        again: the stage that writes it.

    Raises:
        InputError: it carries none.
    """
    record = found.get(MADE_WITH)
    if not isinstance(record, Mapping):
        raise InputError(
            f"{where}: does not say what it was made with, as it does since this release; run "
            f"{again} again"
        )
    return dict(record)
