"""Claims: complete, valid against their published schema, and never of the wrong run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from pydantic import ValidationError

from stemproof.core.errors import InputError
from stemproof.evaluation.evaluate import PER_SEGMENT, Evaluation, compare, summarize
from stemproof.params import Params
from stemproof.report.claims import (
    Claim,
    Data,
    _changed,
    check_run,
    code_commit,
    make_claim,
    parameters_sha256,
)

SCHEMA = json.loads((ROOT / "results/claim.schema.json").read_text())
PUBLISHED = sorted((ROOT / "results").glob("*/*.json"))
COMMIT = "0" * 40


def evaluation(seed: int) -> Evaluation:
    draw = np.random.default_rng(seed)
    names = [f"track {number}" for number in range(12)]
    table = pd.DataFrame({key: draw.normal(5, 1, 12) for key in PER_SEGMENT}, index=names)
    table["at_bs"] = table["bs"] - table["drop"]
    return Evaluation(table, 40, 2, 1.0, None)


@pytest.fixture
def parts(make_params: Callable[..., Params]) -> dict[str, Any]:
    params = make_params(train={"seeds": [1, 2, 3]})
    systems = {
        name: {seed: evaluation(seed + 10 * place) for seed in (1, 2, 3)}
        for place, name in enumerate(params.systems)
    }
    return {
        "params": params,
        "metrics": {name: summarize(of, params.evaluate) for name, of in systems.items()},
        "comparison": compare(systems, params.evaluate),
        "audit": {
            "attack": "pgd, linf",
            "flags_raised": 1,
            "reasons": [["few seeds", True, "one training seed"]],
        },
        "data": Data(source="demo", sha256="a" * 64, test_tracks=12, test_segments=40),
    }


def claim_of(parts: dict[str, Any], variant: str) -> Claim:
    return make_claim(
        parts["params"],
        variant,
        parts["metrics"][variant],
        parts["comparison"],
        parts["audit"],
        parts["data"],
        {"device": "CPU"},
        COMMIT,
    )


def test_the_published_schema_is_that_of_the_code() -> None:
    assert PUBLISHED
    assert Claim.model_json_schema() == SCHEMA


@pytest.mark.parametrize("variant", ["baseline", "improved"])
def test_a_claim_is_valid_and_says_what_was_measured(parts: dict[str, Any], variant: str) -> None:
    claim = claim_of(parts, variant)
    written = json.loads(claim.model_dump_json())
    jsonschema.validate(written, SCHEMA, cls=jsonschema.Draft202012Validator)
    metrics = parts["metrics"][variant]
    assert written["attacked"]["rb"]["value"] == metrics["rb"]
    assert written["clean"]["bs"]["low"] == metrics["bs_low"]
    assert list(written["seeds"]) == ["1", "2", "3"]
    assert (written["reference"] is None) == (variant == "baseline")
    if variant == "improved":
        assert written["minus_reference"]["rb"]["p_holm"] >= written["minus_reference"]["rb"]["p"]
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


def test_metrics_of_other_seeds_are_refused(
    parts: dict[str, Any], make_params: Callable[..., Params]
) -> None:
    parts["params"] = make_params(train={"seeds": [1, 2]})
    with pytest.raises(InputError, match="of seeds 1, 2, 3, but params.yaml says 1, 2"):
        claim_of(parts, "baseline")


def test_the_hash_follows_the_parameters_but_not_the_folder(
    make_params: Callable[..., Params],
) -> None:
    first = parameters_sha256(make_params())
    assert parameters_sha256(make_params(data={"root": "/elsewhere"})) == first
    assert parameters_sha256(make_params(attack={"eps": 0.02})) != first


def test_a_folder_without_a_pipeline_is_refused(
    make_params: Callable[..., Params], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="a claim needs `dvc status`, but it fails"):
        check_run(make_params(), tmp_path)


def test_what_dvc_calls_changed_is_named() -> None:
    parameters = {"params.yaml": {"attack.eps": "modified", "attack.steps": "new"}}
    changes = [
        {"changed deps": {"models": "modified", **parameters}},
        {"changed outs": {"metrics/ablation": "deleted"}},
        "changed command",
    ]
    said = ["models", "attack.eps", "attack.steps", "metrics/ablation", "changed command"]
    assert list(_changed(changes)) == said


def test_a_claim_without_a_bound_names_none(
    parts: dict[str, Any], make_params: Callable[..., Params]
) -> None:
    assert claim_of(parts, "baseline").eps == 0.01
    parts["params"] = make_params(train={"seeds": [1, 2, 3]}, attack={"method": "minimal"})
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
    jsonschema.validate(claim, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert claim["variant"] == path.stem
    assert claim["flags_raised"] == sum(flag["raised"] for flag in claim["flags"])
    attacked, clean = claim["attacked"], claim["clean"]
    difference = clean["bs"]["value"] - attacked["at_bs"]["value"]
    assert attacked["rb"]["value"] == pytest.approx(difference, abs=1e-9)
