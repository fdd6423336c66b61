"""Figures in the sentences of the page on the stored audit."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import ROOT

from stemproof.report.stored_runs import LONG, of_every_system

Audits = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def audits() -> Audits:
    names = {file.stem for file in (ROOT / LONG / "metrics/systems").glob("*.json")}
    found = of_every_system(ROOT / LONG / "plots/audit")
    return {name: audit for name, audit in found.items() if name in names}


@pytest.fixture(scope="module")
def text() -> str:
    return " ".join((ROOT / "docs/audit-musdb18-7.md").read_text(encoding="utf-8").split())


def test_more_steps_change_no_more_than_is_said(audits: Audits, text: str) -> None:
    late = [
        [value for steps, value in audit["steps"].items() if steps != "fgsm" and int(steps) >= 20]
        for audit in audits.values()
    ]
    moved = max(max(values) - min(values) for values in late)
    assert f"From 20 steps to 200 nothing moves by more than {moved:.3f} dB" in text


def test_what_is_left_under_larger_budgets(audits: Audits, text: str) -> None:
    (mixture,) = {f"{audit['mixture_si_sdr']:.2f}" for audit in audits.values()}
    left = {
        times: {name: audit["eps"][times] for name, audit in audits.items()}
        for times in audits["robust"]["eps"]
    }
    for times in ("3", "10"):
        assert max(left[times], key=lambda name: left[times][name]) == "robust"
    others = max(value for name, value in left["30"].items() if name != "robust")
    assert f"the mixture itself scores {mixture} dB" in text
    robust = left["30"]["robust"]
    assert f"`robust` is left with {robust:.1f} dB, all others with {others:.0f} and less" in text
    assert f"where the mixture itself has {float(mixture):.1f}" in text


def test_robust_by_peak_and_by_energy(audits: Audits) -> None:
    """By peak the hardest to break at every level; by energy not at 3 and 6 dB."""
    for level in ("1", "3", "6"):
        peaks = {name: audit["minimal_snr"]["linf"][level] for name, audit in audits.items()}
        energy = {
            name: own[f"break_{level}db"]
            for name, own in of_every_system(ROOT / LONG / "metrics/systems").items()
        }
        assert min(peaks, key=lambda name: peaks[name]) == "robust"
        assert (min(energy, key=lambda name: energy[name]) == "robust") == (level == "1")


def test_what_transfers(audits: Audits, text: str) -> None:
    """Crafted on models of seed 218, played to those of that seed and of the next."""

    def cost(crafted: str, played: str, seed: int = 218) -> float:
        return float(audits[played]["transfer"][f"{played}-{seed}"][f"{crafted}-218"]["drop"])

    def to_others(crafted: str) -> str:
        own = [cost(crafted, other) for other in audits if other != crafted]
        return f"{min(own):.2f} to {max(own):.2f}"

    attention, control, robust = "attention-only", "separation-only", "robust"
    for words in (
        f"seed {cost('baseline', attention):.2f} dB of the {cost(attention, attention):.2f} that",
        f"of another seed {cost('baseline', 'baseline', 219):.2f} dB of "
        f"{cost('baseline', 'baseline'):.2f}",
        f"another seed {cost(control, control, 219):.2f} dB, and other systems of its own seed "
        f"{to_others(control)}",
        f"another seed of it loses {cost(robust, robust, 219):.2f} dB, other systems of its seed "
        f"{to_others(robust)}",
    ):
        assert words in text, words


def test_a_mask_that_follows(audits: Audits, text: str) -> None:
    gained = [
        min(audit["masks"][crafted]["recomputed"] for crafted in ("fixed", "recomputed"))
        - audit["masks"]["fixed"]["fixed"]
        for audit in audits.values()
    ]
    assert f"attacked mixture: {min(gained):.2f} to {max(gained):.2f} dB better" in text
