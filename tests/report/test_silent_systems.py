"""Systems that put out silence go through comparison, report, claim and contrast, in words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
import yaml
from conftest import ROOT, AllParams, default_tree
from page_parts import cells, parsed
from scored_cases import Told, evaluated, mute_systems, oracle
from test_mixed import claim, reported

from stemproof.figures.compare import compare
from stemproof.figures.params import StatisticsParams
from stemproof.figures.summary import Models
from stemproof.figures.table import compared
from stemproof.paper.li2022 import verdicts
from stemproof.report.words import collapse_in_words

MakeParams = Callable[..., AllParams]
ATTACKED = {"at_bs", "rb", "rb_net", "paired_drop", "paired_at_bs"}
BREAKS = {key for key, figure in compared().items() if figure.per == "search"}  # not searched for
SCHEMA = json.loads((ROOT / "results/claim.schema.json").read_text())


@pytest.fixture
def systems(tmp_path: Path) -> Mapping[str, Models]:
    """One that sounds, and silent ones."""
    silent = mute_systems(tmp_path)
    known = {"sound": Told(), **{name.replace(" ", "-"): of for name, of in silent.items()}}
    return {name: {1: evaluated(tmp_path, of, oracle())} for name, of in known.items()}


def test_the_report_says_it_in_words(
    tmp_path: Path, make_params: MakeParams, systems: Mapping[str, Models]
) -> None:
    pages = reported(tmp_path, make_params(), systems, dict.fromkeys(systems, True))
    page = pages["index.html"]
    words = parsed(page).text
    assert (
        "always puts out nothing (at most 1e-12 of the energy of the true vocals) for 12 of 12 "
        "segments of the clean mixture, 12 under attack and 12 under random noise. There is no "
        "SI-SDR of silence: the medians leave these segments out"
    ) in words
    assert "Of BS, AT-BS, RB, RB minus noise, paired drop," in words
    assert "attacked puts out nothing" in words and "for 0 of 12 segments of the clean" in words
    assert "one-track puts out nothing" in words
    assert "sound puts out" not in words
    result, beside = cells(page, "system | RB"), cells(page, "RB / BS")
    for heading in ("BS", "AT-BS", "paired drop"):
        assert result["always"][heading] == "- [all collapsed]"
        assert result["one-track"][heading] != "- [all collapsed]"
    assert result["attacked"]["BS"] == result["sound"]["BS"]
    assert result["attacked"]["AT-BS"] == "- [all collapsed]"
    assert beside["always"]["RB / BS"] == beside["attacked"]["RB / BS"] == "- [all collapsed]"
    assert beside["always"]["STFT oracle mask"] == beside["sound"]["STFT oracle mask"]
    differences = cells(page, "minus sound")
    assert differences["always"]["AT-BS"] == "- [not of both systems]"
    assert differences["attacked"]["BS"].startswith("+0.000")
    assert cells(page, "system | seed | BS")["attacked"]["AT-BS"] == "- [all collapsed]"
    for text in pages.values():
        assert "nan" not in text.lower().replace("finance", "")
    assert pages["index.html"].count('class="note">') == 1 + 5  # demo songs, and five are silent


def test_a_run_of_silence_alone_is_reported(
    tmp_path: Path, make_params: MakeParams, systems: Mapping[str, Models]
) -> None:
    only = {"always": systems["always"]}
    page = reported(tmp_path, make_params(), only, {"always": True})["index.html"]
    assert cells(page, "system | RB")["always"]["BS"] == "- [all collapsed]"
    # The tables per track that plots are drawn from have gaps.
    table = pd.read_csv(tmp_path / "plots/tracks/always.csv")
    assert table["drop"].isna().all() and table["mixture_si_sdr"].notna().all()


def test_seeds_are_counted_together() -> None:
    counts = {"n_collapsed_clean": 0, "n_collapsed": 3, "n_collapsed_noise": 0}
    said = collapse_in_words("x", {"n_segments": 10, "n_seeds": 2, **counts})
    assert "0 of 20 segments" in said and "3 under attack" in said
    assert "(2 training seeds together)" in said and "nothing is left" not in said
    assert collapse_in_words("x", {"n_segments": 10, "n_seeds": 2}) == ""


@pytest.mark.parametrize("name", ["always", "attacked", "one-track", "sound"])
def test_a_claim_counts_and_leaves_out(
    make_params: MakeParams, systems: Mapping[str, Models], name: str
) -> None:
    made = claim(make_params(), systems, name)
    written = json.loads(made.model_dump_json())
    jsonschema.validate(written, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert type(made).model_validate(written) == made
    expected = {"always": (12, 12, 12), "attacked": (0, 12, 0), "one-track": (4, 4, 4)}
    assert tuple(written["collapsed"].values()) == expected.get(name, (0, 0, 0))
    assert ("bs" in made.clean) == (name != "always")
    assert ("at_bs" in made.attacked) == (name in ("one-track", "sound"))


def test_a_claim_from_before_they_were_counted_stays_as_it_is(
    make_params: MakeParams, systems: Mapping[str, Models]
) -> None:
    written = claim(make_params(), systems, "sound").model_dump(mode="json")
    del written["collapsed"]
    jsonschema.validate(written, SCHEMA, cls=jsonschema.Draft202012Validator)
    model = type(claim(make_params(), systems, "sound"))
    assert model.model_validate(written).model_dump(mode="json") == written


def test_of_what_is_not_compared_there_is_no_verdict(systems: Mapping[str, Models]) -> None:
    named = {"baseline": systems["sound"], "improved": systems["attacked"]}
    comparison = compare(named, "baseline", StatisticsParams(bootstrap=100))
    assert set(compared()) - set(comparison["improved"]) == {"si_sdr", *ATTACKED, *BREAKS}
    (said,) = verdicts(comparison, 0.95)
    assert said.startswith("BS, song by song, shows no difference")


@pytest.mark.slow
def test_the_contrast_prints_a_dash(tmp_path: Path, systems: Mapping[str, Models]) -> None:
    tree: dict[str, Any] = {**default_tree(), "statistics": {"bootstrap": 100}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    for name in ("attacked", "sound"):
        table = pd.concat({1: systems[name][1].tracks}, names=["seed"])
        table.to_csv(tmp_path / f"{name}.csv")
    script = [sys.executable, str(ROOT / "stages/contrast.py"), "attacked", "sound"]
    done = subprocess.run([*script, "--tracks", "."], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = {line[:25].strip(): line[25:].strip() for line in done.stdout.splitlines()[1:]}
    assert {name for name, said in lines.items() if said == "-"} == {
        "SI-SDR",
        *(compared()[key].words for key in (*ATTACKED, *BREAKS)),
    }
    assert lines["BS"].startswith("+0.000")
