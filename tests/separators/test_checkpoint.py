"""Model files: they rebuild themselves from their header, and nothing else passes for one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import default_tree
from safetensors.torch import save_file
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.separators import checkpoint
from stemproof.separators.checkpoint import FORMAT, load, read_header, save
from stemproof.separators.kind import Kind, Made
from stemproof.separators.protocol import MaskKind, redrawn, side_of
from stemproof.separators.registry import entry, find_kind
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.params import RSVMSettings, Sizes

RATE, SAMPLES = 4000, 1000
SIZES = {"channels": 24, "kernel": 128, "hop": 32}
VARIANTS = [name for name, about in default_tree()["separators"].items() if about["kind"] == "rsvm"]


def made(name: str) -> tuple[Kind, nn.Module, Mapping[str, Any]]:
    """An entry of the parameters: its kind, a model, and what is stored to rebuild it."""
    kind, own = entry(default_tree()["separators"], name)
    if kind.untrained is not None:
        settings = kind.untrained(own, RATE)
        return kind, kind.rebuild(settings), settings
    assert isinstance(own, RSVMSettings)
    settings = {
        "sizes": SIZES,
        "variant": own.model_dump(mode="json", exclude_defaults=True),
        "sample_rate": RATE,
        "segment_samples": SAMPLES,
    }
    return kind, build_model(Sizes(**SIZES), own, RATE, SAMPLES, 3), settings


def stored(path: Path, name: str) -> Path:
    kind, model, settings = made(name)
    save(path, kind, model, name, 7, settings, trained=kind.untrained is None)
    return path


def outputs(separator: Any) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    mixture, vocals = torch.randn(2, 2, 1, 2 * SAMPLES, generator=draw)
    side = side_of(separator, mixture, vocals)
    with torch.no_grad():
        return redrawn(separator, [1, 2]).separate(mixture, side)


@pytest.mark.parametrize("mask", ["fixed", "recomputed"])
@pytest.mark.parametrize("name", [*VARIANTS, "stft"])
def test_a_file_rebuilds_the_model(tmp_path: Path, name: str, mask: MaskKind) -> None:
    path = stored(tmp_path / "model.safetensors", name)
    kind, model, settings = made(name)
    header = read_header(path)
    assert (header.kind, header.name, header.seed) == (kind, name, 7)
    assert header.trained == (name != "stft")
    assert header.settings == settings
    expected = kind.separator(model, mask)
    found = load(path, mask, identity=(name, 7))
    assert type(found) is type(expected)
    assert (found.sample_rate, found.channels) == (RATE, 1)
    result = outputs(found)
    assert result.abs().max() > 0
    assert torch.equal(result, outputs(expected))


@pytest.mark.parametrize("name", ["improved", "stft"])
def test_the_same_model_is_the_same_bytes(tmp_path: Path, name: str) -> None:
    first = stored(tmp_path / "a.safetensors", name).read_bytes()
    assert stored(tmp_path / "b.safetensors", name).read_bytes() == first
    # Also when it went through the disk, and its settings come in another order.
    kind, model, settings = made(name)
    model.load_state_dict({key: value.clone() for key, value in model.state_dict().items()})
    shuffled = dict(reversed(list(settings.items())))
    again = tmp_path / "c.safetensors"
    save(again, kind, model, name, 7, shuffled, trained=name != "stft")
    assert again.read_bytes() == first
    save(again, kind, model, name, 8, settings, trained=name != "stft")
    assert again.read_bytes() != first


def test_another_code_of_the_kind_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stored(tmp_path / "a.safetensors", "baseline").read_bytes()
    monkeypatch.setattr(checkpoint, "code_of", lambda kind: "other")
    assert stored(tmp_path / "b.safetensors", "baseline").read_bytes() != first


def test_the_published_model_is_not_trained(tmp_path: Path) -> None:
    kind, model, settings = made("baseline")
    path = tmp_path / "model.safetensors"
    published = {"published": {"identity": "abc", "sha256": "0" * 64}}
    save(path, kind, model, "x", 7, {**settings, "variant": published}, trained=False)
    assert not read_header(path).trained
    assert torch.equal(outputs(load(path)), outputs(kind.separator(model, "fixed")))


# As it was written before there were kinds: texts, and every setting of a variant.
OLD_SETTINGS: dict[str, Any] = {
    "adversarial": None,
    "attention": None,
    "convolution": None,
    "dropout": 0.0,
    "dropout_at_test": False,
    "dropout_kind": "variational",
    "published": None,
    "regularizer": None,
    "stft": False,
}
OLD_IMPROVED = {
    "attention": {"gate": 1.0, "heads": 4, "position": "none", "width": 256},
    "dropout": 0.1,
}


def write_old(path: Path, weights: Mapping[str, Tensor], **settings: Any) -> None:
    header = {
        "variant": "x",
        "seed": "7",
        "settings": json.dumps({**OLD_SETTINGS, **settings}, sort_keys=True),
        "model": json.dumps(SIZES, sort_keys=True),
        "sample_rate": str(RATE),
    }
    save_file(dict(weights), str(path), metadata={"rsvm": json.dumps(header)})


@pytest.mark.parametrize(
    ("settings", "name", "trained"),
    [
        ({}, "baseline", True),
        ({"published": "someone"}, "baseline", False),
        (OLD_IMPROVED, "improved", True),
        ({**OLD_IMPROVED, "dropout_at_test": True}, "mc-dropout", True),
        (
            {
                **OLD_IMPROVED,
                "adversarial": {"eps": 0.1, "steps": 1, "step_size": 1.0, "weight": 2.0},
            },
            "robust",
            True,
        ),
        ({"convolution": {"gate": 1.0, "width": 256}, "dropout": 0.1}, "conv-control", True),
    ],
)
def test_a_file_of_the_old_format_is_read(
    tmp_path: Path, settings: dict[str, Any], name: str, trained: bool
) -> None:
    kind, model, _ = made(name)
    path = tmp_path / "old.safetensors"
    write_old(path, model.state_dict(), **settings)
    header = read_header(path)
    assert (header.kind.name, header.name, header.seed) == ("rsvm", "x", 7)
    assert header.trained == trained
    found = load(path, identity=("x", 7))
    assert torch.equal(outputs(found), outputs(kind.separator(model, "fixed")))


def test_an_old_file_of_the_stft_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    write_old(path, {}, stft=True)
    header = read_header(path)
    assert (header.kind.name, header.trained) == ("stft", False)
    kind = header.kind
    expected = kind.separator(
        kind.rebuild({"window": SIZES["kernel"], "hop": SIZES["hop"], "sample_rate": RATE}),
        "fixed",
    )
    assert torch.equal(outputs(load(path)), outputs(expected))


def with_header(path: Path, header: Any, key: str = "stemproof") -> None:
    text = header if isinstance(header, str) else json.dumps(header)
    save_file({"x": torch.zeros(1)}, str(path), metadata={key: text})


def told(path: Path, act: Callable[[Path], Any]) -> str:
    """The one sentence that refuses a file."""
    with pytest.raises(InputError) as error:
        act(path)
    said = str(error.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


def test_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with_header(path, {"format": FORMAT + 1, "anything": "else"})
    said = told(path, load)
    assert f"format {FORMAT + 1} of a newer release; this one reads up to {FORMAT}" in said


GOOD = {"format": FORMAT, "kind": "stft", "name": "x", "seed": 7, "trained": False}
STFT = {"window": 128, "hop": 32, "sample_rate": RATE}


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "3",
        "null",
        "[]",
        '"text"',
        "[" * 100_000,
        {},
        {"format": "two"},
        {"format": None},
        {"format": FORMAT},
        GOOD,
        {**GOOD, "settings": 3},
        {**GOOD, "settings": "text"},
        {**GOOD, "settings": STFT, "seed": "seven"},
        {**GOOD, "settings": STFT, "seed": float("inf")},
        {**GOOD, "settings": STFT, "seed": None},
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: Any) -> None:
    path = tmp_path / "model.safetensors"
    with_header(path, header)
    said = told(path, read_header)
    assert "its header is not one of this project" in said
    assert said.endswith("delete it and run dvc repro")


@pytest.mark.parametrize(
    "header",
    [
        "{",
        "[]",
        "3",
        {},
        {"settings": "[]", "model": "{}", "sample_rate": "1", "variant": "x", "seed": "1"},
        {"settings": "3", "model": "{}", "sample_rate": "1", "variant": "x", "seed": "1"},
        {"settings": '{"stft": true}', "model": "{}", "sample_rate": "1", "variant": "x"},
        {"settings": "{}", "model": "{}", "sample_rate": "fast", "variant": "x", "seed": "1"},
    ],
)
def test_an_old_header_that_is_none_is_refused(tmp_path: Path, header: Any) -> None:
    path = tmp_path / "model.safetensors"
    with_header(path, header, "rsvm")
    assert "its header is not one of this project" in told(path, read_header)


def test_a_kind_that_there_is_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for kind in ("u-net", "protocol", 3, None):
        with_header(path, {**GOOD, "kind": kind, "settings": STFT})
        said = told(path, read_header)
        assert f"unknown kind {kind!r} of separator; there are " in said


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"window": 128},
        {**STFT, "window": "wide"},
        {**STFT, "hop": 1000},
        {**STFT, "other": 1},
        {**STFT, "sample_rate": "fast"},
        {**STFT, "sample_rate": [1]},
    ],
)
def test_settings_that_rebuild_nothing_are_refused(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "model.safetensors"
    with_header(path, {**GOOD, "settings": settings})
    assert "its weights do not fit its header" in told(path, load)


@pytest.mark.parametrize(
    "change",
    [
        {"sizes": {**SIZES, "channels": 25}},
        {"sizes": {**SIZES, "hop": 0}},
        {"sizes": None},
        {"variant": {"dropout": 2}},
        {"variant": {"unknown": 2}},
        {"variant": {"attention": {"heads": 2, "width": 8}}},
        {"segment_samples": "long"},
    ],
)
def test_weights_of_another_model_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "model.safetensors"
    kind, model, settings = made("baseline")
    save(path, kind, model, "x", 7, {**settings, **change})
    assert "its weights do not fit its header" in told(path, load)


def test_another_identity_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "model.safetensors", "improved")
    for identity in (("baseline", 7), ("improved", 8)):
        said = told(path, lambda file, identity=identity: load(file, identity=identity))
        name, seed = identity
        assert f"holds improved of seed 7, not {name} of seed {seed}" in said
    load(path, identity=("improved", 7))


def test_what_is_no_model_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert "no such model; train it first" in told(path, load)
    whole = stored(path, "improved").read_bytes()
    for content in (b"", b"text" * 100, whole[:5], whole[:100], whole[:-100], b"\xff" * 200):
        path.write_bytes(content)
        assert "not a model file, or truncated" in told(path, load)
    path.unlink()
    path.mkdir()
    assert "a file belongs there" in told(path, load)
    path = tmp_path / "plain.safetensors"
    save_file({"x": torch.zeros(1)}, str(path))
    assert "its header is not one of this project" in told(path, load)


def test_memory_that_is_not_enough_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stored(tmp_path / "model.safetensors", "improved")

    def refused(*arguments: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(checkpoint, "load_file", refused)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        load(path)


def test_a_kind_that_makes_no_separator_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    kind = find_kind("stft")
    save(path, kind, kind.rebuild(STFT), "x", 1, STFT, trained=False)
    monkeypatch.delattr("stemproof.separators.stft.InformedSTFT.channels")
    assert "what the kind stft makes of it is no separator" in told(path, load)


@pytest.mark.parametrize("curves", [[], [{"loss": 1.0}]])
def test_curves_without_an_epoch_are_none(curves: list[dict[str, float]]) -> None:
    with pytest.raises(ValueError, match="each an `epoch`"):
        Made(torch.nn.Identity(), {}, curves)
