"""The house: arrows between rooms only go down, and attacks know no concrete separator."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.separators.registry import kinds

PACKAGE = ROOT / "stemproof"
# From the bottom up; the package itself stands above all of them.
ROOMS = [
    "core",
    "figures",
    "data",
    "separators",
    "attacks",
    "evaluation",
    "auditing",
    "protecting",
    "paper",
    "report",
    "api",
    "cli",
]
# What works for any separator names none.
NAMELESS = {"figures", "attacks", "evaluation", "auditing", "protecting", "report"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imports(source: str, package: list[str]) -> Iterator[str]:
    """Names of what a source imports, whenever it does; of strings that name modules, too.

    Args:
        source: of a module.
        package: the package that it is in, from the root.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{whole}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Constant) and isinstance(text := node.value, str):
            yield from [text] if text.startswith("stemproof.") and " " not in text else []


def room_of(parts: list[str]) -> str:
    """The room of a module of this package; the package's own ``__init__`` counts as the top."""
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ROOMS[-1]


def forbidden(source: str, module: list[str], package: list[str]) -> list[str]:
    """What a module imports and should not."""
    room, found = room_of(module), []
    for name in imports(source, package):
        parts = name.split(".")
        if parts[0] != "stemproof" or name == "stemproof.__version__":
            continue
        if ROOMS.index(room_of(parts)) > ROOMS.index(room):
            found.append(f"{room} imports {name}, which is above it")
        if room in NAMELESS and parts[1:2] == ["separators"] and set(parts[2:3]) & set(kinds()):
            found.append(f"{room} imports {name}, a concrete separator")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows_between_rooms_only_go_down(path: Path) -> None:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    package = parts[:-1]
    assert not forbidden(path.read_text(encoding="utf-8"), parts, package)


def test_every_room_has_its_place() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("core.files", "from stemproof.figures.table import FIGURES", "figures.table.FIGURES, wh"),
        ("figures.table", "import stemproof.data.store", "imports stemproof.data.store, which is"),
        ("figures.table", "def f():\n    from stemproof.data import store", "data.store, which is"),
        ("figures.table", "from ..data import store", "imports stemproof.data.store, which is"),
        ("data.store", "from stemproof import separators", "imports stemproof.separators, which"),
        ("data.store", "from stemproof import load", "stemproof.load, which is above it"),
        ("api.claiming", "from stemproof import __version__", None),
        ("report.build", "import stemproof.api", "imports stemproof.api, which is above it"),
        ("attacks.pgd", "from stemproof.separators.rsvm.model import RSVM", "a concrete separator"),
        ("attacks.pgd", "from stemproof.separators import stft", "a concrete separator"),
        ("auditing.run", "x = import_module('stemproof.separators.stft')", "a concrete separator"),
        ("report.build", "from stemproof.paper import li2022", None),
        ("report.build", "from .tables import table", None),
        ("attacks.pgd", "from stemproof.separators.protocol import Separator", None),
        ("separators.kind", "from stemproof.separators.rsvm import KIND", None),
    ],
)
def test_what_goes_up_is_seen(module: str, source: str, said: str | None) -> None:
    parts = ["stemproof", *module.split(".")]
    found = forbidden(source, parts, parts[:-1])
    if said is None:
        assert not found
    else:
        assert any(said in sentence for sentence in found)
