"""Weights of demucs: the package's layouts are read, nothing else, and no code is run unasked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from demucs_toys import SOURCES, applied, bag, pickled, store, toy
from safetensors.torch import save_file

from stemproof.core.errors import InputError
from stemproof.core.params import Section
from stemproof.separators import checkpoint
from stemproof.separators.demucs import KIND
from stemproof.separators.kind import Made, Making
from stemproof.separators.protocol import Random, Separator, redrawn
from stemproof.separators.registry import entry, find_kind


def made(weights: Path, **settings: Any) -> Made:
    kind, own = entry({"x": {"kind": "demucs", "weights": str(weights), **settings}}, "x")
    return kind.make(making(own))


def making(own: Section) -> Making:
    nothing: Any = None
    return Making("x", own, 1, nothing, nothing, nothing, nothing, nothing)


def loaded(path: Path, found: Made) -> Separator:
    """Through a model file."""
    checkpoint.save(path, KIND, found.model, "x", 1, found.settings, found.trained)
    return checkpoint.load(path)


def told(weights: Path, **settings: Any) -> str:
    """The one sentence by which weights are refused."""
    with pytest.raises(InputError) as error:
        made(weights, **settings)
    said = str(error.value)
    assert "\n" not in said and str(weights) in said
    return said


def mixture(channels: int = 2) -> torch.Tensor:
    return torch.randn(2, channels, 900, generator=torch.Generator().manual_seed(0))


def bag_in(folder: Path, **changes: Any) -> Path:
    """The bag of the toys as a folder: a YAML file and two models."""
    whole = bag()
    folder.mkdir()
    for name, model in zip("ab", whole.models, strict=True):
        store(folder / f"{name}.safetensors", model)
    about = {"models": ["a", "b"], "weights": whole.weights, **changes}
    path = folder / "both.yaml"
    path.write_text(yaml.safe_dump({key: v for key, v in about.items() if v is not None}))
    return path


@pytest.mark.parametrize("name", ["Demucs", "HDemucs", "HTDemucs"])
def test_a_model_file_holds_all_there_is(tmp_path: Path, name: str) -> None:
    path = store(tmp_path / "own.safetensors", toy(name))
    found = made(path, overlap=0.3, segment=0.2)
    assert (found.trained, found.curves) == (False, [{"epoch": 0}])
    assert json.loads(json.dumps(found.settings)) == found.settings
    path.unlink()
    separator = loaded(tmp_path / "model.safetensors", found)
    wanted = applied(toy(name), mixture(), overlap=0.3, segment=0.2)
    assert torch.allclose(separator.separate(mixture()), wanted, atol=2e-6)
    direct = KIND.separator(found.model, "fixed")
    assert torch.equal(separator.separate(mixture()), direct.separate(mixture()))
    (stored,) = checkpoint.read_header(tmp_path / "model.safetensors").settings["models"]
    assert stored["class"] == name and stored["args"] == [SOURCES]
    again = KIND.rebuild(found.settings).models[0]  # type: ignore[index, union-attr]
    assert again._init_args_kwargs[1] == toy(name)._init_args_kwargs[1]
    assert isinstance(again.segment, Fraction) == (name == "HTDemucs")


def test_half_precision_is_read(tmp_path: Path) -> None:
    model = toy("HDemucs").half()
    found = made(store(tmp_path / "half.safetensors", model))
    output = KIND.separator(found.model, "fixed").separate(mixture())
    assert torch.allclose(output, applied(model.float(), mixture()), atol=2e-6)


@pytest.mark.parametrize("shifts", [0, 1])
@pytest.mark.parametrize("named", ["bag", "folder"])
def test_a_bag_is_read(tmp_path: Path, named: str, shifts: int) -> None:
    path = bag_in(tmp_path / "bag", segment=0.3)
    found = made(path if named == "bag" else path.parent, shifts=shifts)
    shutil.rmtree(path.parent)
    separator = loaded(tmp_path / "model.safetensors", found)
    assert isinstance(separator, Random) == (shifts > 0)
    if not shifts:
        wanted = applied(bag(segment=0.3), mixture())
        assert torch.allclose(separator.separate(mixture()), wanted, atol=2e-6)
    direct = redrawn(KIND.separator(found.model, "fixed"), [1, 2])
    assert torch.equal(redrawn(separator, [1, 2]).separate(mixture()), direct.separate(mixture()))


def test_a_model_whose_vocals_do_not_count_is_left_out(tmp_path: Path) -> None:
    rows = [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    found = made(bag_in(tmp_path / "bag", weights=rows))
    assert [about["class"] for about in found.settings["models"]] == ["HTDemucs"]
    whole = bag()
    whole.weights = rows
    output = KIND.separator(found.model, "fixed").separate(mixture())
    assert torch.allclose(output, applied(whole, mixture()), atol=2e-6)


def test_a_bag_without_weights_is_a_mean(tmp_path: Path) -> None:
    found = made(bag_in(tmp_path / "bag", weights=None))
    assert found.settings["weights"] == [1.0, 1.0]


def test_the_model_of_a_folder_is_read(tmp_path: Path) -> None:
    store(tmp_path / "a.safetensors", toy("Demucs"))
    assert made(tmp_path).settings["models"][0]["class"] == "Demucs"
    store(tmp_path / "b.safetensors", toy("HDemucs"))
    assert "found a.safetensors, b.safetensors; name the file" in told(tmp_path)
    assert "one model (.safetensors, .th) was expected in it, found none" in told(
        empty(tmp_path / "empty")
    )


def empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


class Payload:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def test_no_pickle_is_loaded_unasked(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = pickled(tmp_path / "own.th", toy("HDemucs"), training_args=Payload(trace))
    sentence = (
        f"{path}: a pickle, and to load one is to run whatever code is in it; name a .safetensors "
        "file, or, if you trust its origin, set separators.x.allow_pickle to true"
    )
    assert told(path) == sentence
    assert told(path, allow_pickle=False) == sentence
    # Under another name it is not taken for one, and not loaded either.
    for name in ("own.safetensors", "own.pt", "own.yaml"):
        shutil.copy(path, tmp_path / name)
        told(tmp_path / name)
        (tmp_path / name).unlink()
    # Nor as the only file of a folder, or as a model of a bag.
    with pytest.raises(InputError, match=r"own.th: a pickle, .*allow_pickle to true"):
        made(tmp_path)
    (tmp_path / "bag.yaml").write_text("models: [own]")
    with pytest.raises(InputError, match=r"own.th: a pickle, .*allow_pickle to true"):
        made(tmp_path / "bag.yaml")
    assert not trace.exists()
    made(path, allow_pickle=True)
    assert trace.exists()  # it would have been seen


@pytest.mark.parametrize("value", ["yes", "true", 1, "on", None])
def test_to_allow_pickles_takes_the_very_word(tmp_path: Path, value: Any) -> None:
    path = pickled(tmp_path / "own.th", toy("HDemucs"))
    with pytest.raises(InputError, match="separators.x: allow_pickle (=|must be true or false)"):
        made(path, allow_pickle=value)


def test_a_pickle_that_is_allowed_is_read(tmp_path: Path) -> None:
    path = pickled(tmp_path / "own.th", toy("HTDemucs"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    path = path.rename(tmp_path / f"own-{digest}.th")
    (tmp_path / "bag.yaml").write_text("models: [own]")
    for weights in (path, tmp_path / "bag.yaml"):
        found = made(weights, allow_pickle=True)
        output = KIND.separator(found.model, "fixed").separate(mixture())
        assert torch.allclose(output, applied(toy("HTDemucs"), mixture()), atol=2e-6)
    with path.open("ab") as stream:
        stream.write(b"x")
    said = told(path, allow_pickle=True)
    assert f"its SHA-256 does not begin with {digest}, as its name says" in said


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: path.write_bytes(b""), "not a pickle that can be loaded"),
        (lambda path: path.write_bytes(b"text" * 100), "not a pickle that can be loaded"),
        (lambda path: torch.save([1], path), "it holds no model of demucs (list)"),
        (lambda path: torch.save({"klass": dict}, path), "it holds no model of demucs (dict)"),
        (
            lambda path: pickled(path, toy("HDemucs"), klass=torch.nn.Linear),
            "it holds no model of demucs",
        ),
        (
            lambda path: pickled(path, toy("HDemucs"), state={"__quantized": True}),
            "its weights are quantised",
        ),
        (lambda path: pickled(path, toy("HDemucs"), state={}), "its arguments and weights make no"),
        (lambda path: pickled(path, toy("HDemucs"), args=None), "its arguments and weights make"),
    ],
)
def test_other_pickles_are_refused(tmp_path: Path, write: Callable[[Path], Any], said: str) -> None:
    path = tmp_path / "own.th"
    write(path)
    assert said in told(path, allow_pickle=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"klass": None}, "its metadata have no klass; a model in the layout of demucs 4.1"),
        ({"args": None, "kwargs": None}, "its metadata have no args, kwargs"),
        ({"klass": "demucs.hdemucs.MultiWrap"}, "is none of demucs.demucs.Demucs, "),
        ({"klass": "HDemucs"}, "its class is HDemucs, which is none of"),
        ({"klass": "demucs.htdemucs.HTDemucs"}, "its arguments and weights make no model"),
        ({"args": "[", "kwargs": "{}"}, "its arguments and weights make no model (JSONDecode"),
        ({"args": "3"}, "its arguments and weights make no model (TypeError"),
        ({"kwargs": json.dumps({"depth": "two"})}, "its arguments and weights make no model"),
        ({"kwargs": json.dumps({"wiener_iters": 2})}, "its arguments and weights make no model"),
        ({"structure": "{}"}, "its weights are quantised, which needs a package of its own"),
    ],
)
def test_other_safetensors_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = store(tmp_path / "own.safetensors", toy("HDemucs"), **changes)
    assert said in told(path)


def test_what_metadata_name_is_not_called(tmp_path: Path) -> None:
    """The package's own loader would call it."""
    trace = tmp_path / "trace"
    path = tmp_path / "own.safetensors"
    for about in (
        {"klass": "os.mkdir", "args": json.dumps([str(trace)]), "kwargs": "{}"},
        {"klass": "demucs.repo.sha256", "args": "[]", "kwargs": "{}"},
        {
            "klass": "demucs.hdemucs.HDemucs",
            "args": "[]",
            "kwargs": "{}",
            "structure": json.dumps({"_class": "this.s"}),
        },
    ):
        save_file({"x": torch.zeros(1)}, str(path), about)
        told(path)
    assert not trace.exists() and "this" not in sys.modules


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    for name in ("own.safetensors", "own.th"):
        assert "no such file; separators.NAME.weights is a path" in told(tmp_path / name)
    assert "no such file" in told(tmp_path / "own.yaml")
    said = told(tmp_path / "htdemucs")
    assert "no model of demucs by its name; separators.x.weights must be" in said
    path = tmp_path / "own.safetensors"
    whole = store(path, toy("HDemucs")).read_bytes()
    for content in (b"", b"text" * 100, whole[:5], whole[:100], whole[:-100], b"\xff" * 200):
        path.write_bytes(content)
        assert "not a safetensors file, or truncated" in told(path)
    save_file({"x": torch.zeros(1)}, str(path))
    assert "its metadata have no klass, args, kwargs" in told(path)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("models: [a", "not valid YAML"),
        ("- a", "a mapping of sections was expected"),
        ({}, "models is missing"),
        ({"models": []}, "models = [] is not allowed"),
        ({"models": [3]}, "models.0 = 3 is not allowed"),
        ({"models": ["../a"]}, "models.0 = '../a' is not allowed"),
        ({"models": ["a"], "weigths": [[1, 1, 1]]}, "weigths, did you mean `weights`?"),
        ({"models": ["a"], "weights": [[1, 1]]}, "weights must have 1 row(s), one a model, of 3"),
        ({"models": ["a"], "weights": [[1, 1, 1]] * 2}, "weights must have 1 row(s)"),
        ({"models": ["a"], "weights": [[1, 1, 0]]}, "the weights of vocals are [0.0]; none may"),
        ({"models": ["a", "a"], "weights": [[1, 1, 2], [1, 1, -1]]}, "the weights of vocals are"),
        ({"models": ["a"], "weights": [[1, 1, float("nan")]]}, "weights.0.2 = nan is not allowed"),
        ({"models": ["a"], "segment": 0}, "segment = 0 is not allowed"),
        ({"models": ["a", "mono"]}, "mono has audio_channels = 1, but a has 2; a bag is of models"),
        ({"models": ["a", "fast"]}, "fast has samplerate = 3000, but a has 1000"),
        ({"models": ["a", "few"]}, "few has sources = ['vocals'], but a has"),
    ],
)
def test_other_bags_are_refused(tmp_path: Path, about: Any, said: str) -> None:
    store(tmp_path / "a.safetensors", toy("HDemucs"))
    if isinstance(about, dict):
        for name, changes in {"mono": {"audio_channels": 1}, "fast": {"samplerate": 3000}}.items():
            if name in about.get("models", []):
                store(tmp_path / f"{name}.safetensors", toy("HDemucs", **changes))
        few = type(toy("HDemucs"))(["vocals"], **toy("HDemucs")._init_args_kwargs[1])
        store(tmp_path / "few.safetensors", few)
    path = tmp_path / "bag.yaml"
    path.write_text(about if isinstance(about, str) else yaml.safe_dump(about))
    assert said in told(path)


def test_the_models_of_a_bag_lie_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "bag.yaml"
    path.write_text("models: [a]")
    with pytest.raises(InputError, match=r"the model a needs the file a.safetensors, .*found none"):
        made(path)
    for name in ("a-00000000.th", "a-11111111.th"):
        pickled(tmp_path / name, toy("HDemucs"))
    with pytest.raises(InputError, match=r"found a-00000000.th, a-11111111.th"):
        made(path, allow_pickle=True)
    store(tmp_path / "a.safetensors", toy("HDemucs"))
    made(path)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("HTDemucs", {"t_sin_random_shift": 3}, "it draws random positions at test time"),
        ("HTDemucs", {"t_sparse_self_attn": True}, "its attention is sparse"),
        ("HDemucs", {"cac": False}, "its Wiener filter works in place"),
        ("HDemucs", {"segment": 0}, "its segment = 0 is no number of seconds"),
        ("HDemucs", {"samplerate": 1000.0}, "its samplerate = 1000.0 is no whole number above 0"),
    ],
)
def test_a_model_that_is_no_separator_here_is_refused(
    tmp_path: Path, name: str, changes: dict[str, Any], said: str
) -> None:
    assert said in told(store(tmp_path / "own.safetensors", toy(name, **changes)))


def test_a_model_without_vocals_is_refused(tmp_path: Path) -> None:
    own = toy("HDemucs")
    other = type(own)(["drums", "bass"], **own._init_args_kwargs[1])
    said = told(store(tmp_path / "own.safetensors", other))
    assert "its sources are drums, bass; it has no vocals; name another model" in said


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    own = toy("HDemucs")
    next(own.parameters()).data[0] = float("nan")
    assert "not finite" in told(store(tmp_path / "own.safetensors", own))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"segment": 0.5}, "separators.x.segment = 0.5, but a model with attention takes at most"),
        ({"segment": 0.0005}, "separators.x: a window of 0 samples with an overlap of 0.25 does"),
        ({"overlap": 1}, "separators.x: overlap = 1 is not allowed"),
        ({"overlap": -0.1}, "separators.x: overlap = -0.1 is not allowed"),
        ({"shifts": -1}, "separators.x: shifts = -1 is not allowed"),
        ({"shifts": True}, "shifts must be a number"),
        ({"weight": "x"}, "unknown parameter weight, did you mean `weights`?"),
    ],
)
def test_settings_that_are_none_are_refused(
    tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    path = store(tmp_path / "own.safetensors", toy("HTDemucs"))
    with pytest.raises(InputError) as error:
        made(path, **settings)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"class": "Linear"},
        {"class": "HTDemucs"},
        {"args": [["vocals"]]},
        {"args": 3},
        {"kwargs": {"depth": 3}},
        {"kwargs": {"unknown": 3}},
        {"kwargs": {"hybrid": False, "hybrid_old": True}},
        {"segment": {"_type": "fraction", "numerator": 1, "denominator": 0}},
    ],
)
def test_a_model_file_rebuilds_nothing_else(tmp_path: Path, change: dict[str, Any]) -> None:
    found = made(store(tmp_path / "own.safetensors", toy("HDemucs")))
    settings = {**found.settings, "models": [{**found.settings["models"][0], **change}]}
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="its weights do not fit its header"):
        loaded(path, Made(found.model, settings, found.curves, trained=False))


@pytest.mark.slow
def test_the_package_is_needed_only_to_make_and_to_load(tmp_path: Path) -> None:
    path = store(tmp_path / "own.safetensors", toy("HDemucs"))
    model = tmp_path / "model.safetensors"
    loaded(model, made(path))
    script = f"""
import sys
from pathlib import Path
sys.modules["demucs"] = None
from stemproof.core.errors import InputError
from stemproof.separators import checkpoint
from stemproof.separators.kind import Making
from stemproof.separators.registry import entry, kinds
assert "demucs" in kinds()
kind, own = entry({{"x": {{"kind": "demucs", "weights": {str(path)!r}}}}}, "x")
assert kind.extra == "demucs" and not kind.is_trained(own)
assert checkpoint.read_header(Path({str(model)!r})).kind is kind
for act in (
    lambda: kind.make(Making("x", own, 1, *[None] * 5)),
    lambda: checkpoint.load(Path({str(model)!r})),
):
    try:
        act()
    except InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = "kind = demucs needs more packages: pip install 'stemproof[demucs]'"
    assert done.stdout.splitlines() == [said, f"{model}: {said}"]


def test_the_kind_is_listed() -> None:
    assert find_kind("demucs") is KIND
