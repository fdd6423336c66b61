"""Li (2022), "Robustness Improvement for Audio Source Separation Platform".

The only module that knows which systems the paper is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Names under `separators` of what the paper compares.
RSVM, IMPROVED = "baseline", "improved"

PAPER_RSVM = "RSVM, Li (2022), MUSDB18"
# Of RSVM's authors: settings/rl_experiment_settings.py of github.com/Js-Mim/rl_singing_voice.
SONGS, EPOCHS = 100, 8

# Table 1, in dB. The improved system's own figures give 0.42.
TABLE: dict[str, dict[str, float]] = {
    PAPER_RSVM: {"si_sdr": 29.88, "bs": 4.96, "at_bs": 4.29, "rb": 0.67},
    "improved RSVM, Li (2022), MUSDB18": {
        "si_sdr": 28.52,
        "bs": 5.45,
        "at_bs": 5.03,
        "rb": 0.41,
    },
}
LOSSES = (
    "is larger for the improved system (it loses more)",
    "is smaller for the improved system (it loses less)",
)
BREAKS = (
    "is higher for the improved system (smaller perturbations break it)",
    "is lower for the improved system (it takes larger perturbations to break it)",
)
GAINS = "is higher for the improved system", "is lower for the improved system"


def reconstruction(system: Mapping[str, Any], data: Mapping[str, Any], rise: float | None) -> str:
    """Why SI-SDR differs from the paper's: what is known, and what is not.

    Args:
        system: metrics of the RSVM of the run.
        data: ``metrics/data.json``.
        rise: by how many dB the last epoch raised it on validation songs; None if not known.
    """
    epochs = max(int(own["epoch"]) for own in system["training"].values())
    train = data["train"]
    said = (
        "SI-SDR of the reconstruction says how well a system's representation was trained: the "
        "true vocals go in and come out, nothing is separated and nothing is attacked. Here it is "
        f"{system['si_sdr']:.2f} dB for {RSVM}, the paper has {TABLE[PAPER_RSVM]['si_sdr']} dB. "
        f"Known: this run trained {epochs} epoch{'' if epochs == 1 else 's'} on "
        f"{train['segments']:,} segments from {train['tracks']} tracks ({train['seconds']:,.0f} s "
        "of music)"
    )
    if rise is not None and rise > 0:
        said += f", and its last epoch still raised it by {rise:.2f} dB on validation songs"
    return (
        f"{said}; the paper's figures are of MUSDB18, and the public settings of RSVM name "
        f"{SONGS} songs of it and {EPOCHS} epochs, as many times more steps as there is more "
        "music. Not known: how long the paper's own systems were trained, on which segments they "
        "were tested, and how large its perturbation was. Whether more music closes the gap was "
        "not measured in this run. So the rows of the paper are there to be seen; what is "
        "compared, with intervals, are systems of this run."
    )


def verdicts(comparison: Mapping[str, Any], confidence: float) -> list[str]:
    """What the intervals allow to say of the paper's claim; nothing of what was not tested.

    Args:
        comparison: ``metrics/comparison.json``.
        confidence: of its intervals.
    """
    if comparison["reference"] != RSVM or IMPROVED not in comparison:
        return []
    figures = {
        "rb": ("RB", LOSSES),
        "paired_drop": ("The paired drop of SI-SDR", LOSSES),
        "paired_break_3db": ("The break point at 3 dB, song by song,", BREAKS),
        "paired_bs": ("BS, song by song,", GAINS),
        "paired_at_bs": ("AT-BS, song by song,", GAINS),
    }
    return [
        _verdict(comparison, confidence, key, *figure)
        for key, figure in figures.items()
        if key in comparison[IMPROVED]  # nothing is left of it where a system put out silence
    ]


def _verdict(
    comparison: Mapping[str, Any],
    confidence: float,
    key: str,
    figure: str,
    words: tuple[str, str],
) -> str:
    """What an interval allows to say, in one sentence; the words are of a rise and of a fall."""
    entry = comparison[IMPROVED][key]
    numbers = f"{entry['difference']:+.3f} dB [{entry['low']:+.3f}, {entry['high']:+.3f}]"
    if entry["low"] > 0:
        claim = words[0]
    elif entry["high"] < 0:
        claim = words[1]
    else:
        claim = "shows no difference between the systems: the interval holds zero"
    if entry["low"] * entry["high"] > 0 and entry["p_holm"] >= 1 - confidence:
        claim += ", but not after correction for the number of comparisons"
    count = comparison["n_seeds"]
    seeds = "one training seed each" if count == 1 else f"mean over {count} training seeds"
    return f"{figure} {claim}; {IMPROVED} minus {RSVM} is {numbers}, {seeds}."
