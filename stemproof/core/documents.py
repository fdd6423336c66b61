"""JSON of our own that is read back: strict, and held against one model a format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stemproof.core.errors import InputError
from stemproof.core.files import read_json
from stemproof.core.params import problems_of
from stemproof.core.seals import without_seal

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]
ABSENT: Any = Field(default=None)  # of what a file need not have
FIRST = 1  # the format of files that name none
NAMED = 3  # problems that one message names


class Part(BaseModel):
    """A part of a document: types are exact, and numbers finite; other keys are of no interest.

    What may be left out is ``ABSENT``, and no key then: ``null`` is refused.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class GateCheck(Part):
    """One check of the gate before an attack."""

    name: str
    passed: bool
    reason: str


class GateFound(Part):
    """What the gate before an attack found."""

    passed: bool
    checks: list[GateCheck]


class Document(Part):
    """What a file holds.

    ``formats`` are the oldest and the newest that this release reads; ``cure`` is what to do about
    a file that is none.
    """

    formats: ClassVar[tuple[int, int]] = (FIRST, FIRST)
    cure: ClassVar[str] = "run the stage that writes it again"


def read_document(path: Path, model: type[Document]) -> dict[str, Any]:
    """Read a JSON object that has all that its model asks for.

    Args:
        path: the file.
        model: of its format.

    Raises:
        InputError: the file is missing, no JSON, of a format that is not read, or another thing.
    """
    content = read_json(path)
    check_document(path, content, model)
    return content


def read_any(path: Path, model: type[Document]) -> dict[str, Any]:
    """Read a JSON object whose format is one that is read, whatever else is in it.

    Raises:
        InputError: the file is missing, no JSON, or of a format that is not read.
    """
    content = read_json(path)
    _check_format(path, content, model)
    return content


def check_document(path: Path, content: dict[str, Any], model: type[Document]) -> None:
    """Hold what was read against the model of its format.

    Raises:
        InputError: as :func:`read_document`.
    """
    _check_format(path, content, model)
    try:
        model.model_validate(without_seal(content))
    except ValidationError as error:
        problems = problems_of(error, model, None)
        more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise InputError(f"{path}: {'; '.join(problems[:NAMED])}{more}; {model.cure}") from None


def newer(found: Any, newest: int, what: str = "format") -> str | None:
    """What to say of a file that a newer release wrote, of which nothing else is known here.

    Args:
        found: the number that it names; of anything but a whole number nothing is said.
        newest: that this release reads.
        what: the number is of.
    """
    if not isinstance(found, int) or found <= newest:
        return None
    return f"{what} {found} of a newer release; this one reads up to {newest}: update it"


def _check_format(path: Path, content: dict[str, Any], model: type[Document]) -> None:
    found = content.get("format", FIRST)
    oldest, newest = model.formats
    if isinstance(found, bool) or not isinstance(found, int):
        raise InputError(f"{path}: format {found!r} is no number; {model.cure}")
    if said := newer(found, newest):
        raise InputError(f"{path}: {said}")
    if found < oldest:
        raise InputError(f"{path}: format {found}, this one reads from {oldest} on; {model.cure}")
