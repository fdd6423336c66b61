"""An audit of systems that put out silence: flagged, no crash, and nothing that is no number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stemproof.auditing.bench import Bench
from stemproof.auditing.checks import Auditor
from stemproof.auditing.flags import (
    black_box_beats_white_box,
    collapsed,
    not_converged,
    raise_flags,
    stronger_from_elsewhere,
    weak_loss,
    weak_step_rule,
)
from stemproof.auditing.material import Material
from stemproof.auditing.run import Audited, System, audit
from stemproof.auditing.scores import fall, figure, without_absent
from stemproof.core.files import write_json
from stemproof.report import audit_tables as tables
from stemproof.separators.protocol import Side

SETTINGS: dict[str, Any] = {"segments": 6, "steps": [1, 2, 20], "queries": 20, "noise_draws": 2}
SETTINGS["minimal_drops"] = [1, 3, 6]
ATTACK = {"eps": 0.01, "pgd": {"steps": 5}}
MakeParams = Callable[..., Any]


class Plain:
    """Low-pass filtering, then a mild saturation."""

    sample_rate, channels = 4000, 1

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        smooth = torch.nn.functional.avg_pool1d(mixture, 5, 1, 2)
        return torch.tanh(2 * smooth) / 2


class Silent(Plain):
    """Puts out nothing, whatever it hears."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return 0 * super().separate(mixture)


class Fragile(Plain):
    """Goes silent on some segments when what it hears is pushed far enough."""

    twin = None

    def __init__(self, limit: float, segments: int, material: Material) -> None:
        self.limit = limit
        self.weak = material.mixture[:segments]

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        near = [(mixture == weak).flatten(1).all(1) for weak in self.weak]
        return torch.stack([mixture, torch.stack(near).any(0)[:, None, None] * (mixture * 0 + 1)])

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        pushed = (mixture - side[0]).abs().amax((1, 2), keepdim=True) > self.limit
        return torch.where(pushed & (side[1] > 0), 0.0, 1.0) * super().separate(mixture)


def material() -> Material:
    draw = np.random.default_rng(0)
    time = np.arange(400) / 400
    vocals = np.stack([0.2 * np.sin(2 * np.pi * draw.uniform(5, 15) * time) for _ in range(6)])
    mixture = vocals + 0.15 * draw.standard_normal(vocals.shape)
    parts = (torch.tensor(x[:, None], dtype=torch.float32) for x in (mixture, vocals))
    return Material([f"track {n}" for n in range(6)], *parts, tuple(range(6)))


def audited(make_params: MakeParams, separator: Any) -> Audited:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    found = material()
    systems = [System("x", seed, separator, found, found) for seed in (1, 2, 3)]
    return audit(params.audit, params.attack, systems)["x"]


def flags(result: Audited) -> dict[str, Any]:
    return {flag.name: flag for flag in result.flags}


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_system_that_is_always_silent(make_params: MakeParams, tmp_path: Path) -> None:
    result = audited(make_params, Silent())
    raised = flags(result)
    assert raised["collapsed"].raised
    assert "for 6 of 6 clean segments and 6 attacked ones" in raised["collapsed"].reason
    assert "medians of figures leave them out, break points count" in raised["collapsed"].reason
    assert raised["zero gradients"].raised
    assert raised["no better than noise"].raised
    assert not raised["wrong gradients"].raised  # nothing changes, as the gradient says
    assert not raised["does not collapse"].raised
    assert result.figures["collapsed"] == {"clean": 6, "attacked": 6, "segments": 6}
    assert "bs" not in result.figures and "at_bs" not in result.figures
    assert result.figures["minimal_snr"] == {"linf": {}}
    write_json(tmp_path / "figures.json", result.figures)  # no NaN, no infinity
    write_json(tmp_path / "flags.json", result.summary())
    assert "inf" not in json.dumps([flag.reason for flag in result.flags])
    audits = {"x": {**result.summary(), **json.loads((tmp_path / "figures.json").read_text())}}
    assert tables.elsewhere(audits, informed=False).rows[0][-1].note == "collapsed"
    assert tables.transfer(audits).rows == []
    assert tables.flags(audits).rows[1][1].text == "RAISED"


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_system_that_an_attack_silences(make_params: MakeParams, tmp_path: Path) -> None:
    result = audited(make_params, Fragile(0.008, 6, material()))
    raised = flags(result)
    assert raised["collapsed"].raised
    assert "for 0 of 6 clean segments and 6 attacked ones" in raised["collapsed"].reason
    figures = result.figures
    assert figures["bs"] > 5 and "at_bs" not in figures
    # The budgets that leave it its voice have figures, those that do not have none.
    assert list(figures["eps"]) == ["0.1", "0.3"]
    assert not raised["does not collapse"].raised and not raised["not monotone"].raised
    for flag in ("not converged", "weak step rule", "weak loss"):
        assert not raised[flag].raised, raised[flag]
    # To silence it is to cost it any number of dB.
    assert set(figures["minimal_snr"]["linf"]) == {"1", "3", "6"}
    write_json(tmp_path / "figures.json", figures)


def test_a_silenced_segment_is_the_worst_of_all(make_params: MakeParams) -> None:
    """Left out of the median, the segments that an attack silences would make it look weak."""
    params = make_params(attack=ATTACK, audit=SETTINGS)
    found = material()
    bench = Bench(Fragile(0.008, 2, found), found, found, params.attack)
    auditor = Auditor(bench, params.audit)
    attacked = auditor.attacked
    outcome, score = bench.outcome(attacked), figure(bench.outcome(attacked))
    assert np.isneginf(outcome[:2]).all() and np.isnan(score[:2]).all()
    assert np.array_equal(outcome[2:], score[2:])
    plain = Bench(Plain(), found, found, params.attack).outcome(attacked)
    assert auditor.median_at_bs(attacked) == np.median([-np.inf, -np.inf, *plain[2:]])
    assert auditor.material.median(score) == np.median(plain[2:])
    figures = auditor.figures()
    assert figures["collapsed"] == {"clean": 0, "attacked": 2, "segments": 6}
    assert figures["at_bs"] < np.median(plain)


def test_who_silences_more_is_stronger(make_params: MakeParams) -> None:
    settings = make_params(audit=SETTINGS).audit
    silence = -np.inf
    figures: dict[str, Any] = {
        "at_bs": 5.0,
        "default_steps": 5,
        "steps": {"fgsm": 5.5, "5": 5.0, "10": silence},
        "restarts": {"1": 5.0, "2": 5.0},
        "rules": {"constant": 5.0, "auto": silence},
        "objectives": {"mse": 5.0, "worst": silence},
        "transfer": {"x-1": {"x-1": {"gain": 0.0}, "y-1": {"gain": np.inf}}},
        "black_box": {"queries": 5, "beats_white_box": 0.5},
        "collapsed": {"clean": 0, "attacked": 0, "segments": 6},
    }
    checks = (not_converged, weak_step_rule, weak_loss, stronger_from_elsewhere)
    for check in (*checks, black_box_beats_white_box):
        assert check(figures, settings).raised, check
    assert "all there is (to silence)" in weak_step_rule(figures, settings).reason
    assert not collapsed(figures, settings).raised
    # Where the attack itself silences, nothing is stronger.
    done = {**figures, "at_bs": silence, "steps": {"5": silence, "10": silence}}
    done["transfer"] = {"x-1": {"x-1": {"gain": 0.0}, "y-1": {"gain": 0.0}}}
    for check in checks:
        assert not check(done, settings).raised, check
    assert fall(silence, silence) == 0 and fall(3.0, silence) == np.inf


def test_an_output_that_is_not_a_number_is_no_silence(make_params: MakeParams) -> None:
    class Broken(Plain):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return super().separate(mixture) * torch.nan

    params = make_params(attack=ATTACK, audit=SETTINGS)
    bench = Bench(Broken(), material(), material(), params.attack)
    outcome = bench.outcome(bench.mixture)
    assert np.isnan(outcome).all() and not np.isneginf(outcome).any()


def test_what_is_not_finite_is_left_out_of_what_is_written() -> None:
    figures = {"a": {"b": float("nan"), "c": 1.0, "d": {"e": -np.inf}}, "f": 2, "g": None}
    assert without_absent(figures) == {"a": {"c": 1.0, "d": {}}, "f": 2, "g": None}


def test_every_flag_is_there(make_params: MakeParams) -> None:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    result = audited(make_params, Plain())
    assert not flags(result)["collapsed"].raised
    assert flags(result)["collapsed"].reason == "something is put out for every segment"
    auditor = Auditor(Bench(Plain(), material(), material(), params.attack), params.audit)
    figures = {**auditor.figures(), "seeds": 3, "gate": {"checks": []}}
    figures["transfer"] = {"x": {"x": {"drop": 1.0, "gain": 0.0, "parts": 6}}}
    assert [flag.name for flag in raise_flags(figures, params.audit)] == list(flags(result))
