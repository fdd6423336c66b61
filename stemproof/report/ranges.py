"""Type and range of a parameter in words, from what its model checks."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

ABOUT = ("title", "description", "default")  # parts of a schema that allow and forbid nothing
MARKS = "|\\`*_[]<>&"  # of Markdown and HTML
NOBODY = "?"  # a name that no registry has


def range_of(model: type[BaseModel], name: str, values: Mapping[str, Any]) -> str:
    """What a field may hold, in Markdown.

    Args:
        model: it has the field.
        name: of the field.
        values: of the other fields, all of them allowed.

    Raises:
        ValueError: the field is checked in a way for which there are no words here.
    """
    schema = _properties(model)[name]
    plain = schema.get("items", schema).get("type") == "string"
    return words(schema, _known(model, name, values, "items" in schema) if plain else ())


@functools.cache
def _properties(model: type[BaseModel]) -> dict[str, Any]:
    properties: dict[str, Any] = model.model_json_schema()["properties"]
    return properties


def words(schema: Mapping[str, Any], known: Sequence[str] = ()) -> str:
    """A JSON schema in Markdown.

    Args:
        schema: of a field.
        known: all texts that are allowed, where the schema does not tell.

    Raises:
        ValueError: something is in it for which there are no words here.
    """
    left = {key: value for key, value in schema.items() if key not in ABOUT}
    kind = left.pop("type", "")
    if "anyOf" in left:
        said = ", or ".join(words(part, known) for part in left.pop("anyOf"))
    elif "enum" in left:
        said = ", ".join(map(code, left.pop("enum")))
    elif "const" in left:
        said = code(left.pop("const"))
    elif "$ref" in left:
        del left["$ref"]
        said = "section"
    elif kind == "boolean":
        said = "`true`, `false`"
    elif kind == "null":
        said = "`null`"
    elif kind in ("integer", "number"):
        said = ", ".join([kind, *_bounds(left)])
    elif kind == "string":
        said = ", ".join(_text(left, known))
    elif kind == "array" and "items" in left:
        items = words(left.pop("items"), known)
        said = f"{' '.join(['list', *_length(left, 'minItems', 'maxItems')])}: {items}"
    elif kind == "object" and left.pop("additionalProperties", None) is True:
        said = "mapping"
    else:
        raise ValueError(f"no words for {dict(schema)}")
    if left:
        raise ValueError(f"no words for {left} of {dict(schema)}")
    return said


def code(value: Any) -> str:
    """A value as params.yaml would have it, as code in a cell of a table."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    text = text.removesuffix("\n...").replace("\n", "")
    return _code(text)


def _code(text: str) -> str:
    # Readers of Markdown differ on a bar inside of backticks; outside of them, marks are none.
    if "|" not in text:
        return f"`{text}`"
    return f"<code>{''.join(f'&#{ord(c)};' if c in MARKS else c for c in text)}</code>"


def _bounds(left: dict[str, Any]) -> list[str]:
    low, high = left.pop("minimum", None), left.pop("maximum", None)
    above, below = left.pop("exclusiveMinimum", None), left.pop("exclusiveMaximum", None)
    if low is not None and high is not None:
        said = [f"{_number(low)} to {_number(high)}"]
    else:
        said = [
            f"{word} {_number(bound)}"
            for word, bound in (
                ("at least", low),
                ("above", above),
                ("below", below),
                ("at most", high),
            )
            if bound is not None
        ]
    factor = left.pop("multipleOf", None)
    return said if factor is None else [*said, f"a multiple of {_number(factor)}"]


def _text(left: dict[str, Any], known: Sequence[str]) -> list[str]:
    if known:
        return [code(name) for name in known]
    kind = left.pop("format", "text")
    pattern = left.pop("pattern", None)
    length = " ".join(_length(left, "minLength", "maxLength"))
    return [
        kind if pattern is None else f"{kind} that matches {_code(pattern)}",
        *([f"{length} characters"] if length else []),
    ]


def _length(left: dict[str, Any], least: str, most: str) -> list[str]:
    low, high = left.pop(least, None), left.pop(most, None)
    if low is not None and high is not None:
        return [f"of {low} to {high}"]
    if low is not None:
        return [f"of {low} or more"]
    return [] if high is None else [f"of at most {high}"]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _known(
    model: type[BaseModel], name: str, values: Mapping[str, Any], many: bool
) -> Sequence[str]:
    """The names that a validator allows, by what it says of another one."""
    try:
        model.model_validate({**values, name: [NOBODY] if many else NOBODY})
    except ValidationError as error:
        for problem in error.errors():
            if found := re.search("must be one of (.+)$", problem["msg"]):
                return found[1].split(", ")
    return ()
