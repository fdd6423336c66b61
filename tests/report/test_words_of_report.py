"""Verdicts, flags in plain words, transfer in a sentence, and how a run is made again."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import AllParams, default_tree
from scored_cases import PASSED

from stemproof.attacks.registry import METHODS
from stemproof.auditing.flags import CHECKS
from stemproof.core.params import Section, read_tree
from stemproof.report import advice, reproduce
from stemproof.report.provenance import last_change
from stemproof.report.transfers import transfer_in_words, transfer_values
from stemproof.report.verdicts import flags_in_words, lead, shares

MakeParams = Callable[..., AllParams]
SYSTEM = {
    "informed": True,
    "gate": PASSED,
    "n_tracks": 9,
    "n_seeds": 1,
    "perturbation_snr": 33.0,
    "bs": 6.0,
    "mixture_si_sdr": -4.0,
}


def system(name: str, drop: float | None = 0.5, **changes: Any) -> dict[str, Any]:
    figures = {} if drop is None else {"drop": drop, "drop_low": drop / 2, "drop_high": 2 * drop}
    return {**SYSTEM, **figures, "name": name, **changes}


def audit(*raised: str) -> dict[str, Any]:
    words = {name: "RAISED" if name in raised else "clear" for name in CHECKS}
    return {"reasons": [[name, word, "why"] for name, word in words.items()]}


def said(params: AllParams, *systems: dict[str, Any], flags: Any = None) -> str:
    audits = flags or {one["name"]: audit("few seeds") for one in systems}
    levels = pd.DataFrame(
        {"seed": 1, "track": [f"{n}" for n in range(9)], "perturbation_snr": np.arange(20.0, 29.0)}
    )
    tables = {one["name"]: levels for one in systems}
    return lead(systems, audits, params.attack, params.statistics, tables)


def test_the_verdict_has_data_interval_and_flags(make_params: MakeParams) -> None:
    found = said(make_params(), system("a"), system("b", 1.0))
    assert found == (
        "Informed systems: a perturbation 33 dB below the mixture (pgd: projected gradient steps) "
        "costs a 0.50 dB [0.25, 1.00] and b 1.00 dB [0.50, 2.00] of SI-SDR on the same segment "
        "(paired drop; 95% intervals over 9 tracks, 1 training seed); flags: 1 of "
        f"{len(CHECKS)} raised (few seeds)."
    )


@pytest.mark.parametrize("method", METHODS)
def test_every_attack_has_a_verdict(make_params: MakeParams, method: str) -> None:
    params = make_params(attack={"method": method, "norm": METHODS[method].norms[0]})
    found = said(params, system("a"))
    assert method in found or METHODS[method].aim
    assert "`" not in found
    # Of what was asked for there is no news.
    assert ("0.50 dB" in found) == (METHODS[method].aim is None)
    assert ("24.0 dB [2" in found) == (METHODS[method].aim is not None)


def test_what_has_no_interval_and_what_is_silent_says_so(make_params: MakeParams) -> None:
    one = {k: v for k, v in system("a", n_tracks=1).items() if not k.startswith("drop_")}
    found = said(make_params(), one)
    assert "costs a 0.50 dB of SI-SDR" in found and "of one recording there is no interval" in found
    assert "costs a all (it puts out nothing)" in said(make_params(), system("a", None))
    opaque = system("a", gate={**PASSED, "passed": False}, informed=False)
    found = said(make_params(), opaque)
    assert found.startswith("Blind systems") and "a (attacked without gradients) 0.50 dB" in found
    assert "search: random search without gradients" in found


def test_flags_are_told_once_where_they_are_the_same() -> None:
    count = len(CHECKS)
    same = {"a": audit(), "b": audit()}
    assert flags_in_words(same) == f"flags: none of {count} raised"
    other = {"a": audit(), "b": audit("collapsed", "few seeds")}
    assert flags_in_words(other) == (
        f"flags: a none of {count} raised; b 2 of {count} raised (collapsed, few seeds)"
    )
    unmeasured = audit()
    unmeasured["reasons"][0][1] = "not measured"
    assert flags_in_words({"a": unmeasured}) == f"flags: none of {count - 1} raised"


def test_a_loss_is_a_share_of_what_there_is_to_lose() -> None:
    systems = [system("a"), system("b", 30.0), system("c", bs=-5.0), system("d", None)]
    assert shares(systems) == [
        "a loses 5% of the 10.0 dB that its separation gains over the mixture.",
        "b loses all of the 10.0 dB that its separation gains over the mixture.",
        "c separates no better than the mixture itself: there is nothing to lose.",
    ]


def test_every_flag_has_plain_words_and_commands_that_exist(make_params: MakeParams) -> None:
    for method in METHODS:
        params = make_params(attack={"method": method, "norm": METHODS[method].norms[0]})
        known = advice.meanings(params.attack, params.train.seeds)
        assert set(known) == set(CHECKS)
        for meaning in known.values():
            for setting in meaning.settings:
                key, _, value = setting.partition("=")
                tree: Any = default_tree()
                for part in key.split("."):
                    tree = tree[part]
                assert yaml.safe_load(value) != tree or key == "attack.method"


def test_what_next_follows_from_what_was_measured(make_params: MakeParams) -> None:
    params = make_params()
    audits = {
        "a": {
            **audit("few seeds", "weak loss", "weak step rule"),
            "objectives": {"si_sdr": 3.0, "mse": 2.0, "worst": 1.0},
            "rules": {"decaying": 3.0, "adam": 2.5},
        },
        "b": audit("few seeds"),
    }
    found = {one.name: one for one in advice.raised(audits, params.attack, [7])}
    assert list(found) == ["weak step rule", "weak loss", "few seeds"]
    assert found["few seeds"].systems == "a, b"
    assert found["few seeds"].command == "dvc exp run -S 'train.seeds=[7,8,9]'"
    assert found["weak loss"].command == "dvc exp run -S attack.loss=mse"
    assert "-S attack.pgd.step_rule=adam" in found["weak step rule"].command
    assert advice.raised({"a": audit()}, params.attack, [7]) == []


def crossed() -> dict[str, Any]:
    """Two informed models and a blind one; of each pair what is lost, and how much more."""

    def of(**cells: tuple[float, float]) -> dict[str, Any]:
        return {name: {"drop": d, "gain": d - own} for name, (d, own) in cells.items()}

    return {
        "x": {"threat": "blind", "transfer": {"x": of(x=(8.0, 8.0), a=(0.4, 8.0), b=(0.8, 8.0))}},
        "a": {"threat": "informed", "transfer": {"a": of(a=(1.0, 1.0), b=(0.9, 1.0), x=(0.1, 1))}},
        "b": {"threat": "informed", "transfer": {"b": of(a=(1.6, 2.0), b=(2.0, 2.0))}},
    }


def test_transfer_is_a_table_and_a_sentence() -> None:
    values, groups = transfer_values(crossed())
    names = ["a (informed)", "b (informed)", "x (blind)"]
    assert list(values.index) == list(values.columns) == names and groups == [2, 1]
    # Row: crafted on; column: played to.
    assert values.loc["a (informed)", "b (informed)"] == 1.6
    assert values.loc["x (blind)", "a (informed)"] == 0.1
    assert np.isnan(values.loc["x (blind)", "b (informed)"])
    words = transfer_in_words(crossed())
    assert "for an informed model carries over nearly whole to another: it costs 85%" in words
    assert "for an informed model hardly carries over to a blind one: it costs 8%" in words
    assert "for a blind model hardly carries over to an informed one: it costs 10%" in words
    assert "(one pair)" in words and words.count("(median of 2 pairs)") == 2
    assert transfer_in_words({"a": crossed()["a"]}) == ""


def test_the_parameters_that_are_not_the_defaults(make_params: MakeParams) -> None:
    class Inner(Section):
        same: int = 1
        other: int = 2

    class Outer(Section):
        needed: str
        inner: Inner = Inner()
        listed: tuple[int, ...] = (1, 2)

    assert reproduce.differing(Outer(needed="x")) == {"needed": "x"}
    changed = Outer(needed="x", inner=Inner(other=3), listed=(2,))
    assert reproduce.differing(changed) == {"needed": "x", "inner": {"other": 3}, "listed": [2]}
    params = make_params(attack={"eps": 0.25})
    found = reproduce.of_run(params, {"baseline"})
    assert found["attack"]["eps"] == 0.25 and "loss" not in found["attack"]
    assert list(found["separators"]) == ["baseline"]
    # With what has no default they make the run again.
    again = {key: {} for key in AllParams.model_fields} | yaml.safe_load(yaml.safe_dump(found))
    again["separators"] = dict(params.separators)
    assert AllParams.model_validate(again) == params


def test_a_commit_is_that_of_the_code(tmp_path: Path) -> None:
    assert last_change(tmp_path) == "not known: no git checkout"

    def git(*arguments: str) -> str:
        named = ("-c", "user.name=t", "-c", "user.email=t@t")
        done = subprocess.run(
            ["git", *named, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(name: str) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
        git("add", "--all")
        git("commit", "--quiet", "--message", name)
        return git("rev-parse", "HEAD")

    git("init", "--quiet")
    code = commit("stages/x.py")
    assert commit("report/index.html") != code
    assert last_change(tmp_path) == code
    (tmp_path / "stages/x.py").write_text("changed")
    assert last_change(tmp_path) == f"{code}, with changes that are not committed"


def test_shipped_parameters_name_the_section() -> None:
    assert read_tree(Path(__file__).parents[1] / "params.yaml")["report"] == {"audio": "demo"}
