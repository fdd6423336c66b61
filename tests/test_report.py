"""The report's words: a verdict says what its interval and its correction allow, and no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rsvm.params import Params
from rsvm.report.build import verdict
from rsvm.report.tables import differences
from rsvm.report.threat import threat_in_words


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


def test_the_table_of_differences_leaves_out_what_is_not_a_system() -> None:
    entry = {"difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.04, "p_holm": 0.08}
    keys = ("si_sdr", "bs", "at_bs", "rb", "rb_net", "paired_drop")
    comparison = {"reference": "baseline", "n_tracks": 3, "robust": dict.fromkeys(keys, entry)}
    table = differences(comparison)
    assert [row[0].text for row in table.rows] == ["robust"]
    assert table.rows[0][1].note == "+0.00, +0.20; p = 0.080"
