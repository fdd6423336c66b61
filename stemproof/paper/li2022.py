"""Li (2022), "Robustness Improvement for Audio Source Separation Platform".

The only module that knows which systems the paper is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Names under `separators` of what the paper compares.
RSVM, IMPROVED = "baseline", "improved"

# Table 1, in dB. The improved system's own figures give 0.42.
TABLE: dict[str, dict[str, float]] = {
    "RSVM, Li (2022), MUSDB18": {"si_sdr": 29.88, "bs": 4.96, "at_bs": 4.29, "rb": 0.67},
    "improved RSVM, Li (2022), MUSDB18": {
        "si_sdr": 28.52,
        "bs": 5.45,
        "at_bs": 5.03,
        "rb": 0.41,
    },
}


def verdicts(comparison: Mapping[str, Any], confidence: float) -> list[str]:
    """What the intervals allow to say of the paper's claim; nothing of what was not tested.

    Args:
        comparison: ``metrics/comparison.json``.
        confidence: of its intervals.
    """
    if comparison["reference"] != RSVM or IMPROVED not in comparison:
        return []
    figures = {"rb": "RB", "paired_drop": "The paired drop of SI-SDR"}
    return [
        _verdict(comparison, confidence, key, figure)
        for key, figure in figures.items()
        if key in comparison[IMPROVED]  # nothing is left of it where a system put out silence
    ]


def _verdict(comparison: Mapping[str, Any], confidence: float, key: str, figure: str) -> str:
    """What an interval allows to say, in one sentence."""
    entry = comparison[IMPROVED][key]
    numbers = f"{entry['difference']:+.3f} dB [{entry['low']:+.3f}, {entry['high']:+.3f}]"
    if entry["low"] > 0:
        claim = "is larger for the improved system (it loses more)"
    elif entry["high"] < 0:
        claim = "is smaller for the improved system (it loses less)"
    else:
        claim = "shows no difference between the systems: the interval holds zero"
    if entry["low"] * entry["high"] > 0 and entry["p_holm"] >= 1 - confidence:
        claim += ", but not after correction for the number of comparisons"
    count = comparison["n_seeds"]
    seeds = "one training seed each" if count == 1 else f"mean over {count} training seeds"
    return f"{figure} {claim}; {IMPROVED} minus {RSVM} is {numbers}, {seeds}."
