"""Packages of optional extras: imported when they are needed, or one sentence that says how."""

from __future__ import annotations

import importlib
from typing import Any

from stemproof.core.errors import InputError


class MissingExtraError(InputError):
    """Packages of an optional extra are not installed; the message names the pip command."""


def load_extra(module: str, extra: str, what: str) -> Any:
    """Import a module of a package that only an optional extra installs.

    Args:
        module: its full name.
        extra: of this package.
        what: needs it, for the message: ``kind = demucs``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise missing(extra, what) from None


def missing(extra: str, what: str) -> MissingExtraError:
    """What is said where an optional extra is not installed."""
    return MissingExtraError(f"{what} needs more packages: pip install 'stemproof[{extra}]'")
