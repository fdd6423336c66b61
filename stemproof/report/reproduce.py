"""How a run is made again: parameters that are not the defaults, commit, hashes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel


def differing(section: BaseModel) -> dict[str, Any]:
    """The parameters of a section that differ from their defaults, or have none.

    Args:
        section: with its values.
    """
    found: dict[str, Any] = {}
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            inside = differing(value)
            if inside:
                found[key] = inside
        elif field.is_required() or value != field.get_default(call_default_factory=True):
            found[key] = section.model_dump(mode="json", include={key})[key]
    return found


def of_run(sections: BaseModel, named: Collection[str]) -> dict[str, Any]:
    """The parameters of a run that are not the defaults.

    Args:
        sections: all of them.
        named: the entries under ``separators`` that the run uses; others change nothing.
    """
    found = differing(sections)
    entries: Mapping[str, Any] = found.get("separators", {})
    used = {name: entry for name, entry in entries.items() if name in named}
    return {**found, "separators": used} if used else found
