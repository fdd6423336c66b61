"""Parameters are read as DVC reads them, or refused: files are named after what DVC finds."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import AllParams, default_tree
from dvc.utils.serialize import ParseError
from dvc.utils.serialize import parse_yaml as read_by_dvc
from hypothesis import given, settings
from hypothesis import strategies as st

from stemproof.core.arguments import checked_name, checked_seed
from stemproof.core.errors import InputError
from stemproof.core.params import load_params, read_tree
from stemproof.core.plain_yaml import LARGEST, parse_yaml

MakeParams = Callable[..., AllParams]
DIFFERENT = """
010 0o10 0x1F 0b11 1_000 1e3 1.0e3 1.5E3 12e03 1e+3 yes no on off Yes NO 1:30 1:30.5 190:20:30
08 00 -0o7 +0x1F 1_0.5 0_1 1E400 -_1 01.5 00.5 1__0
"""


def same(first: Any, second: Any) -> bool:
    """Whether two trees are the same, down to the types of their numbers."""
    if isinstance(first, dict) and isinstance(second, dict):
        pairs = zip(first.items(), second.items(), strict=True)
        return len(first) == len(second) and all(same(a, b) for a, b in pairs)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and (
        first == second or (first != first and second != second)
    )


def refused(text: str) -> str | None:
    """The one sentence that refuses a text; None where it is read."""
    try:
        parse_yaml(text, "file")
    except InputError as error:
        said = str(error)
        assert said.startswith("file: ") and "\n" not in said
        return said
    return None


@pytest.mark.parametrize("value", DIFFERENT.split())
def test_what_readers_differ_on_is_refused_by_its_key(value: str) -> None:
    for text, key in (
        (f"train: {{seeds: [{value}]}}", "train.seeds.0"),
        (f"a:\n  b:\n    - 1\n    - {value}\n", "a.b.1"),
        (f"{value}: 1", value),
    ):
        said = refused(text)
        assert said is not None
        assert said.startswith(f"file: {key} = {value}: readers of YAML differ on what that is; wr")
        assert said.endswith(f"a text as '{value}'")
    for quoted in (f"'{value}'", f'"{value}"'):
        assert parse_yaml(f"a: {quoted}", "file") == {"a": value}


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("1e-05", 1e-05),
        ("1.25e1", 12.5),
        ("-3e-7", -3e-07),
        ("1.0e-4", 1e-4),
        ("+.5", 0.5),
        ("0", 0),
        ("-7", -7),
        ("10", 10),
        ("0.003", 0.003),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("y", "y"),
        ("o10", "o10"),
        ("1,000", "1,000"),
        ("v1_0", "v1_0"),
        ("_1", "_1"),
        ("tcp://head:8786", "tcp://head:8786"),
    ],
)
def test_what_all_read_alike_is_read(value: str, meant: Any) -> None:
    found = parse_yaml(f"a: {value}", "file")
    assert same(found, {"a": meant})
    assert same(read_by_dvc(f"a: {value}", "file"), {"a": meant})


def test_numbers_that_dvc_writes_are_read_as_it_reads_them() -> None:
    from dvc.utils.serialize import dumps_yaml

    for value in (1e-5, 3.3e-7, 1e-4, 0.003, 218, -2.5e-05, 1e6, 0.1 + 0.2):
        assert same(parse_yaml(dumps_yaml({"a": value}), "file"), {"a": value})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2\n", "a stands there twice; leave one of them out"),
        ("a: {b: 1, 'b': 2}\n", "a.b stands there twice"),
        ("1: a\n1.0: b\n", "1.0 stands there twice"),
        ("a: !!int '010'\n", "a has the tag tag:yaml.org,2002:int; write it without a tag"),
        ("a: !!str 10\n", "a has the tag"),
        ("a: !!set {x}\n", "a has the tag"),
        ("a: !!python/name:os.system\n", "a has the tag"),
        ("? [a]\n: 1\n", "the whole of it has a key that is no text"),
        ("a:\n &x: \n", "a has a key that is no text"),
        ("a: {&x: 1}\n", "a has a key that is no text"),
        ("a: &b [*b]\n", f"stands for more than {LARGEST} values"),
        ("a:\t1\n", "not valid YAML"),
        ("a:\n\t- 1\n", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("a: 2001-99-99\n", "not valid YAML"),
        ("a: " + "[" * 5000, "not valid YAML"),
    ],
)
def test_what_is_refused_whole(text: str, said: str) -> None:
    found = refused(text)
    assert found is not None and said in found


@pytest.mark.parametrize(
    "text",
    ["{a:, b: 1}", "{a :, b: 1}", "{a:}", "{a b :}", "{a:[1]}", "{a:{b: 1}}", "{? a :, b}",
     "{x: {a:}}", "{x: [1], a :}"],
)  # fmt: skip
def test_a_colon_that_readers_take_for_a_part_of_the_name(text: str) -> None:
    """To DVC ``{eps:}`` is a parameter ``eps:``."""
    said = refused(f"attack: {text}")
    assert said is not None and said.startswith("file: attack.")
    assert said.endswith("the colon belongs to the name; put a space behind it")
    spaced = re.sub(r":(?=[],[{}])", ": ", text)
    assert same(parse_yaml(spaced, "file"), read_by_dvc(spaced, "file"))


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join(10 * [f'*a{n - 1}'])}]" for n in range(1, 30)]
    said = refused("\n".join(lines))
    assert said is not None and f"more than {LARGEST} values" in said


def test_marks_and_merges_are_read_as_dvc_reads_them() -> None:
    for text in ("\ufeffa: 1\n", "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n", "a: &x [1]\nb: *x\n"):
        assert same(parse_yaml(text, "file"), read_by_dvc(text, "file"))
    assert parse_yaml("# nothing\n", "file") is None


# What is likely to be read in two ways: digits and the marks of numbers, words, and structure.
SCALARS = st.one_of(
    st.text("0123456789", max_size=4),
    st.text("01789._:+-eExobaf", min_size=1, max_size=8),
    st.sampled_from(["yes", "No", "on", "OFF", "true", "TRUE", "null", "~", ".inf", ".nan", "<<"]),
    st.text("ab'\"#:,[]{}&*!| ?-\n\t", max_size=6),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
        st.dictionaries(SCALARS, inner, max_size=3).map(
            lambda parts: "{" + ", ".join(f"{key}: {value}" for key, value in parts.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=1000, derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), TREES, max_size=3))
def test_what_is_read_is_what_dvc_reads(parts: dict[str, str]) -> None:
    text = "\n".join(f"{key}: {value}" for key, value in parts.items())
    if refused(text) is not None:
        return
    try:
        theirs = read_by_dvc(text, "file")
    except ParseError:
        return  # before anything runs
    assert same(parse_yaml(text, "file") or {}, theirs)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_file_is_parameters_or_one_sentence(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "params.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(read_tree(path), dict)
    except InputError as error:
        assert str(error).startswith(f"{path}: ") and len(str(error).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": {"seeds": ["010"]}}, "train: seeds must be a number, not the text '010'"),
        ({"train": {"seeds": [218.0]}}, "train.seeds.0 = 218.0 is not allowed"),
        ({"train": {"seeds": [2**62]}}, "train.seeds.0 = 4611686018427387904 is not allowed"),
        ({"train": {"seeds": [-1]}}, "train.seeds.0 = -1 is not allowed"),
        ({"attack": {"eps": "0.003"}}, "attack: eps must be a number, not the text '0.003'"),
        ({"attack": {"rendered": "yes"}}, "attack: rendered must be true or false, not 'yes'"),
        ({"attack": {"rendered": 1}}, "attack: rendered must be true or false, not 1"),
        *(
            ({"systems": [name]}, "systems.0")
            for name in ("../x", "a/b", "..", "a b", "ä", "A", "x" * 300, "", "x\n", "reference")
        ),
        *(
            ({"separators": {name: {"kind": "stft"}}}, f"separators.{name}")
            for name in ("n_seeds", "other_threat", "made_with", "Stft", "a.b")
        ),
    ],
)
def test_names_and_seeds_that_files_are_named_by(
    make_params: MakeParams, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        make_params(**changes)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_seed_on_the_command_line_is_spelled_as_dvc_spells_it() -> None:
    assert checked_seed("218") == 218 and checked_seed("0") == 0
    for text in ("010", "8.0", "1e3", "1_0", "-1", " 8", "٣", "", "0x8", str(2**31)):
        with pytest.raises(InputError, match="--seed = .* is not allowed"):
            checked_seed(text)
    assert checked_name("attention-only") == "attention-only"
    for text in ("../x", "X", "", "reference"):
        with pytest.raises(InputError, match="--system = .* is not allowed"):
            checked_name(text)


def test_the_project_s_own_parameters_mean_the_same_to_dvc(tmp_path: Path) -> None:
    from conftest import ROOT

    for file in (ROOT / "params.yaml", ROOT / "tests/params.yaml"):
        text = file.read_text()
        assert same(read_tree(file), read_by_dvc(text, "file"))
        assert same(read_tree(file), yaml.safe_load(text))
    path = tmp_path / "params.yaml"
    text = yaml.safe_dump(default_tree())
    path.write_text(text.replace("- 218", "- 010"))
    with pytest.raises(InputError, match=r"params.yaml: train.seeds.0 = 010: readers of YAML di"):
        load_params(AllParams, path)
