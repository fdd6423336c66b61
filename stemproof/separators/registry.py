"""From a kind's name to the kind: a module of this room that has a ``KIND``.

There is no list to keep: a kind that is added is no change of the others, and nothing that was
made with them is out of date. It is a module here, and an entry under ``separators``.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from stemproof.core import plugins
from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint, sha256
from stemproof.core.params import Name, Section, validate
from stemproof.separators.kind import Kind
from stemproof.separators.protocol import Separator

# The section `separators`: entries by name, each checked by its kind when it is asked for.
Entries = Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]


ROOM = __name__.rpartition(".")[0]


def find_kind(name: str) -> Kind:
    """The kind of a name.

    Raises:
        InputError: there is none.
    """
    kind = plugins.find(ROOM, name, "KIND")
    if isinstance(kind, Kind):
        return kind
    raise InputError(f"unknown kind {name!r} of separator; there are {', '.join(kinds())}")


def kinds() -> list[str]:
    """The names of all kinds."""
    return plugins.names(ROOM, "KIND")


def code_of(kind: Kind) -> str:
    """A hash of the source of a kind.

    A model file carries it: when the code of its kind changes, the model is made again, and with it
    all that was computed from it.
    """
    room = Path(importlib.import_module(ROOM).__path__[0])
    sources = [*room.glob(f"{kind.name}.py"), *(room / kind.name).rglob("*.py")]
    names = {str(source.relative_to(room)): sha256(source) for source in sources}
    return fingerprint(sorted(names.items()))


def entry(entries: Mapping[str, Mapping[str, Any]], name: str) -> tuple[Kind, Section]:
    """The kind and the checked settings of one entry under ``separators``.

    Raises:
        InputError: there is none of that name, no such kind, or a setting is not allowed.
    """
    if name not in entries:
        close = difflib.get_close_matches(name, list(entries), n=1)
        hint = f", did you mean `{close[0]}`?" if close else ""
        raise InputError(f"unknown separator `{name}`{hint}; params.yaml has {', '.join(entries)}")
    settings = dict(entries[name])
    try:
        found = find_kind(settings.pop("kind", ""))
    except InputError as error:
        raise InputError(f"separators.{name}.kind: {error}") from None
    return found, validate(found.settings, settings, f"separators.{name}")


def oracle(
    entries: Mapping[str, Mapping[str, Any]], name: str, sample_rate: int, device: torch.device
) -> Separator:
    """An entry that needs no training, as a separator.

    Args:
        entries: the section ``separators``.
        name: of the entry.
        sample_rate: of the recordings, in Hz.
        device: where to compute.

    Raises:
        InputError: as :func:`entry`, or the kind has to be trained.
    """
    kind, settings = entry(entries, name)
    if kind.untrained is None:
        raise InputError(f"evaluate.oracle = {name} has to be trained; name one of kind stft")
    model = kind.rebuild(kind.untrained(settings, sample_rate)).to(device)
    return kind.separator(model, "fixed")
