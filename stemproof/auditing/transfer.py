"""What is crafted on one model, played to another."""

from __future__ import annotations

from collections.abc import Mapping

from stemproof.auditing.checks import Auditor


def transfer(auditors: Mapping[str, Auditor]) -> dict[str, dict[str, float]]:
    """AT-BS of every model (inner key) under what was crafted on every model (outer key)."""
    crafted = {name: auditor.own() for name, auditor in auditors.items()}
    return {
        source: {name: auditor.median_at_bs(found) for name, auditor in auditors.items()}
        for source, found in crafted.items()
    }


def other_mask(fixed: Auditor, recomputed: Auditor) -> dict[str, dict[str, float]]:
    """AT-BS of a model with either kind of mask (inner key) under the attack on either.

    The recomputed mask is attacked through a straight-through gradient. The fixed one needs none:
    it is the undefended twin, and what is crafted on it is played to the other.
    """
    return transfer({"fixed": fixed, "recomputed": recomputed})
