"""The threat model in words: who perturbs what, with what knowledge, how far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stemproof.attacks.params import AttackParams
from stemproof.data.params import SegmentParams
from stemproof.figures import table
from stemproof.figures.collapse import COUNTS, WITHOUT_ENERGY

FATES = {
    "fixed": "stays the clean one",
    "recomputed": "is recomputed from the mixture that is heard (attacked through a "
    "straight-through gradient)",
}


def threat_in_words(attack: AttackParams, cut: SegmentParams, informed: bool = True) -> str:
    """Who perturbs what, with what knowledge and how, in a few sentences.

    Args:
        attack: the section ``attack``.
        cut: the section ``segments``.
        informed: whether the systems are given the mask of the true stems.
    """
    method = attack.of_method
    words = method.words(attack)
    budget = {
        "linf": f"max |delta| <= {attack.eps:g} (full scale 1)",
        "l2": f"||delta|| at {attack.snr:g} dB below the mixture",
        "l0": f"at most {attack.samples} samples, each by at most {attack.amplitude:g}",
    }[attack.norm]
    if method.aim is not None:
        budget = f"as small in {attack.norm} as costs {method.aim(attack):g} dB of SI-SDR"
    side = f"the mask, which {FATES[attack.mask]}"
    known = words.knows.format(
        weights="the weights", side=side if informed else "nothing beside the recording"
    )
    how = f"{words.how}; loss {attack.loss}"
    if "gradient" in method.needs:
        how += ", gradients of the attacked model itself"
        if attack.eot_samples > 1:
            how += f", averaged over {attack.eot_samples} passes"
    if words.worst_kept:
        how += "; the worst that was found is kept"
    whom = words.whom.format(length=f"{cut.seconds:g} s")
    return (
        f"The adversary adds a perturbation to the mixture only, {budget}, without clipping to "
        f"full scale, stored as float32. It knows {known}. {whom}: {how}."
    )


def collapse_in_words(name: str, metrics: Mapping[str, Any]) -> str:
    """On how many segments a system put out nothing, and what that means; empty where on none.

    Args:
        name: of the system.
        metrics: ``metrics/systems/NAME.json``.
    """
    clean, attacked, noisy = (metrics.get(key, 0) for key in COUNTS)
    if not (clean or attacked or noisy):
        return ""
    seeds = metrics["n_seeds"]
    over = "" if seeds == 1 else f" ({seeds} training seeds together)"
    said = (
        f"{name} puts out nothing (at most {WITHOUT_ENERGY:g} of the energy of the true vocals) "
        f"for {clean} of {metrics['n_segments'] * seeds} segments of the clean mixture, {attacked} "
        f"under attack and {noisy} under random noise{over}. There is no SI-SDR of silence: the "
        "medians leave these segments out, and figures of it are of what is left."
    )
    lost = [table.by_key()[key].words for key in metrics.get("without_value", ())]
    return f"{said} Of {', '.join(lost)} nothing is left." if lost else said
