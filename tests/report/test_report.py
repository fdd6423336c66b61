"""The report's words: a verdict says what its interval and its correction allow, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import AllParams

from stemproof.attacks.registry import METHODS
from stemproof.paper.li2022 import verdicts
from stemproof.report.tables import differences
from stemproof.report.threats import smallest_p
from stemproof.report.words import threat_in_words


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
    entries = {"rb": entry, "paired_drop": entry}
    sentences = verdicts({"reference": "baseline", "improved": entries, "n_seeds": 3}, 0.95)
    assert said in sentences[0]
    assert sentences[1].startswith("The paired drop of SI-SDR ")
    for sentence in sentences:
        assert sentence.endswith("mean over 3 training seeds.")


def test_what_the_paper_did_not_compare_has_no_verdict() -> None:
    entry = {"difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.04, "p_holm": 0.08}
    entries = {"rb": entry, "paired_drop": entry}
    assert verdicts({"reference": "improved", "baseline": entries, "n_seeds": 1}, 0.95) == []
    assert verdicts({"reference": "baseline", "robust": entries, "n_seeds": 1}, 0.95) == []


CASES = (
    ("pgd", "linf"),
    ("pgd", "l2"),
    ("fgsm", "linf"),
    ("search", "linf"),
    ("noise", "l0"),
    ("universal", "linf"),
    ("minimal", "l2"),
    ("sparse", "l0"),
)


def test_every_threat_model_has_words(make_params: Callable[..., AllParams]) -> None:
    sentences = set()
    # Those that were added since, in the first norm that they work with.
    others = [(m.name, m.norms[0]) for m in METHODS.values() if m.name not in dict(CASES)]
    for method, norm in (*CASES, *others):
        for mask in ("fixed", "recomputed"):
            params = make_params(attack={"method": method, "norm": norm, "mask": mask})
            sentences.add(threat_in_words(params.attack, params.segments))
    assert len(sentences) == 2 * (len(CASES) + len(others))
    assert {method for method, _ in CASES} <= set(METHODS)


def test_a_threat_model_says_what_the_adversary_knows(
    make_params: Callable[..., AllParams],
) -> None:
    def words(**attack: Any) -> str:
        params = make_params(attack=attack)
        return threat_in_words(params.attack, params.segments)

    assert "It knows the weights, the true vocals" in words()
    assert "first step 0.5 of the budget" in words()
    assert "first step" not in words(pgd={"step_rule": "auto"})
    for method in ("search", "nes", "noise"):
        assert "outputs only" in words(method=method)
        assert "knows the weights" not in words(method=method)
    universal = words(method="universal")
    assert "nothing of the segment that is attacked" in universal
    assert "by itself" not in universal


def test_of_a_blind_system_the_adversary_knows_no_mask(
    make_params: Callable[..., AllParams],
) -> None:
    params = make_params()
    told = threat_in_words(params.attack, params.segments, informed=True)
    untold = threat_in_words(params.attack, params.segments, informed=False)
    assert "the mask, which stays the clean one" in told
    assert "mask" not in untold
    assert "nothing beside the recording" in untold


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
    table = differences(comparison, informed=True)
    assert table is not None
    assert [row[0].text for row in table.rows] == ["robust"]
    assert table.rows[0][1].note == "+0.00, +0.20; p = 0.080"
