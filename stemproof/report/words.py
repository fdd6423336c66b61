"""The threat model in words: who perturbs what, with what knowledge, how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
Metrics = Mapping[str, Any]


def threat_in_words(
    attack: AttackParams,
    cut: SegmentParams,
    informed: bool = True,
    gate: Metrics | None = None,
    snr: float | None = None,
) -> str:
    """Who perturbs what, with what knowledge and how, in a few sentences.

    Args:
        attack: the section ``attack``.
        cut: the section ``segments``.
        informed: whether the systems are given the mask of the true stems.
        gate: what the gate before the attack found of the system; None where it was not asked.
        snr: mixture over the perturbation that was found, in dB; None where it is not said.
    """
    used = attacks_of(attack, gate)
    words = [own.of_method.words(own) for own in used]
    budget = {
        "linf": f"max |delta| <= {attack.eps:g} (full scale 1)",
        "l2": f"||delta|| at {attack.snr:g} dB below the mixture",
        "l0": f"at most {attack.samples} samples, each by at most {attack.amplitude:g}",
    }[attack.norm]
    if used[0].of_method.aim is not None:
        budget = (
            f"as small in {attack.norm} as costs {used[0].of_method.aim(attack):g} dB of SI-SDR"
        )
    part, length, side = "segment", f"{cut.seconds:g} s", f"the mask, which {FATES[attack.mask]}"
    if not informed:
        part, side = part_of(attack), "nothing beside the recording"
        length = f"{attack.excerpt or 0:g} s (the last one with the rest of its recording)"
    fields = {"weights": "the weights", "side": side, "part": part, "length": length}
    how = f"{', then '.join(said.how for said in words)}; loss {attack.loss}"
    if any("gradient" in own.of_method.needs for own in used):
        how += ", gradients of the attacked model itself"
        if attack.eot_samples > 1:
            how += f", averaged over {attack.eot_samples} passes"
    if any(said.worst_kept for said in words):
        how += "; the worst that was found is kept"
    whom = words[0].whom
    if part == "recording":  # each has a length of its own
        whom = whom.replace(" of {length}", "")
    heard = "the mixture only" if informed else "the recording itself, in all of its channels"
    said = (
        f"The adversary adds a perturbation to {heard}, {budget}, without clipping to "
        f"full scale, stored as float32. It knows {words[0].knows.format(**fields)}. "
        f"{whom.format(**fields)}: {how}."
    )
    reason = gate_in_words(gate)
    if reason:
        said += f" No white-box attack: {reason}."
    return said if snr is None else f"{said} Mixture over perturbation: {snr:.1f} dB (median)."


def attacks_of(attack: AttackParams, gate: Metrics | None) -> list[AttackParams]:
    """The attack, or those in its place for a system whose gradient did not pass the gate.

    Args:
        attack: the section ``attack``.
        gate: what the gate before the attack found; None where it was not asked.
    """
    if gate is None or gate["passed"] or "gradient" not in attack.of_method.needs:
        return [attack]
    return [attack.model_copy(update={"method": name}) for name in attack.without_gradient]


def gate_in_words(gate: Metrics | None) -> str:
    """Why a gradient is of no use; empty where it passed the gate, or was not asked."""
    checks = () if gate is None else gate["checks"]
    return "; ".join(check["reason"] for check in checks if not check["passed"])


def part_of(attack: AttackParams) -> str:
    """What a blind system hears at once."""
    return "recording" if attack.excerpt is None else "excerpt"


def heard_in_words(
    metrics: Metrics,
    data: Metrics,
    attack: AttackParams,
    cut: SegmentParams,
    names: Sequence[str],
) -> str:
    """Which recordings the systems of one threat model were attacked on.

    Args:
        metrics: ``metrics/systems/NAME.json`` of any of them.
        data: ``metrics/data.json``.
        attack: the section ``attack``.
        cut: the section ``segments``.
        names: of the tracks that have figures.
    """
    count, total = metrics["n_tracks"], data["test"]["tracks"]
    said = f"{count} of {total} test tracks have audible vocals"
    if not metrics["informed"]:
        said = f"{count} of {total} test tracks"
        if count <= 3:
            said += f" ({', '.join(names)})"
        if data["source"] == "demo" and not attack.rendered and count < total:
            said += ", the rendered songs not among them"
        if "channels" in data:
            said += f", in {data['channels']} channel{'s' if data['channels'] > 1 else ''}"
        whole = "as a whole" if attack.excerpt is None else f"in excerpts of {attack.excerpt:g} s"
        said += f", heard {whole}"
    windows = "segments" if metrics["informed"] else f"windows of {cut.seconds:g} s"
    return (
        f"{said}; {metrics['n_segments']} {windows} that count, {metrics['n_skipped']} skipped as "
        "too quiet."
    )


def collapse_in_words(name: str, metrics: Metrics) -> str:
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
    figures = table.by_key()
    lost = [figures[key].said(metrics["informed"]) for key in metrics.get("without_value", ())]
    return f"{said} Of {', '.join(lost)} nothing is left." if lost else said


def audited_in_words(audit: Metrics, informed: bool) -> str:
    """How much an audit attacked, of how much there is that counts.

    Args:
        audit: figures of the audit of one system.
        informed: whether the system is.
    """
    if "parts" not in audit:
        return "a few parts"
    count, whole = audit["parts"], audit.get("chosen_from")
    unit = "segment" if informed else "excerpt"
    of = "" if whole is None else f" of {whole}"
    plural = "" if (whole or count) == 1 else "s"
    return f"{count}{of} {unit}{plural}" + ("" if informed else ", scored as a whole")


def limits_in_words(attack: AttackParams, cut: SegmentParams, informed: bool) -> str:
    """What was attacked, and what therefore was not, of the systems of one threat model.

    Args:
        attack: the section ``attack``.
        cut: the section ``segments``.
        informed: which threat model.
    """
    if informed:
        return f"Informed systems: mono, segments of {cut.seconds:g} s, a mask of the true stems."
    if attack.excerpt is None:
        return "Blind systems: recordings as they are, with nothing around them."
    return (
        f"Blind systems: excerpts of {attack.excerpt:g} s, each heard and attacked by itself; "
        "nothing is said of a recording as a whole."
    )
