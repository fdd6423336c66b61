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

RUN = ROOT / "results/short-training-musdb18-7/run"
SYSTEMS = sorted(path.stem for path in (RUN / "plots/tracks").glob("*.csv"))
BREAKS = {key for key, figure in compared().items() if figure.per == "search"}  # not made there


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(RUN / f"plots/tracks/{name}.csv")


@pytest.fixture
def settings() -> Any:
    # The run was made when these stood among the parameters of the evaluation.
    own = yaml.safe_load((RUN / "params.yaml").read_text())["evaluate"]
    return StatisticsParams(
        bootstrap=own["bootstrap"], confidence=own["confidence"], seed=own["seed"]
    )


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "baseline"])
def test_against_the_reference_it_is_the_published_comparison(name: str, settings: Any) -> None:
    published = json.loads((RUN / "metrics/comparison.json").read_text())[name]
    found = contrast(table(name), table("baseline"), settings)
    # That run was made before two of the comparisons were.
    assert set(compared()) - set(published) == {"paired_bs", "paired_at_bs", *BREAKS}
    for key in published:
        for part in ("difference", "low", "high", "p"):
            assert found[key][part] == pytest.approx(published[key][part], abs=1e-6), (key, part)


def test_fewer_comparisons_are_adjusted_than_in_the_run(settings: Any) -> None:
    run = ROOT / "results/musdb18-7/run"
    first, second = (
        pd.read_csv(run / f"plots/tracks/{name}.csv") for name in ("robust", "baseline")
    )
    published = json.loads((run / "metrics/comparison.json").read_text())["robust"]
    found = contrast(first, second, settings)
    assert list(found) == list(published) == list(compared())
    for key in published:
        for part in ("difference", "low", "high", "p"):
            assert found[key][part] == pytest.approx(published[key][part], abs=1e-6), (key, part)
        # Eleven comparisons are adjusted here, those of all systems there.
        assert found[key]["p"] <= found[key]["p_holm"] <= published[key]["p_holm"] + 1e-12


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_the_command_refuses(tmp_path: Path) -> None:
    done = command(tmp_path, "robust", "nobody", "--tracks", "results/musdb18-7/run/plots/tracks")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "nobody.csv" in done.stderr


@pytest.mark.slow
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


def per_song(name: str, key: str) -> pd.Series:
    """A figure of every song, the mean over seeds."""
    tracks = ROOT / "results/musdb18-7/run/plots/tracks"
    return pd.read_csv(tracks / f"{name}.csv").groupby("track")[key].mean()


def test_how_many_songs_gain_is_what_the_pages_say() -> None:
    for name, key, pages in (
        ("improved", "bs", ("docs/results.md", "docs/statistics.md")),
        ("attention-only", "bs", ("docs/results.md",)),
        ("dropout-only", "bs", ("docs/results.md",)),
        ("conv-control", "bs", ("docs/results.md",)),
    ):
        gained = per_song(name, key) - per_song("baseline", key)
        for page in pages:
            said = f"{(gained > 0).sum()} of {len(gained)} songs"
            assert said in (ROOT / page).read_text().replace("\n", " "), page
    # "less on each of the 50 songs"
    assert (per_song("dropout-only", "drop") < per_song("baseline", "drop")).all()


def test_differences_in_the_text_are_those_of_the_run() -> None:
    run = json.loads((ROOT / "results/musdb18-7/run/metrics/comparison.json").read_text())

    def said(name: str, key: str, form: str = "+.2f") -> str:
        value, low, high = (run[name][key][part] for part in ("difference", "low", "high"))
        return f"{value:{form}} [{low:{form}}, {high:{form}}]"

    for page, fragments in {
        "README.md": [
            said("improved", "paired_bs", ".2f").replace(" [", " dB better ["),
            said("improved", "paired_break_6db", ".1f").replace(" [", " dB smaller ["),
            said("improved", "paired_drop"),
            said("dropout-only", "paired_drop").replace(" [", " dB ["),
            said("attention-only", "paired_drop"),
        ],
        "docs/results.md": [
            said("improved", "paired_drop").replace(" [", " dB ["),
            said("improved", "paired_bs"),
            said("improved", "paired_at_bs"),
        ],
        "docs/statistics.md": [said("improved", "paired_bs")],
    }.items():
        text = " ".join((ROOT / page).read_text().split())
        for fragment in fragments:
            assert fragment in text, (page, fragment)
