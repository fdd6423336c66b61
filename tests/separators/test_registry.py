"""From names to kinds: what is there is found, and nothing else is imported."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from conftest import default_tree

from stemproof.core.errors import InputError
from stemproof.core.params import Section
from stemproof.separators import registry
from stemproof.separators.registry import code_of, entry, find_kind, kinds, oracle


def test_every_kind_is_found_by_its_name() -> None:
    assert {"callable", "command", "onnx", "rsvm", "stft"} <= set(kinds())
    for name in kinds():
        kind = find_kind(name)
        assert kind.name == name
        assert issubclass(kind.settings, Section)
        assert kind.summary


@pytest.mark.parametrize(
    "name",
    [
        "",
        "unet",
        "os",
        "sys",
        "../x",
        "x/../stft",
        "/etc/passwd",
        ".stft",
        "..os",
        "rsvm.kind",
        "stft.py",
        "protocol",
        "registry",
        "kind",
        "masks",
        "wrappers",
        "__init__",
        "STFT",
        "stft ",
        "stft\n",
        "\u017ftft",
        "x" * 10_000,
        3,
        None,
        ["stft"],
        {"stft": 1},
    ],
)
def test_any_other_name_is_refused_in_one_sentence(name: Any) -> None:
    known = set(sys.modules)
    with pytest.raises(InputError) as error:
        find_kind(name)
    said = str(error.value)
    assert said == f"unknown kind {name!r} of separator; there are {', '.join(kinds())}"
    assert "\n" not in said
    assert {module for module in set(sys.modules) - known if "stemproof" not in module} == set()


def test_a_kind_that_cannot_import_what_it_needs_says_so(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of its own is no unknown name."""
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there\n")
    room = sys.modules[registry.ROOM]
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        find_kind("broken")


def test_a_module_that_is_added_is_a_kind(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "added.py").write_text(
        "from dataclasses import replace\n"
        "from stemproof.separators.stft import KIND as STFT\n"
        "KIND = replace(STFT, name='added')\n"
    )
    room = sys.modules[registry.ROOM]
    monkeypatch.setattr(room, "__path__", [*room.__path__, str(tmp_path)])
    assert find_kind("added").name == "added"
    monkeypatch.delitem(sys.modules, f"{registry.ROOM}.added")
    monkeypatch.delattr(room, "added")


def test_the_code_of_a_kind_is_its_own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "separators"
    (room / "rsvm").mkdir(parents=True)
    files = [room / "rsvm/kind.py", room / "rsvm/model.py", room / "stft.py", room / "masks.py"]
    for file in files:
        file.write_text("1")
    monkeypatch.setattr(sys.modules[registry.ROOM], "__path__", [str(room)])
    rsvm, stft = (registry_kind(name) for name in ("rsvm", "stft"))
    before = code_of(rsvm), code_of(stft)
    assert before[0] != before[1]
    files[1].write_text("2")
    assert code_of(rsvm) != before[0]
    assert code_of(stft) == before[1]


def registry_kind(name: str) -> Any:
    return sys.modules[f"{registry.ROOM}.{name}"].KIND


@pytest.mark.parametrize("name", list(default_tree()["separators"]))
def test_every_entry_of_the_parameters_is_checked(name: str) -> None:
    tree = default_tree()["separators"]
    kind, settings = entry(tree, name)
    assert kind.name == tree[name]["kind"]
    assert isinstance(settings, kind.settings)
    # What is not trained is there from its settings alone, and only that can be an oracle.
    assert kind.is_trained(settings) or kind.ready is not None
    assert not kind.is_trained(settings) or kind.untrained is None
    assert "kind" in tree[name]  # the tree itself is left as it is


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({}, "separators.x.kind: unknown kind '' of separator; there are "),
        ({"kind": "os"}, "separators.x.kind: unknown kind 'os' of separator"),
        ({"kind": None}, "separators.x.kind: unknown kind None of separator"),
        ({"kind": "stft", "windw": 3}, "separators.x: unknown parameter windw, did you mean"),
        ({"kind": "stft", "window": 1}, "separators.x: window = 1 is not allowed"),
        (
            {"kind": "stft", "window": 4, "hop": 8},
            "separators.x: hop = 8 must be at most window = 4",
        ),
        ({"kind": "rsvm", "dropout": 2}, "separators.x: dropout = 2 is not allowed"),
        ({"kind": "rsvm", "dropout_at_test": True}, "separators.x: dropout_at_test needs dropout"),
    ],
)
def test_an_entry_that_is_none_is_refused(about: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        entry({"x": about}, "x")
    assert str(error.value).startswith(said)


def test_a_name_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown separator `improve`, did you mean `improved`\?"):
        entry(default_tree()["separators"], "improve")


def test_an_oracle_is_not_trained() -> None:
    tree = default_tree()["separators"]
    separator = oracle(tree, "stft", 8000, torch.device("cpu"))
    assert separator.sample_rate == 8000
    with pytest.raises(InputError, match=r"evaluate.oracle = baseline has to be trained; name one"):
        oracle(tree, "baseline", 8000, torch.device("cpu"))
