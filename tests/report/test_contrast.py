"""One system minus any other: the published tables give the published differences."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from stemproof.core.errors import InputError
from stemproof.figures.compare import contrast
from stemproof.figures.params import StatisticsParams
from stemproof.figures.table import compared

RUN = ROOT / "results/musdb18-7/run"
SYSTEMS = sorted(path.stem for path in (RUN / "tracks").glob("*.csv"))
BREAKS = {key for key, figure in compared().items() if figure.per == "search"}  # not made there


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(RUN / f"tracks/{name}.csv")


@pytest.fixture
def settings() -> Any:
    # The run was made when these stood among the parameters of the evaluation.
    own = yaml.safe_load((RUN / "params.yaml").read_text())["evaluate"]
    return StatisticsParams(
        bootstrap=own["bootstrap"], confidence=own["confidence"], seed=own["seed"]
    )


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "baseline"])
def test_against_the_reference_it_is_the_published_comparison(name: str, settings: Any) -> None:
    published = json.loads((RUN / "comparison.json").read_text())[name]
    found = contrast(table(name), table("baseline"), settings)
    # That run was made before two of the comparisons were.
    assert set(compared()) - set(published) == {"paired_bs", "paired_at_bs", *BREAKS}
    for key in published:
        for part in ("difference", "low", "high", "p"):
            assert found[key][part] == pytest.approx(published[key][part], abs=1e-6), (key, part)


def test_fewer_comparisons_are_adjusted_than_in_the_run(settings: Any) -> None:
    run = ROOT / "results/longer-training-musdb18-7/run"
    first, second = (pd.read_csv(run / f"tracks/{name}.csv") for name in ("robust", "baseline"))
    published = json.loads((run / "comparison.json").read_text())["robust"]
    found = contrast(first, second, settings)
    assert list(found) == list(published) == list(compared())
    for key in published:
        for part in ("difference", "low", "high", "p"):
            assert found[key][part] == pytest.approx(published[key][part], abs=1e-6), (key, part)
        # Eleven comparisons are adjusted here, those of all systems there.
        assert found[key]["p"] <= found[key]["p_holm"] <= published[key]["p_holm"] + 1e-12


def test_it_is_antisymmetric_where_it_must_be(settings: Any) -> None:
    there = contrast(table("robust"), table("improved"), settings)
    back = contrast(table("improved"), table("robust"), settings)
    for key in set(compared()) - BREAKS:
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


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command beside parameters of the tests' own."""
    shutil.copy(ROOT / "tests/params.yaml", folder / "params.yaml")
    if not (folder / "results").exists():
        (folder / "results").symlink_to(ROOT / "results")
    script = [sys.executable, str(ROOT / "stages/contrast.py")]
    return subprocess.run([*script, *arguments], cwd=folder, capture_output=True, text=True)


def test_what_the_command_refuses(tmp_path: Path) -> None:
    done = command(tmp_path, "robust", "nobody", "--tracks", "results/musdb18-7/run/tracks")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "nobody.csv" in done.stderr


def test_the_table_of_the_results(tmp_path: Path) -> None:
    """What the page of results shows is what the command prints."""
    page = (ROOT / "docs/results.md").read_text()
    prompt = "$ python stages/contrast.py "
    shown = page[page.index(prompt) + len(prompt) :].split("```")[0]
    arguments, _, table_shown = shown.partition("\n")
    done = command(tmp_path, *arguments.split())
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1 + len(compared())
    assert done.stdout == table_shown


def test_how_many_songs_gain_is_what_the_pages_say() -> None:
    pair = ROOT / "results/longer-training-musdb18-7/pair/tracks"
    improved, baseline = (
        pd.read_csv(pair / f"{name}.csv").set_index("track") for name in ("improved", "baseline")
    )
    gained = improved["bs"] - baseline["bs"]
    said = f"{(gained > 0).sum()} of {len(gained)} songs"
    for page in ("README.md", "docs/results.md", "docs/statistics.md"):
        assert said in (ROOT / page).read_text(), page
