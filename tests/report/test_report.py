"""The report's words: a verdict says what its interval and its correction allow, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stemproof.params import Params
from stemproof.report.build import smallest_p, verdict
from stemproof.report.tables import differences
from stemproof.report.threat import threat_in_words


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "said"),
    [
        (0.1, 0.3, 0.01, "RB is larger for the improved system (it loses more); improved"),
        (-0.3, -0.1, 0.01, "RB is smaller for the improved system (it loses less); improved"),
        (-0.1, 0.3, 0.4, "RB shows no difference between the systems: the interval holds zero"),
        (-0.3, -0.1, 0.2, "(it loses less), but not after correction for the number of"),
    ],
)
def test_the_verdict_follows_from_interval_and_correction(
    low: float, high: float, p_holm: float, said: str
) -> None:
    entry = {"difference": (low + high) / 2, "low": low, "high": high, "p_holm": p_holm}
    sentence = verdict({"improved": {"rb": entry}, "n_seeds": 3}, 0.95, "rb", "RB")
    assert said in sentence
    assert sentence.endswith("mean over 3 training seeds.")


def test_every_threat_model_has_words(make_params: Callable[..., Params]) -> None:
    sentences = set()
    for method, norm in (
        ("pgd", "linf"),
        ("pgd", "l2"),
        ("fgsm", "linf"),
        ("search", "linf"),
        ("noise", "l0"),
        ("universal", "linf"),
        ("minimal", "l2"),
        ("sparse", "l0"),
    ):
        for mask in ("fixed", "recomputed"):
            params = make_params(attack={"method": method, "norm": norm, "mask": mask})
            sentences.add(threat_in_words(params))
    assert len(sentences) == 16


def test_a_threat_model_says_what_the_adversary_knows(make_params: Callable[..., Params]) -> None:
    def words(**attack: Any) -> str:
        return threat_in_words(make_params(attack=attack))

    assert "It knows the weights, the true vocals" in words()
    assert "first step 0.5 of the budget" in words()
    assert "first step" not in words(step_rule="auto")
    for method in ("search", "noise"):
        assert "outputs only" in words(method=method)
        assert "knows the weights" not in words(method=method)
    universal = words(method="universal")
    assert "nothing of the segment that is attacked" in universal
    assert "by itself" not in universal


def test_the_smallest_p_value_that_a_table_can_show() -> None:
    keys = ("si_sdr", "bs", "at_bs", "rb", "rb_net", "paired_drop")
    comparison = {"reference": "x", "n_tracks": 50, "y": dict.fromkeys(keys), "z": {}}
    assert smallest_p(comparison, 19_999) == pytest.approx(6 * 2 / 20_000)
    assert smallest_p({**comparison, "n_tracks": 5}, 19_999) == pytest.approx(6 / 16)
    assert smallest_p({**comparison, "n_tracks": 2}, 19_999) == 1


def test_the_table_of_differences_leaves_out_what_is_not_a_system() -> None:
    entry = {"difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.04, "p_holm": 0.08}
    keys = ("si_sdr", "bs", "at_bs", "rb", "rb_net", "paired_drop")
    comparison = {"reference": "baseline", "n_tracks": 3, "robust": dict.fromkeys(keys, entry)}
    table = differences(comparison)
    assert [row[0].text for row in table.rows] == ["robust"]
    assert table.rows[0][1].note == "+0.00, +0.20; p = 0.080"
