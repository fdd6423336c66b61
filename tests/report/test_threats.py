"""Informed and blind figures never stand in one ranking: from comparison to claim."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import test_mixed
from conftest import ROOT, AllParams
from page_parts import cells, parsed, tables
from scored_cases import PASSED, drawn
from test_mixed import reported
from threat_cases import GATES, INFORMED, REASON, MixedRun, mixed_run

from stemproof.core.errors import InputError
from stemproof.figures.compare import OTHER, by_threat, compare_threats, comparison_of, contrast
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import bootstrap, holm, median, median_difference
from stemproof.figures.summary import summarize
from stemproof.report.checking import faults
from stemproof.report.claims import Claim, read_claim
from stemproof.report.words import threat_in_words

MakeParams = Callable[..., AllParams]
SETTINGS = StatisticsParams(bootstrap=300)
SCHEMA = json.loads((ROOT / "results/claim.schema.json").read_text())


@pytest.fixture
def run(tmp_path: Path, make_params: MakeParams) -> MixedRun:
    return mixed_run(tmp_path / "run", make_params())


def entries(comparison: Any) -> list[dict[str, float]]:
    return [e for of in comparison.values() if isinstance(of, dict) for e in of.values()]


def test_each_threat_model_has_a_comparison_of_its_own(run: MixedRun) -> None:
    top, other = by_threat(run.comparison)
    assert [name for name in top if isinstance(top[name], dict)] == ["sister"]
    assert (top["reference"], top["n_tracks"], top["n_seeds"]) == ("rsvm", 3, 2)
    assert [name for name in other if isinstance(other[name], dict)] == ["dull", "box"]
    assert (other["reference"], other["n_tracks"], other["n_seeds"]) == ("toy", 1, 1)
    assert run.comparison[OTHER] == other and OTHER not in top
    for name, informed in INFORMED.items():
        assert comparison_of(run.comparison, name) == (top if informed else other)


def test_holm_counts_a_threat_model_by_itself() -> None:
    systems = {name: {1: drawn(place)} for place, name in enumerate(INFORMED)}
    found = compare_threats(systems, INFORMED, "rsvm", SETTINGS)
    for comparison in by_threat(found):
        group = entries(comparison)
        assert [e["p_holm"] for e in group] == pytest.approx(holm([e["p"] for e in group]))
    assert len(entries(by_threat(found)[0])) * 2 == len(entries(by_threat(found)[1]))


def test_the_reference_says_which_stands_at_the_top() -> None:
    systems = {name: {1: drawn(place)} for place, name in enumerate(INFORMED)}
    found = compare_threats(systems, INFORMED, "dull", SETTINGS)
    assert found["reference"] == "dull" and set(found) >= {"toy", "box"}
    assert found[OTHER]["reference"] == "rsvm" and "rsvm" not in found
    # One of the other kind has nobody to be compared with.
    alone = {name: systems[name] for name in ("rsvm", "toy", "dull")}
    found = compare_threats(alone, INFORMED, "dull", SETTINGS)
    assert OTHER not in found and comparison_of(found, "rsvm") is None


def test_a_system_cannot_be_called_like_a_key() -> None:
    systems = {name: {1: drawn(1)} for name in ("rsvm", OTHER)}
    with pytest.raises(InputError, match="other_threat is a key of the comparison"):
        compare_threats(systems, {"rsvm": True, OTHER: True}, "rsvm", SETTINGS)


def test_a_contrast_of_two_threat_models_is_refused() -> None:
    def plotted(without: list[str]) -> pd.DataFrame:
        return pd.concat({1: drawn(1, without).tracks}, names=["seed"]).reset_index()

    whole = ["excerpt_bs", "excerpt_at_bs", "excerpt_drop"]
    with pytest.raises(InputError, match="informed and the other is blind"):
        contrast(plotted(whole), plotted([]), SETTINGS)
    assert contrast(plotted(whole), plotted(whole), SETTINGS)


@pytest.mark.parametrize("seeds", [1, 3])
def test_one_track_has_no_interval(seeds: int) -> None:
    options = {"resamples": 200, "confidence": 0.9, "seed": 0}
    figures = np.arange(seeds, dtype=float)[:, None] + 2
    found = bootstrap(median, figures, **options)
    assert found.value == figures.mean() and found.is_known
    assert not found.has_ends and np.isnan([found.low, found.high, found.p]).all()
    # Also where other tracks have collapsed; with a second one there is an interval.
    gone = np.full((seeds, 3), np.nan)
    found = bootstrap(median, np.hstack([figures, gone]), **options)
    assert found.value == figures.mean() and not found.has_ends
    assert bootstrap(median, np.hstack([figures, figures + 1]), **options).has_ends
    # Of a difference both figures have to be known on two tracks.
    both, first = np.hstack([figures, figures + 1]), np.hstack([figures, gone[:, :1]])
    assert not bootstrap(median_difference, both, first, **options).has_ends


def test_metrics_of_one_recording_have_no_ends() -> None:
    model = drawn(1)
    summary = summarize({1: type(model)(model.tracks.iloc[:1], model.counts)}, SETTINGS)
    assert summary["bs"] == model.tracks["bs"].iloc[0]
    assert not [key for key in summary if key.endswith(("_low", "_high"))]


def page_of(run: MixedRun, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The report of a run, with its gates."""
    write = test_mixed.write_json

    def with_gate(path: Path, value: dict[str, Any]) -> None:
        gate = {"gate": GATES[path.stem]} if path.stem in GATES and "gate" in value else {}
        write(path, {**value, **gate})

    def audited(params: AllParams, is_informed: bool) -> dict[str, Any]:
        name = "rsvm-1" if is_informed else "toy-1"
        cell = {"drop": 2.5, "gain": -0.25, "parts": 4}
        found = audit(params, is_informed)
        threat = "informed" if is_informed else "blind"
        return {**found, "threat": threat, "transfer": {name: {"rsvm-1": cell, "toy-1": cell}}}

    audit = test_mixed.audited
    monkeypatch.setattr(test_mixed, "write_json", with_gate)
    monkeypatch.setattr(test_mixed, "audited", audited)
    return reported(folder, run.params, run.systems, INFORMED)


@pytest.mark.slow
def test_the_report_keeps_them_apart(
    run: MixedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = page_of(run, tmp_path, monkeypatch)
    page = pages["index.html"]
    shown = [[row[0] for row in rows] for rows in tables(page) if "epochs" not in rows[0]]
    mixed = [
        rows
        for rows in shown
        if len({INFORMED[row.split("-")[0]] for row in rows if row.split("-")[0] in INFORMED}) > 1
    ]
    # What was crafted on one is played to all, and whose model it is is said.
    assert [rows[0] for rows in mixed] == ["crafted on"]
    crafted = cells(page, "crafted on")
    assert crafted["toy-1 (blind)"]["rsvm-1 (informed)"] == "2.500 [on 4 parts]"
    informed, blind = cells(page, "RB | paired drop | BS"), cells(page, "clean SI-SDR | attacked")
    assert "RSVM, Li (2022), MUSDB18" in informed
    assert list(blind) == ["toy", "dull", "box [no white box]"]
    assert blind["toy"]["clean SI-SDR"].endswith("[-, one recording]")
    assert not informed["rsvm"]["BS"].endswith("one recording]")
    assert list(cells(page, "minus toy")) == ["dull", "box"]
    assert cells(page, "minus toy")["dull"]["clean SI-SDR"].endswith("[-, one recording]")
    assert list(cells(page, "minus rsvm")) == ["sister"]
    points = cells(page, "parts, not broken")
    assert points["box [no white box]"]["break point 3 dB"] == "5.0 [-, one recording]"
    assert points["box [no white box]"]["parts, not broken"] == "4, 1"
    assert cells(page, "paired drop of an excerpt")["toy"]["excerpt"].endswith("one recording]")
    text = parsed(page).text
    assert "1 of 3 test tracks (song 0)" in text
    assert "nothing beside the recording" in text and REASON in text
    assert "random search" in text
    assert "Blind systems: recordings as they are" in text
    assert "Informed systems: mono, segments of 0.25 s" in text
    for said in (text, pages["report.md"]):
        assert not re.search(r"(?<![\d.-])([+-]?\d+\.\d+), \1\b", said)


@pytest.mark.slow
def test_verdicts_on_the_paper_are_of_informed_systems(
    run: MixedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"baseline": "rsvm", "improved": "sister", "toy": "toy", "dull": "dull"}
    for threats, said in (((True, True, False, False), 4), ((False, False, True, True), 0)):
        informed = dict(zip(names, threats, strict=True))
        source = names if threats[0] else dict(zip(names, reversed(names.values()), strict=True))
        systems = {name: run.systems[of] for name, of in source.items()}
        page = reported(tmp_path / str(said), run.params, systems, informed)["report.md"]
        assert page.count("improved minus baseline is") == said


def test_a_claim_says_whose_threat_model_it_is(run: MixedRun, tmp_path: Path) -> None:
    for name, informed in INFORMED.items():
        claim = run.claim(name)
        file = tmp_path / f"{name}.json"
        file.write_text(claim.model_dump_json(indent=2))
        written = json.loads(file.read_text())
        jsonschema.validate(written, SCHEMA, cls=jsonschema.Draft202012Validator)
        assert read_claim(file) == claim and json.loads(claim.model_dump_json()) == written
        assert not list(faults(claim))
        assert written["threat"] == ("informed" if informed else "blind")
        assert written["white_box"] == (name != "box")
        assert written["gate"] == GATES[name]["checks"]
        assert ("low" in written["clean"]["bs"]) == informed
        assert ("no interval" in claim.in_words()) != informed
        assert "excerpt" not in written
        peers = {"rsvm": None, "toy": None, "sister": "rsvm", "dull": "toy", "box": "toy"}
        assert claim.reference == peers[name]
        for entry in written["minus_reference"].values():
            assert set(entry) == (
                {"value", "low", "high", "p", "p_holm"} if informed else {"value"}
            )
    box = run.claim("box", excerpt=0.5)
    assert box.excerpt == 0.5 and not list(faults(box))
    assert box.attacked["break_3db"].value == 5.0
    assert (box.break_parts, box.unbroken) == (4, 1)
    assert run.claim("rsvm", excerpt=0.5).excerpt is None


def test_the_words_of_a_blind_threat_model(make_params: MakeParams) -> None:
    params = make_params(attack={"without_gradient": ["search", "noise"]})

    def words(gate: dict[str, Any], **changes: Any) -> str:
        attack = params.attack.model_copy(update=changes)
        return threat_in_words(attack, params.segments, False, gate, 31.25)

    said = words(PASSED)
    assert "the recording itself, in all of its channels, max |delta| <= 0.01" in said
    assert "Each recording is attacked by itself: PGD" in said
    assert "Mixture over perturbation: 31.2 dB" in said
    assert "Each excerpt of 10 s" in words(PASSED, excerpt=10.0)
    failed = words(GATES["box"])
    assert "random search, 1000 queries, then random signs" in failed and "PGD" not in failed
    assert f"No white-box attack: {REASON}." in failed and "knows the weights" not in failed
    # An attack that needs no gradient has no stand-in.
    assert "random search" not in words(GATES["box"], method="noise")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget_used": 1.1}, "1.1 of the budget"),
        ({"flags_raised": 2}, "flags_raised = 2, but 1 are"),
        ({"white_box": False}, "white_box = False, but of the gate it is True"),
        ({"eps": 0.5}, "eps = 0.5, but attack.eps = 0.01"),
        ({"excerpt": 3.0}, "excerpt = 3.0, but the attack was on None"),
        ({"parameters_sha256": "b" * 64}, "is not the hash"),
        ({"attacked.rb.value": 9.0}, "rb = 9, but bs - at_bs = "),
        ({"attacked.break_3db.value": 30.0}, "at a higher SNR than what costs less"),
        ({"clean.bs.low": 1.0}, "bs has one end of an interval"),
        ({"clean.bs.low": 1.0, "clean.bs.high": 2.0}, "bs has an interval over a single"),
        ({"attack.eps": 0.5}, "attack is another one than in its parameters"),
        ({"flags": [{"name": "x", "raised": True, "reason": "y"}]}, "budget violated is missing"),
    ],
)
def test_an_edited_claim_is_found_out(run: MixedRun, change: dict[str, Any], said: str) -> None:
    written = json.loads(run.claim("toy").model_dump_json())
    for place, value in change.items():
        *path, last = place.split(".")
        part = written
        for key in path:
            part = part[key]
        part[last] = value
    assert any(said in fault for fault in faults(Claim.model_validate(written)))
