"""One informed and one blind system in a run: what a figure is not of is absent, and no error."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import AllParams
from page_parts import cells, parsed
from scored_cases import PASSED, Blind, evaluated, informed, oracle

from stemproof.core.files import write_json, write_text
from stemproof.figures import table
from stemproof.figures.compare import compare_threats
from stemproof.figures.figure import Figure
from stemproof.figures.summary import Models, summarize
from stemproof.report import docs
from stemproof.report.build import Sources, build_report
from stemproof.report.claims import Data, Run, make_claim
from stemproof.report.markdown import fence
from stemproof.report.threats import Settings

MakeParams = Callable[..., AllParams]
NAMES = {"rsvm": True, "toy": False}  # whether it is informed


def audited(params: AllParams, is_informed: bool) -> dict[str, Any]:
    """Figures of an audit, as large as they need to be."""
    cell = {"drop": 2.5, "gain": -0.25, "parts": 4}
    found: dict[str, Any] = {
        "transfer": {"rsvm-1": dict.fromkeys(("rsvm-1", "toy-1"), cell)},
        "minimal_snr": {"linf": {"1.0": 28.0}},
        "sparse": {"at_bs": 5.0, "samples": 100},
        "universal": {"at_bs": 5.0},
        "black_box": {"at_bs": 5.0, "queries": 10},
    }
    if is_informed:
        found["masks"] = {
            "fixed": {"fixed": 5.0, "recomputed": 5.2},
            "recomputed": {"recomputed": 5.1, "fixed": 5.3},
        }
    return found


def mixed(folder: Path) -> dict[str, Models]:
    return {
        "rsvm": {seed: evaluated(folder, informed(seed), oracle()) for seed in (1, 2)},
        "toy": {1: evaluated(folder, Blind(), oracle())},
    }


def reported(
    folder: Path,
    params: AllParams,
    systems: Mapping[str, Models],
    names: Mapping[str, bool],
    listening: Path | None = None,
    audit: Callable[[AllParams, bool], dict[str, Any]] | None = None,
) -> dict[str, str]:
    """The report of some systems, from files as the stages write them; with clips, or without."""
    metrics, plots = folder / "metrics", folder / "plots"
    for name, models in systems.items():
        training = {str(seed): {"parameters": 10, "epoch": 1} for seed in models}
        about = {"kind": name, "informed": names[name], "gate": PASSED, "training": training}
        write_json(metrics / f"{name}.json", {**summarize(models, params.statistics), **about})
        tracks = pd.concat({seed: model.tracks for seed, model in models.items()}, names=["seed"])
        write_text(plots / "tracks" / f"{name}.csv", tracks.to_csv())
        curve = "epoch,valid_si_sdr,valid_bs\n1,9,5\n" if names[name] else "epoch,valid_bs\n1,5\n"
        write_text(plots / "curves" / f"{name}.csv", curve)
        write_text(plots / "attack" / f"{name}.csv", "step,loss\n0,-5\n1,-4\n")
        write_json(plots / "audit" / f"{name}.json", (audit or audited)(params, names[name]))
    flags = {"attack": "pgd, linf", "flags_raised": 0, "reasons": [["few seeds", "clear", "none"]]}
    write_json(metrics / "audit.json", dict.fromkeys(systems, flags))
    for file, axis in (("steps", "steps"), ("eps", "factor")):
        row = ",".join("5" for _ in systems)
        write_text(plots / "audit" / f"{file}.csv", f"{axis},{','.join(systems)}\n1,{row}\n")
    keys = ("tracks", "seconds", "segments", "silent_segments")
    splits = {split: dict.fromkeys(keys, 3) for split in ("train", "valid", "test")}
    write_json(metrics / "data.json", {"source": "demo", **splits})
    reference = next(iter(systems))
    comparison = compare_threats(systems, names, reference, params.statistics)
    write_json(metrics / "comparison.json", comparison)
    write_json(metrics / "environment.json", {"environment": {"device": "CPU"}})
    sources = Sources(
        systems={name: metrics / f"{name}.json" for name in systems},
        data=metrics / "data.json",
        comparison=metrics / "comparison.json",
        audit=metrics / "audit.json",
        environment=metrics / "environment.json",
        plots=plots,
        listening=listening,
    )
    shown = params.model_dump(mode="json")
    audio = params.report.audio
    settings = Settings(
        params.attack, params.segments, params.statistics, shown, {"a": 1}, audio=audio
    )
    return build_report(settings, sources)


def test_a_mixed_run_is_reported(tmp_path: Path, make_params: MakeParams) -> None:
    pages = reported(tmp_path, make_params(), mixed(tmp_path), NAMES)
    page = pages["index.html"]
    result = cells(page, "RB | paired drop | BS | AT-BS | SI-SDR of the reconstruction")
    known = float(result["rsvm"]["SI-SDR of the reconstruction"].split()[0])
    assert known != 0 and "toy" not in result
    blind = cells(page, "paired drop | clean SI-SDR | attacked SI-SDR")
    assert list(blind) == ["toy"]
    # Each is alone in its threat model, and compared with none.
    assert "Differences" not in page
    assert "<em>Informed</em> systems: rsvm." in page
    # Only one of the two has a mask.
    assert list(cells(page, "fixed mask, its own attack")) == ["rsvm"]
    for text in pages.values():
        assert "nan" not in text.lower().replace("finance", "")
    assert "Validation: SI-SDR of the reconstruction" in pages["index.html"]


def test_a_run_of_blind_systems_speaks_of_no_mask(tmp_path: Path, make_params: MakeParams) -> None:
    systems = {"toy": {1: evaluated(tmp_path, Blind())}}
    pages = reported(tmp_path, make_params(), systems, NAMES)
    page = pages["index.html"]
    # Parameters have the names that they have.
    words = parsed(re.sub("<pre.*?</pre>", "", page, flags=re.DOTALL)).text
    assert "Informed" not in words
    assert "mask" not in words
    heading = "loss of medians | paired drop | clean SI-SDR | attacked SI-SDR"
    assert "SI-SDR of the reconstruction" not in cells(page, heading)["toy"]
    assert "BS" not in words.replace("BSSEval", "")
    assert "Validation: clean SI-SDR" in pages["index.html"]
    assert "Validation: SI-SDR of the reconstruction" not in pages["index.html"]


EVIL = "<script>alert(1)</script>|x `y` [z](http://z) ```"


def test_texts_of_others_are_letters_and_no_marks(
    tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Songs, reasons, devices, parameters: whatever they are called, the report stays one."""
    systems = mixed(tmp_path)
    for models in systems.values():
        for model in models.values():
            model.tracks.index = pd.Index([EVIL, *model.tracks.index[1:]], name="track")
    failed = {"passed": False, "checks": [{"name": EVIL, "passed": False, "reason": EVIL}]}
    honest = write_json

    def changed(path: Path, value: Mapping[str, Any]) -> None:
        """What the stages write, with the worst at every place that others name."""
        if path.name == "toy.json" and "gate" in value:
            value = {**value, "gate": failed, "kind": EVIL}
        if path.name == "audit.json":
            flags = [["few seeds", "clear", EVIL]]
            value = {name: {**about, "reasons": flags} for name, about in value.items()}
        if path.name == "environment.json":
            value = {"environment": {EVIL: EVIL}}
        if path.name == "data.json":
            value = {**value, "source": "x", "source_words": EVIL}
        honest(path, value)

    monkeypatch.setitem(globals(), "write_json", changed)
    pages = reported(tmp_path, make_params(), systems, NAMES)
    page, text = pages["index.html"], pages["report.md"]
    assert page.count("alert(1)") >= 5 and text.count("alert(1)") >= 1  # there, as letters
    assert "<script" not in page and "<script" not in text
    body, _, _ = text.partition("## Parameters")
    assert not re.findall(r"(?<!\\)\[[^\[\]]*\]\(", body)  # no link
    assert "`" not in body.replace("`report/index.html`", "")
    for rows in re.findall(r"(?:^\|.*\n)+", text, re.M):
        columns = {len(re.findall(r"(?<!\\)\|", row)) for row in rows.splitlines()}
        assert len(columns) == 1, rows


def test_parameters_stay_inside_their_fence() -> None:
    assert fence("a: 1\n") == "```"
    assert fence("a: '\n\n  ```\n\n  # b'\n") == "````"


def claim(params: AllParams, systems: Mapping[str, Models], name: str) -> Any:
    run = Run(
        parameters={"separators": {n: {"kind": n} for n in systems}, "data": {"root": "x"}},
        threat_model="words",
        attack={},
        eps=0.01,
        confidence=0.95,
        data=Data(source="demo", sha256="a" * 64, test_tracks=3, test_segments=12),
        environment={},
        git_commit="0" * 40,
    )
    names = {**dict.fromkeys(systems, True), **NAMES}
    comparison = compare_threats(systems, names, next(iter(systems)), params.statistics)
    about = {"kind": name, "informed": names[name], "gate": PASSED}
    summary = {**summarize(systems[name], params.statistics), **about}
    audit = {"attack": "pgd", "flags_raised": 0, "reasons": [["x", "clear", "y"]]}
    return make_claim(run, name, summary, comparison, audit)


def test_a_mixed_run_is_claimed(tmp_path: Path, make_params: MakeParams) -> None:
    systems = mixed(tmp_path)
    blind, whole = (claim(make_params(), systems, name) for name in ("toy", "rsvm"))
    assert set(whole.clean) - set(blind.clean) == {"si_sdr", "stft_bs"}
    assert set(blind.clean) - set(whole.clean) == {"excerpt_bs"}
    assert set(blind.attacked) - set(whole.attacked) == {"excerpt_at_bs", "excerpt_drop"}
    assert (whole.threat, blind.threat) == ("informed", "blind")
    # There is no other of their threat model.
    assert not blind.minus_reference and not whole.minus_reference and blind.reference is None
    assert set(whole.seeds) == {"1", "2"} and set(blind.seeds) == {"1"}


@pytest.mark.slow
def test_one_entry_adds_a_figure_everywhere(
    tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To tables per track, summary, comparison, contrast, claim, report and documentation."""
    own = Figure(
        "loudest",
        "loudest sample",
        "1",
        "largest sample of the estimate from the clean mixture",
        lambda played: played.clean.abs().amax(-1),
        interval=True,
        compared="medians",
        part="clean",
        place="beside",
        of_seeds=True,
        digits=5,
    )
    # Another that applies to one of the systems only.
    other = replace(
        own,
        key="held",
        words="held back",
        measure=lambda played: (
            None if played.reconstruction is None else played.reconstruction.abs().amax(-1)
        ),
    )
    monkeypatch.setattr(table, "FIGURES", (*table.FIGURES, own, other))
    params = make_params()
    systems = mixed(tmp_path)
    systems["other"] = systems["rsvm"]
    names = {**NAMES, "other": True}
    assert "loudest" in systems["toy"][1].tracks and "held" not in systems["toy"][1].tracks
    page = reported(tmp_path, params, systems, names)["index.html"]
    summary = json.loads((tmp_path / "metrics/toy.json").read_text())
    assert summary["loudest_low"] <= summary["loudest"] <= summary["loudest_high"]
    assert "held" not in summary
    comparison = json.loads((tmp_path / "metrics/comparison.json").read_text())
    assert "loudest" in comparison["other"] and "held" in comparison["other"]
    claimed = claim(params, mixed(tmp_path), "toy")
    assert claimed.clean["loudest"].value == summary["loudest"]
    assert "held" not in claimed.clean
    beside = cells(page, "loss of medians / clean SI-SDR")["toy"]
    assert beside["loudest sample"].startswith(f"{summary['loudest']:.5f} [")
    assert "held back" in cells(page, "RB / BS")["rsvm"] and "held back" not in beside
    assert "loudest sample" in cells(page, "minus rsvm")["other"]
    assert "loudest sample" in cells(page, "system | seed | SI-SDR")["rsvm"]
    assert "| `loudest` | 1 | loudest sample: largest sample of" in docs.figures()
