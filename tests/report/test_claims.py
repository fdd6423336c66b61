"""Claims: complete, valid against their published schema, and never of the wrong run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import ROOT, AllParams
from pydantic import ValidationError
from scored_cases import drawn

from stemproof.core.errors import InputError
from stemproof.figures.compare import compare
from stemproof.figures.summary import summarize
from stemproof.report.claims import Claim, Data, Run, make_claim, read_claim
from stemproof.report.provenance import _changed, check_run, code_commit
from stemproof.report.words import threat_in_words

SCHEMA = json.loads((ROOT / "results/claim.schema.json").read_text())
PUBLISHED = sorted((ROOT / "results").glob("*/*.json"))
COMMIT = "0" * 40
ABOUT = {"kind": "rsvm", "informed": True, "gate": {"passed": True, "checks": []}}
MakeParams = Callable[..., AllParams]


def run_of(params: AllParams) -> Run:
    return Run(
        parameters=params.model_dump(mode="json"),
        threat_model=threat_in_words(params.attack, params.segments),
        attack=params.attack.model_dump(mode="json"),
        eps=params.attack.eps if params.attack.has_eps else None,
        confidence=params.statistics.confidence,
        data=Data(source="demo", sha256="a" * 64, test_tracks=11, test_segments=40),
        environment={"device": "CPU"},
        git_commit=COMMIT,
    )


@pytest.fixture
def parts(make_params: MakeParams) -> dict[str, Any]:
    params = make_params(train={"seeds": [1, 2, 3]})
    systems = {
        name: {seed: drawn(seed + 10 * place) for seed in (1, 2, 3)}
        for place, name in enumerate(params.systems)
    }
    return {
        "run": run_of(params),
        "metrics": {
            name: {**summarize(of, params.statistics), **ABOUT} for name, of in systems.items()
        },
        "comparison": compare(systems, params.reference, params.statistics),
        "audit": {
            "attack": "pgd, linf",
            "flags_raised": 1,
            "reasons": [
                ["few seeds", "RAISED", "one training seed"],
                ["not monotone", "not measured", "not measured"],
                ["randomized", "clear", "the same bits"],
            ],
        },
    }


def claim_of(parts: dict[str, Any], system: str) -> Claim:
    metrics = parts["metrics"][system]
    return make_claim(parts["run"], system, metrics, parts["comparison"], parts["audit"])


def test_the_published_schema_is_that_of_the_code() -> None:
    assert PUBLISHED
    assert Claim.model_json_schema() == SCHEMA


@pytest.mark.parametrize("system", ["baseline", "improved"])
def test_a_claim_is_valid_and_says_what_was_measured(parts: dict[str, Any], system: str) -> None:
    claim = claim_of(parts, system)
    written = json.loads(claim.model_dump_json())
    jsonschema.validate(written, SCHEMA, cls=jsonschema.Draft202012Validator)
    metrics = parts["metrics"][system]
    assert written["attacked"]["rb"]["value"] == metrics["rb"]
    assert written["clean"]["bs"]["low"] == metrics["bs_low"]
    assert list(written["seeds"]) == ["1", "2", "3"]
    assert (written["reference"] is None) == (system == "baseline")
    if system == "improved":
        assert written["minus_reference"]["rb"]["p_holm"] >= written["minus_reference"]["rb"]["p"]
    assert [flag["raised"] for flag in written["flags"]] == [True, False, False]
    assert "0.01 (full scale 1)" in written["threat_model"]
    assert Claim.model_validate(written) == claim


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"git_commit": "HEAD"}, "git_commit"),
        ({"flags": []}, "flags"),
        ({"parameters_sha256": "abc"}, "parameters_sha256"),
        ({"better": 1}, "better"),
    ],
)
def test_the_schema_refuses(parts: dict[str, Any], change: dict[str, Any], said: str) -> None:
    broken = json.loads(claim_of(parts, "baseline").model_dump_json()) | change
    with pytest.raises(jsonschema.ValidationError, match=said):
        jsonschema.validate(broken, SCHEMA, cls=jsonschema.Draft202012Validator)
    with pytest.raises(ValidationError, match=said):
        Claim.model_validate(broken)


def test_the_hash_follows_the_parameters_but_not_the_folder(
    parts: dict[str, Any], make_params: MakeParams
) -> None:
    def claim(**changes: Any) -> Claim:
        return claim_of({**parts, "run": run_of(make_params(**changes))}, "baseline")

    first = claim()
    elsewhere = claim(data={"root": "/elsewhere"})
    assert elsewhere.parameters_sha256 == first.parameters_sha256
    assert "/elsewhere" not in elsewhere.model_dump_json()
    assert claim(attack={"eps": 0.02}).parameters_sha256 != first.parameters_sha256


@pytest.mark.parametrize("without", [["si_sdr"], ["stft_bs"], ["si_sdr", "stft_bs"]])
def test_a_claim_has_no_figure_that_its_system_has_not(
    parts: dict[str, Any], make_params: MakeParams, without: list[str]
) -> None:
    settings = make_params().statistics
    systems = {"baseline": {1: drawn(1)}, "improved": {1: drawn(2, without)}}
    parts["comparison"] = compare(systems, "baseline", settings)
    parts["metrics"] = {
        name: {**summarize(models, settings), **ABOUT} for name, models in systems.items()
    }
    claim, whole = claim_of(parts, "improved"), claim_of(parts, "baseline")
    assert set(whole.clean) - set(claim.clean) == set(without)
    assert set(whole.attacked) == set(claim.attacked)
    assert not set(without) & set(claim.minus_reference)
    assert not set(without) & set(claim.seeds["1"])
    written = json.loads(claim.model_dump_json())
    jsonschema.validate(written, SCHEMA, cls=jsonschema.Draft202012Validator)


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a claim needs `dvc status`, but it fails"):
        check_run(tmp_path, tmp_path / "songs")


def test_what_dvc_calls_changed_is_named() -> None:
    parameters = {"params.yaml": {"attack.eps": "modified", "attack.pgd.steps": "new"}}
    changes = [
        {"changed deps": {"models": "modified", **parameters}},
        {"changed outs": {"metrics/systems": "deleted"}},
        "changed command",
    ]
    said = ["models", "attack.eps", "attack.pgd.steps", "metrics/systems", "changed command"]
    assert list(_changed(changes)) == said


def test_a_claim_without_a_bound_names_none(parts: dict[str, Any], make_params: MakeParams) -> None:
    assert claim_of(parts, "baseline").eps == 0.01
    parts["run"] = run_of(make_params(attack={"method": "minimal"}))
    assert claim_of(parts, "baseline").eps is None


def test_changed_code_has_no_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    with pytest.raises(InputError, match="git fails"):
        code_commit(tmp_path)
    git("init", "--quiet")
    (tmp_path / "stemproof").mkdir()
    (tmp_path / "stemproof/x.py").write_text("1")
    (tmp_path / "notes.md").write_text("1")
    git("add", "--all")
    git("commit", "--quiet", "--message", "start")
    (tmp_path / "notes.md").write_text("2")
    assert len(code_commit(tmp_path)) == 40
    (tmp_path / "stemproof/x.py").write_text("2")
    with pytest.raises(InputError, match="stemproof/x.py differs from it; commit first"):
        code_commit(tmp_path)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_published_claims_are_valid(path: Path) -> None:
    claim = json.loads(path.read_text())
    read = read_claim(path)
    assert read.variant == path.stem
    assert json.loads(read.model_dump_json()) == claim
    jsonschema.validate(claim, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert claim["variant"] == path.stem
    assert claim["flags_raised"] == sum(flag["raised"] for flag in claim["flags"])
    attacked, clean = claim["attacked"], claim["clean"]
    difference = clean["bs"]["value"] - attacked["at_bs"]["value"]
    assert attacked["rb"]["value"] == pytest.approx(difference, abs=1e-9)


def test_what_is_no_claim_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "claim.json"
    claim = json.loads(PUBLISHED[0].read_text())
    file.write_text(json.dumps({**claim, "confidence": 2}))
    with pytest.raises(InputError, match=r"claim.json: confidence = 2 is not allowed: .* less th"):
        read_claim(file)
    file.write_text(json.dumps({**claim, "schema_version": 2}))
    with pytest.raises(InputError, match="schema_version 2 of a newer release; .*: update it"):
        read_claim(file)
