"""One system minus any other: the published tables give the published differences."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT

from stemproof.core.errors import InputError
from stemproof.evaluation.evaluate import COMPARED, contrast
from stemproof.params import load_params

RUN = ROOT / "results/musdb18-7/run"
SYSTEMS = sorted(path.stem for path in (RUN / "tracks").glob("*.csv"))


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(RUN / f"tracks/{name}.csv")


@pytest.fixture
def settings() -> Any:
    return load_params(RUN / "params.yaml").evaluate


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "baseline"])
def test_against_the_reference_it_is_the_published_comparison(name: str, settings: Any) -> None:
    published = json.loads((RUN / "comparison.json").read_text())[name]
    found = contrast(table(name), table("baseline"), settings)
    for key in COMPARED:
        for part in ("difference", "low", "high", "p"):
            assert found[key][part] == pytest.approx(published[key][part], abs=1e-6), (key, part)
        # Six comparisons are adjusted here, those of all systems there.
        assert found[key]["p"] <= found[key]["p_holm"] <= published[key]["p_holm"] + 1e-12


def test_it_is_antisymmetric_where_it_must_be(settings: Any) -> None:
    there = contrast(table("robust"), table("improved"), settings)
    back = contrast(table("improved"), table("robust"), settings)
    for key in COMPARED:
        assert back[key]["difference"] == pytest.approx(-there[key]["difference"], abs=1e-12)
        assert back[key]["low"] == pytest.approx(-there[key]["high"], abs=1e-9)


def test_other_tracks_and_seeds_are_refused(settings: Any) -> None:
    whole = table("robust")
    part = whole[whole["track"] != whole["track"].iloc[0]]
    with pytest.raises(InputError, match="tested on other tracks"):
        contrast(whole, part, settings)
    other = whole.assign(seed=whole["seed"] + 1)
    with pytest.raises(InputError, match="trained with other seeds"):
        contrast(whole, other, settings)


def test_the_command() -> None:
    command = [sys.executable, str(ROOT / "stages/contrast.py"), "robust"]
    options = ["--tracks", str(RUN / "tracks")]
    done = subprocess.run(
        [*command, "improved", *options], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("robust minus improved, dB\nSI-SDR")
    assert len(done.stdout.splitlines()) == 1 + len(COMPARED)
    done = subprocess.run([*command, "nobody", *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "nobody.csv" in done.stderr
