"""Where the reference of parameters comes from: comments, docstrings, schemas, dvc.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from stemproof.core.errors import InputError
from stemproof.core.params import Section
from stemproof.report.meanings import attributes, comments, prose
from stemproof.report.ranges import code, words
from stemproof.report.reruns import read_stages, run_again

COMMENTED = """\
# The head of the file.

first:                # a section
  plain: 1            # a number
  text: 'a # b'       #close
  quoted: "x#y"       # "quoted", 'too'
  hash: a#b           # of a text with one
  none:               # nothing there
  flow: {a: 1}        # flow
  empty: []           # no items
  silent: 2
  items:              # of a list
  - 1                 # not of a key
  inner:              # inside
    deep: true        # a | b; c

# Above two keys,
# in two lines.
second: 1
third:
- 2

fourth: 3
fifth: 4              # its own
"""


def test_comments_are_those_behind_keys_or_above_their_paragraph() -> None:
    assert comments(COMMENTED) == {
        "first": "a section",
        "first.plain": "a number",
        "first.text": "close",
        "first.quoted": "\"quoted\", 'too'",
        "first.hash": "of a text with one",
        "first.none": "nothing there",
        "first.flow": "flow",
        "first.empty": "no items",
        "first.items": "of a list",
        "first.inner": "inside",
        "first.inner.deep": "a | b; c",
        "second": "Above two keys, in two lines.",
        "third": "Above two keys, in two lines.",
        "fifth": "its own",
    }
    assert comments("") == comments("# nothing\n") == comments("a: 1\n") == {}


class Base(Section):
    """The base.

    Attributes:
        one: of the base.
        two: of the base, in ``code``
            over: two lines.
    """

    one: int = 1
    two: int = 2


class Extended(Base):
    """It extends :class:`Base`,
    and has

    two paragraphs.

    Attributes:
        two: its own, see :mod:`~stemproof.core`.
        three: last.

    Raises:
        four: no attribute.
    """

    three: int = 3


class Silent(Extended):
    four: int = 4


def test_docstrings_tell_of_fields_and_of_the_model() -> None:
    assert attributes(Base) == {
        "one": "of the base.",
        "two": "of the base, in `code` over: two lines.",
    }
    assert attributes(Silent) == {
        "one": "of the base.",
        "two": "its own, see `stemproof.core`.",
        "three": "last.",
    }
    assert prose(Base) == "The base."
    assert prose(Silent) == "It extends `Base`, and has two paragraphs."


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (int, "integer"),
        (Annotated[int, Field(ge=1)], "integer, at least 1"),
        (Annotated[float, Field(gt=0, lt=1)], "number, above 0, below 1"),
        (Annotated[float, Field(ge=-0.5, le=1e6)], "number, -0.5 to 1000000"),
        (Annotated[int, Field(ge=2, multiple_of=2)], "integer, at least 2, a multiple of 2"),
        (bool, "`true`, `false`"),
        (Literal["a", True, 2], "`a`, `true`, `2`"),
        (Literal["a"], "`a`"),
        (Literal["true"], "`'true'`"),
        (str | None, "text, or `null`"),
        (Path, "path"),
        (Annotated[str, Field(pattern="^[a-z]$")], "text that matches `^[a-z]$`"),
        (Annotated[str, Field(pattern="^a|b$")], "text that matches <code>^a&#124;b$</code>"),
        (
            Annotated[str, Field(pattern=r"^<|\S*$")],
            r"text that matches <code>^&#60;&#124;&#92;S&#42;$</code>",
        ),
        (Annotated[str, Field(min_length=1)], "text, of 1 or more characters"),
        (Annotated[str, Field(max_length=9)], "text, of at most 9 characters"),
        (list[int], "list: integer"),
        (Annotated[list[float], Field(min_length=1, max_length=3)], "list of 1 to 3: number"),
        (dict[str, Any], "mapping"),
        (Base, "section"),
        (Base | None, "section, or `null`"),
    ],
)
def test_words_for_schemas(annotation: Any, said: str) -> None:
    class Model(BaseModel):
        field: annotation

    assert words(Model.model_json_schema()["properties"]["field"]) == said


@pytest.mark.parametrize(
    "annotation",
    [tuple[int, str], dict[str, int], set[int], Annotated[str, Field(json_schema_extra={"a": 1})]],
)
def test_what_has_no_words_is_no_range(annotation: Any) -> None:
    with pytest.raises(ValueError, match="no words for"):
        words(TypeAdapter(annotation).json_schema())


def test_values_are_written_as_in_the_file() -> None:
    values = [None, True, 0.5, 10, "pgd", "", [1, 2], {}, "a|b"]
    assert list(map(code, values)) == [
        "`null`", "`true`", "`0.5`", "`10`", "`pgd`", "`''`", "`[1, 2]`", "`{}`",
        "<code>a&#124;b</code>",
    ]  # fmt: skip


PIPELINE = """\
stages:
  first:
    cmd: python first.py ${data.root}
    params: &all [a, b.c]
  second:
    matrix:
      name: ${names}
      number: [1, 2]
      other: ${others.list}
    cmd: python second.py ${item.name}
    params:
    - entries.${item.name}.${item.other}
    - entries.${which.one}
    - entries.fixed
  third:
    cmd: python third.py
    params: *all
  fourth:
    cmd: python fourth.py
"""


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("a", "`first`, `third`"),
        ("a.any.thing", "`first`, `third`"),
        ("ab", "none"),
        ("b.c", "`first`, `third`"),
        ("b.d", "none"),
        ("b", "`first`, `third`"),
        ("data.root", "`first`"),
        ("data.other", "none"),
        ("names", "for what is added: `second`"),
        ("others.list", "for what is added: `second`"),
        ("which.one", "`second`"),
        ("entries.fixed", "`second`"),
        ("entries.any.x",
         "`second` (where `names` and `others.list` or `which.one` names it)"),
        ("item.name", "none"),
    ],
)  # fmt: skip
def test_stages_run_again_for_what_they_list(tmp_path: Path, key: str, said: str) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(PIPELINE)
    assert run_again(key, read_stages(path)) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\n", "no stages in it; restore the file"),
        ("stages:\n  one: 1\n", "stages.one is no stage with a matrix or without; make it one"),
        ("stages:\n  one:\n    foreach: [1]\n    do: {cmd: x}\n", "stages.one is no stage with a"),
        (
            "stages:\n  one:\n    params:\n    - other.yaml: [a]\n",
            "stages.one.params names another",
        ),
    ],
)
def test_a_pipeline_that_cannot_be_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_stages(path)
