from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, default_tree, merged

from stemproof.core.errors import InputError
from stemproof.params import Params, load_params


def test_defaults_are_the_papers_recipe() -> None:
    params = load_params(ROOT / "params.yaml")
    assert (params.data.sample_rate, params.segments.seconds) == (44_100, 1.0)
    assert (params.model.channels, params.model.kernel, params.model.hop) == (800, 2048, 256)
    train = params.train
    assert (train.batch_size, train.learning_rate, train.epochs) == (8, 1e-4, 8)
    assert (train.noise, train.regularizer, train.regularizer_weight) == (1e-4, "tv", 0.5)
    assert params.segments.train_overlap == 0.5
    assert params.systems == ["baseline", "improved"]


def test_every_parameter_line_has_a_comment() -> None:
    for line in (ROOT / "params.yaml").read_text().splitlines():
        is_leaf = line.strip() and not line.strip().startswith("#") and line.startswith("  ")
        if is_leaf and not line.rstrip().endswith(":"):
            assert "#" in line or line.strip().endswith("{}"), line


def load_changed(tmp_path: Path, changes: dict[str, Any]) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(merged(default_tree(), changes)))
    return load_params(path)


def test_scientific_notation_that_yaml_reads_as_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("eps: 0.003", "eps: 1e-05"))
    assert isinstance(yaml.safe_load(path.read_text())["attack"]["eps"], str)
    assert load_params(path).attack.eps == 1e-5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attack": {"eps": -0.1}}, ["attack.eps", "-0.1", "greater than or equal to 0"]),
        ({"attack": {"epz": 1}}, ["unknown parameter attack.epz", "did you mean `eps`"]),
        ({"attak": {}}, ["unknown parameter attak", "`attack`"]),
        ({"attack": {"steps": 2.5}}, ["attack.steps", "2.5", "integer"]),
        ({"attack": {"eps": True}}, ["eps must be a number"]),
        ({"attack": {"norm": "l3"}}, ["attack.norm", "'l3'", "'linf', 'l2' or 'l0'"]),
        ({"attack": {"source": "other"}}, ["attack.source", "baseline, improved"]),
        (
            {"attack": {"loss": "output_distance", "random_start": False}},
            ["output_distance", "random_start = true"],
        ),
        ({"train": {"learning_rate": float("nan")}}, ["train.learning_rate", "finite"]),
        ({"model": {"hop": 4096}}, ["hop = 4096", "kernel = 2048"]),
        ({"variants": {"baseline": {"dropout_at_test": True}, "improved": {}}}, ["above 0"]),
        (
            {"variants": {"baseline": {}, "improved": {"attention": {"head": 2}}}},
            ["unknown parameter variants.improved.attention.head", "`heads`"],
        ),
        (
            {"variants": {"baseline": {}, "improved": {"published": "a", "dropout": 0.1}}},
            ["a published model and the STFT are not trained: no other settings"],
        ),
        (
            {"variants": {"baseline": {}, "improved": {}, "x": {"stft": True, "dropout": 0.1}}},
            ["variants.x", "no other settings"],
        ),
        (
            {"attack": {"eot_samples": 2, "method": "search"}},
            ["eot_samples works with method = pgd"],
        ),
        ({"attack": {"method": "minimal", "loss": "mse"}}, ["set loss = si_sdr"]),
        ({"attack": {"samples": 50_000}}, ["attack.samples = 50000, but a segment has 44100"]),
        ({"train": {"seeds": []}}, ["train.seeds", "at least 1 item"]),
        ({"train": {"seeds": [1, 1]}}, ["train.seeds", "named twice"]),
        ({"attack": {"method": "sparse"}}, ["method = sparse works with norm = l0, not linf"]),
        ({"attack": {"norm": "l0"}}, ["method = pgd works with norm = linf or l2, not l0"]),
        ({"attack": {"method": "universal", "norm": "l2"}}, ["norm = linf, not l2"]),
        ({"attack": {"method": "fgsm", "loss": "output_distance"}}, ["has no gradient"]),
        ({"ablations": ["nothing"]}, ["nothing", "not under variants"]),
        ({"ablations": ["baseline"]}, ["stage of its own"]),
        ({"variants": {"baseline": {}}}, ["`improved` must be among the variants"]),
    ],
)
def test_bad_parameters_are_named(tmp_path: Path, changes: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(InputError) as error:
        load_changed(tmp_path, changes)
    for part in said:
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_and_broken_yaml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")


def test_the_tree_is_frozen() -> None:
    params = load_params(ROOT / "params.yaml")
    with pytest.raises(Exception, match="frozen"):
        params.attack.eps = 1.0  # type: ignore[misc]


def test_unknown_variant() -> None:
    with pytest.raises(InputError, match="unknown variant `x`.*baseline, improved"):
        load_params(ROOT / "params.yaml").variant("x")
