"""Parameters: what a stage declares is checked and every mistake named; the rest is ignored."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, AllParams, default_tree, merged
from pydantic import Field

from stemproof.core.errors import InputError
from stemproof.core.params import (
    Name,
    Section,
    Sections,
    TrainParams,
    first_difference,
    load_params,
)
from stemproof.core.sections import SECTIONS
from stemproof.data.params import SegmentParams
from stemproof.separators.registry import entry

MakeParams = Callable[..., AllParams]


def test_defaults_are_the_papers_recipe() -> None:
    params = load_params(AllParams, ROOT / "tests/params.yaml")
    assert (params.data.sample_rate, params.segments.seconds) == (44_100, 1.0)
    sizes, recipe = params.rsvm.sizes, params.rsvm.training
    assert (sizes.channels, sizes.kernel, sizes.hop) == (800, 2048, 256)
    assert (recipe.batch_size, recipe.learning_rate, recipe.epochs) == (8, 1e-4, 8)
    assert (recipe.noise, recipe.regularizer, recipe.regularizer_weight) == (1e-4, "tv", 0.5)
    assert params.segments.train_overlap == 0.5
    assert params.systems == ["baseline", "improved"]


def test_every_parameter_line_has_a_comment() -> None:
    for line in (ROOT / "params.yaml").read_text().splitlines():
        is_leaf = line.strip() and not line.strip().startswith("#") and line.startswith("  ")
        is_item = line.strip().startswith("- ")  # of a list, whose own line has the comment
        if is_leaf and not is_item and not line.rstrip().endswith(":"):
            assert "#" in line or line.strip().endswith("{}") or "kind: " in line, line


def test_every_section_is_known_and_no_other(tmp_path: Path) -> None:
    assert list(yaml.safe_load((ROOT / "params.yaml").read_text())) == list(SECTIONS)
    for changes, said in (
        ({"atack": {"eps": 1}}, "unknown section 'atack', did you mean `attack`?; nothing reads"),
        ({"mine": {}}, "unknown section 'mine'; nothing reads it: take it out"),
        ({"a": 1, "b": 1, "c": 1, "d": 1}, "'a'; 'b'; 'c' and 1 more; nothing reads it"),
        ({7: 1}, "unknown section '7'"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            load_changed(tmp_path, changes)


def load_changed(tmp_path: Path, changes: dict[str, Any]) -> AllParams:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(merged(default_tree(), changes)))
    params = load_params(AllParams, path)
    for name in params.separators:  # entries are checked by their kinds, when they are asked for
        entry(params.separators, name)
    return params


def test_scientific_notation_that_yaml_reads_as_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    text = yaml.safe_dump(default_tree()).replace("eps: 0.003", "eps: 1e-05")
    path.write_text(text)
    assert isinstance(yaml.safe_load(path.read_text())["attack"]["eps"], str)
    assert load_params(AllParams, path).attack.eps == 1e-5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attack": {"eps": -0.1}}, ["attack.eps", "-0.1", "greater than or equal to 0"]),
        ({"attack": {"epz": 1}}, ["unknown parameter attack.epz", "did you mean `eps`"]),
        ({"attack": {"pgd": {"step": 1}}}, ["unknown parameter attack.pgd.step", "`steps`"]),
        (
            {"rsvm": {"training": {"epoch": 1}}},
            ["unknown parameter rsvm.training.epoch", "`epochs`"],
        ),
        ({"attack": {"pgd": {"steps": 2.5}}}, ["attack.pgd.steps", "2.5", "integer"]),
        ({"attack": {"eps": True}}, ["attack: eps must be a number, not true"]),
        ({"attack": {"seed": False}}, ["attack: seed must be a number, not false"]),
        ({"train": {"seeds": [1, True]}}, ["train: seeds must be a number, not true"]),
        ({"audit": {"minimal_drops": [1, True]}}, ["audit: minimal_drops must be a number"]),
        ({"attack": {"norm": "l3"}}, ["attack.norm", "'l3'", "'linf', 'l2' or 'l0'"]),
        ({"attack": {"source": "other"}}, ["unknown parameter attack.source"]),
        (
            {"attack": {"loss": "output_distance", "pgd": {"random_start": False}}},
            ["output_distance", "random_start = true"],
        ),
        (
            {"rsvm": {"training": {"learning_rate": float("nan")}}},
            ["rsvm.training.learning_rate = nan", "finite"],
        ),
        ({"attack": {"eps": float("inf")}}, ["attack.eps = inf"]),
        ({"attack": {"eps": "nan"}}, ["attack: eps must be a number, not the text 'nan'"]),
        ({"audit": {"minimal_drops": [float("nan")]}}, ["audit.minimal_drops.0 = nan", "finite"]),
        ({"rsvm": {"sizes": {"hop": 4096}}}, ["hop = 4096", "kernel = 2048"]),
        ({"separators": {"x": {"kind": "rsvm", "dropout_at_test": True}}}, ["above 0"]),
        (
            {"separators": {"x": {"kind": "rsvm", "attention": {"head": 2}}}},
            ["separators.x: unknown parameter attention.head", "`heads`"],
        ),
        (
            {"separators": {"x": {"kind": "rsvm", "dropout": True}}},
            ["separators.x: dropout must be a number, not true"],
        ),
        (
            {
                "separators": {
                    "x": {
                        "kind": "rsvm",
                        "published": {"identity": "a", "sha256": 64 * "0"},
                        "dropout": 0.1,
                    }
                }
            },
            ["separators.x: a published model is not trained: it has no other settings"],
        ),
        (
            {"separators": {"x": {"kind": "stft", "dropout": 0.1}}},
            ["separators.x: unknown parameter dropout"],
        ),
        ({"separators": {"x": {"kind": "none"}}}, ["separators.x.kind: unknown kind 'none'"]),
        ({"separators": {"x": {}}}, ["separators.x.kind: unknown kind ''"]),
        ({"separators": {}}, ["separators", "at least 1 item"]),
        ({"attack": {"method": "minimal", "loss": "mse"}}, ["works with loss = si_sdr"]),
        ({"train": {"seeds": []}}, ["train.seeds", "at least 1 item"]),
        ({"train": {"seeds": [1, 1]}}, ["train.seeds", "named twice"]),
        ({"train": {"seeds": [-1]}}, ["train.seeds.0 = -1", "greater than or equal to 0"]),
        ({"train": {"seeds": [2**31]}}, ["train.seeds.0", "less than 2147483648"]),
        ({"train": {"seeds": 218}}, ["train.seeds = 218", "list"]),
        ({"train": None}, ["train = None is not allowed: a section was expected, lines of `key"]),
        ({"rsvm": {"sizes": [1]}}, ["rsvm.sizes = [1] is not allowed: a section was expected"]),
        ({"attack": {"method": "sparse"}}, ["method = sparse works with norm = l0, not linf"]),
        ({"attack": {"norm": "l0"}}, ["method = pgd works with norm = linf or l2, not l0"]),
        ({"attack": {"method": "universal", "norm": "l2"}}, ["norm = linf, not l2"]),
        ({"attack": {"method": "fgsm", "loss": "output_distance"}}, ["has no gradient"]),
        ({"systems": ["Baseline!"]}, ["systems.0 = 'Baseline!'", "small letters, digits"]),
        ({"workers": {"scheduler": "here"}}, ["workers.scheduler = 'here'"]),
    ],
)
def test_bad_parameters_are_named(tmp_path: Path, changes: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(InputError) as error:
        load_changed(tmp_path, changes)
    for part in said:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    changes = {
        "attack": {"epz": 1, "eps": 2, "pgd": {"steps": "many"}},
        "train": {"seeds": []},
        "runtime": {"threads": 0},
    }
    with pytest.raises(InputError) as error:
        load_changed(tmp_path, changes)
    for part in ("epz", "attack.eps = 2", "pgd.steps = 'many'", "train.seeds", "runtime.threads"):
        assert part in str(error.value)
    assert str(error.value).count("; ") == 4
    assert str(error.value).startswith(f"{tmp_path}/params.yaml: ")
    assert "\n" not in str(error.value)


class Small(Sections):
    train: TrainParams
    segments: SegmentParams


def test_sections_that_are_not_declared_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    tree = copy.deepcopy(default_tree())
    tree |= {"attack": {"eps": "broken"}, "rsvm": None}
    del tree["audit"]
    path.write_text(yaml.safe_dump(tree))
    assert load_params(Small, path).train.seeds == [218]
    tree["train"] = {"seeds": []}
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(InputError) as error:
        load_params(Small, path)
    assert "train.seeds" in str(error.value)
    assert "attack" not in str(error.value)


def test_a_section_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("trian: {seeds: [1]}\nsegments: {}\n")
    with pytest.raises(InputError, match="params.yaml: train is missing; did you mean it by `tri"):
        load_params(Small, path)
    path.write_text("5: {seeds: [1]}\n")
    with pytest.raises(InputError, match="params.yaml: train is missing; segments is missing$"):
        load_params(Small, path)
    path.write_text("")
    with pytest.raises(InputError, match="a mapping of sections was expected; restore the file"):
        load_params(Small, path)


def test_a_key_that_is_missing(tmp_path: Path) -> None:
    tree = default_tree()
    tree["rsvm"]["training"]["epoch"] = tree["rsvm"]["training"].pop("epochs")
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(InputError) as error:
        load_params(AllParams, path)
    assert "rsvm.training.epochs is missing" in str(error.value)
    assert "unknown parameter rsvm.training.epoch, did you mean `epochs`?" in str(error.value)


class Inner(Section):
    width: int | None = None
    factors: list[float] = Field(default=[1.0])
    flags: list[bool] = Field(default=[True])
    either: bool | int = 1


class Deep(Section):
    named: dict[Name, Inner] = Field(default={})
    many: list[Inner] = Field(default=[])
    maybe: Inner | None = None


class Nested(Sections):
    deep: Deep


@pytest.mark.parametrize(
    ("deep", "said"),
    [
        (
            {"named": {"a": {"widht": 1}}},
            "unknown parameter deep.named.a.widht, did you mean `width",
        ),
        ({"maybe": {"factor": [1]}}, "unknown parameter deep.maybe.factor, did you mean `factors`"),
        ({"many": [{}, {"widht": 1}]}, "unknown parameter deep.many.1.widht, did you mean `width`"),
        ({"mabye": {}}, "unknown parameter deep.mabye, did you mean `maybe`"),
        ({"zzz": {}}, "unknown parameter deep.zzz"),
        ({"maybe": {"width": True}}, "deep.maybe: width must be a number, not true"),
        ({"maybe": {"factors": [1, False]}}, "deep.maybe: factors must be a number, not false"),
        ({"maybe": {"factors": [1, float("nan")]}}, "deep.maybe.factors.1 = nan is not allowed"),
    ],
)
def test_mistakes_at_any_depth(tmp_path: Path, deep: dict[str, Any], said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"deep": deep}))
    with pytest.raises(InputError) as error:
        load_params(Nested, path)
    assert said in str(error.value)


def test_what_may_be_a_truth_value(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("deep: {maybe: {flags: [false], either: true, factors: [1e-3, 2], width: 3}}")
    found = load_params(Nested, path).deep.maybe
    assert found == Inner(flags=[False], either=True, factors=[1e-3, 2.0], width=3)


def test_missing_file_and_broken_yaml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_params(AllParams, tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not valid YAML"):
        load_params(AllParams, tmp_path / "params.yaml")


def test_the_tree_is_frozen() -> None:
    params = load_params(AllParams, ROOT / "tests/params.yaml")
    with pytest.raises(Exception, match="frozen"):
        params.attack.eps = 1.0
    with pytest.raises(Exception, match="frozen"):
        params.attack = params.attack


def test_unknown_system(make_params: MakeParams) -> None:
    with pytest.raises(InputError, match="unknown separator `x`; params.yaml has baseline, impro"):
        entry(make_params().separators, "x")
    with pytest.raises(InputError, match="unknown separator `baselin`, did you mean `baseline`"):
        entry(make_params().separators, "baselin")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"a": 1, "b": {"c": [1], "d": {"e": 2}}}, None),
        ({"a": 1, "b": {"c": [1], "d": {"e": 2}}, "more": 3}, None),
        ({"a": 1, "b": {"c": [1], "d": {"e": 3}}}, "b.d.e = 3, but params.yaml says 2"),
        ({"a": 1, "b": {"c": [1, 2], "d": {"e": 3}}}, "b.c = [1, 2], but params.yaml says [1]"),
        ({"a": 1, "b": {"c": [1]}}, "b.d = None, but params.yaml says {'e': 2}"),
        ({}, "a = None, but params.yaml says 1"),
    ],
)
def test_the_first_difference_is_named(found: dict[str, Any], said: str | None) -> None:
    assert first_difference(found, {"a": 1, "b": {"c": [1], "d": {"e": 2}}}) == said


@pytest.mark.parametrize(
    ("systems", "said"),
    [
        ([], "systems = [] is not allowed"),
        (["baseline", "baseline"], "systems: a name stands there twice"),
        ("baseline", "systems = 'baseline' is not allowed"),
        (["Base line"], "systems.0 = 'Base line' is not allowed"),
    ],
)
def test_systems_are_a_list_of_different_names(
    make_params: Callable[..., Any], systems: Any, said: str
) -> None:
    with pytest.raises(InputError) as error:
        make_params(systems=systems)
    assert said in str(error.value)
