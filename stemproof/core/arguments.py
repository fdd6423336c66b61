"""What stands on a stage's command line: names and seeds, as files are named after them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from stemproof.core.errors import InputError
from stemproof.core.params import Name, Seed, clause, short

SEEDS = "; train.seeds holds whole numbers from 0 to 2147483647"


def checked_name(text: str, option: str = "--system") -> str:
    """A name on a stage's command line, of a system or of a folder of claims.

    Args:
        text: the name.
        option: what it was given to.

    Raises:
        InputError: it is none.
    """
    return _checked(Name, text, option)


def checked_seed(text: str | int) -> int:
    """A training seed on a stage's command line, in the spelling that files are named by.

    Raises:
        InputError: it is none, or spelled in another way than DVC spells the number.
    """
    plain = str(text).isascii() and str(text).isdecimal() and str(int(text)) == str(text)
    return _checked(Seed, int(text) if plain else str(text), "--seed", SEEDS)


def _checked(kind: Any, value: Any, where: str, hint: str = "") -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        said = clause(error.errors()[0])
        raise InputError(f"{where} = {short(value)} is not allowed: {said}{hint}") from None
