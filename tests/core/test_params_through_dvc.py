"""What DVC makes of params.yaml when it sets a parameter: one line, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml

FILES = ("params.yaml", "tests/params.yaml")


def tree(name: str) -> dict[str, Any]:
    """Parameters, but for the systems that a run is of."""
    return yaml.safe_load((ROOT / name).read_text()) | dict.fromkeys(("systems", "ablations"))


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of one of the two files of parameters."""
    if tree(request.param) != tree("tests/params.yaml"):
        pytest.skip("params.yaml is as its user made it")
    copy = tmp_path / "params.yaml"
    copy.write_text((ROOT / request.param).read_text())
    return copy


def changed(before: str, after: str) -> list[tuple[str, str]]:
    """Lines that differ; there must be as many of them as before."""
    old, new = before.splitlines(), after.splitlines()
    assert len(old) == len(new)
    return [pair for pair in zip(old, new, strict=True) if pair[0] != pair[1]]


def test_dvc_writes_what_it_read(file: Path) -> None:
    before = file.read_text()
    with modify_yaml(file):
        pass
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attack.eps", 0.004),
        ("attack.pgd.steps", 20),
        ("data.root", "/path/to/musdb18"),
        ("attack.excerpt", 5.0),
        ("report.audio", False),
    ],
)
def test_a_parameter_is_one_line(file: Path, key: str, value: object) -> None:
    """As `dvc exp run -S KEY=VALUE` writes it; lists elsewhere are replaced by it as a whole."""
    before = file.read_text()
    apply_overrides(file, [f"{key}={str(value).lower() if value is False else value}"])
    ((old, new),) = changed(before, file.read_text())
    name = key.rpartition(".")[2]
    assert re.match(rf" +{name}: ", new)
    assert old.partition("#")[2:] == new.partition("#")[2:] and "#" in new
    found = yaml.safe_load(file.read_text())
    for part in key.split("."):
        found = found[part]
    assert found == value


def test_a_list_is_its_own_lines(file: Path) -> None:
    before = file.read_text()
    apply_overrides(file, ["systems=[baseline]", "train.seeds=[218,219]"])
    after = file.read_text()
    items = [line for line in before.splitlines() if line.startswith("- ")]
    kept = [line for line in before.splitlines() if line not in items]
    assert [line for line in after.splitlines() if line.strip() != "- 219" and line in kept] == kept
    assert yaml.safe_load(after)["systems"] == ["baseline"]
    assert yaml.safe_load(after)["train"]["seeds"] == [218, 219]
