"""Systems that need no training, from their settings alone: without a stage and prepared data."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from stemproof.core.errors import InputError
from stemproof.core.params import Section, validate
from stemproof.separators.kind import Kind, Made, ReadyFor
from stemproof.separators.protocol import MaskKind, Separator
from stemproof.separators.registry import find_kind, kinds


def kind_of(name: str) -> Kind:
    """The kind of a name.

    Raises:
        InputError: there is none; the message says which one is meant, perhaps.
    """
    known = kinds()
    if name in known:
        return find_kind(name)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean `{close[0]}`?" if close else ""
    raise InputError(f"unknown kind `{name}` of separator{hint}; there are {', '.join(known)}")


def checked(kind: Kind, settings: Mapping[str, Any], where: str) -> Section:
    """Settings of a kind, held against its own section.

    Args:
        kind: of a separator.
        settings: without ``kind``.
        where: what messages begin with.

    Raises:
        InputError: one of them is not allowed.
    """
    return validate(kind.settings, dict(settings), where)


def made_ready(kind: Kind, settings: Section, wanted: ReadyFor) -> Made:
    """A system of a kind, made without a training.

    Args:
        kind: of the separator.
        settings: what :func:`checked` gave.
        wanted: what it is made for.

    Raises:
        InputError: it has to be trained, or its files, packages or settings are not what it needs.
    """
    if kind.ready is None or kind.is_trained(settings):
        has = "weights" in type(settings).model_fields
        other = "give it weights, or " if has and kind.ready is not None else ""
        raise InputError(
            f"{wanted.where}: a system of kind {kind.name} has to be trained first; {other}train "
            "it by dvc repro and name its model file, models/NAME/SEED.safetensors"
        )
    return kind.ready(settings, wanted)


def ready(kind: Kind, settings: Section, wanted: ReadyFor, mask: MaskKind = "fixed") -> Separator:
    """A system of a kind behind the protocol, on the device of ``wanted``.

    Args:
        kind: of the separator.
        settings: what :func:`checked` gave.
        wanted: what it is made for.
        mask: where the mask of an informed system comes from.

    Raises:
        InputError: as :func:`made_ready`.
    """
    made = made_ready(kind, settings, wanted)
    return kind.separator(made.model.to(wanted.device), mask)
