"""Modules of a room, found by name: what is added is a module there, and no list changes."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Any


def find(room: str, name: Any, attribute: str) -> Any:
    """What a module of a room offers under an attribute.

    Args:
        room: the package, by its full name.
        name: of the module; what offers itself under another name is not taken.
        attribute: what to look for in it; it has a ``name``.

    Returns:
        The object, or None when there is no such module or it has no such attribute.
    """
    if not (isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name)):
        return None
    try:
        module = importlib.import_module(f"{room}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{room}.{name}":
            raise
        return None
    found = getattr(module, attribute, None)
    return found if getattr(found, "name", None) == name else None


def names(room: str, attribute: str) -> list[str]:
    """The modules of a room that have the attribute, in alphabetical order."""
    package = importlib.import_module(room)
    modules = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return [name for name in modules if find(room, name, attribute) is not None]
