"""What a protection bought and what it cost, as rows of tables and as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stemproof.protecting.measuring import undone

VERDICTS = {
    "strong": "what is wrong with the vocals is about as loud as they are",
    "partial": "the vocals are clearly changed",
    "weak": "the vocals are changed a little",
    "nil": "no more than noise of the same size does, or too little to matter",
}


def db(value: float | None, digits: int = 1) -> str:
    """A figure in dB; silence has none."""
    return "-" if value is None else f"{value:.{digits}f} dB"


def _lufs(value: float | None) -> str:
    return "silence" if value is None else f"{value:.1f} LUFS"


def cost_rows(document: dict[str, Any]) -> list[list[str]]:
    """What the protection costs: words and value."""
    own, peak = document["costs"], document["costs"]["peak"]
    rows = [
        ["budget", document["budget"]],
        ["song over perturbation", db(own["snr"])],
        ["loudness of the song", _lufs(own["lufs"]["song"])],
        ["loudness of the protected song", _lufs(own["lufs"]["protected"])],
        ["loudness of the perturbation", _lufs(own["lufs"]["perturbation"])],
        ["below the masking threshold", f"{own['below']:.2%}"],
        ["loudest above that threshold", db(own["above_db"])],
        ["largest sample, song and protected", f"{peak['song']:.4f}, {peak['protected']:.4f}"],
        ["largest change of a sample", f"{peak['perturbation']:.5f}"],
    ]
    if own["sixteen_bits"] is not None:
        rows.append(["perturbation over rounding to 16 bits", db(own["sixteen_bits"])])
    return rows


def effect_rows(document: dict[str, Any]) -> list[list[str]]:
    """What it buys, by system: a header, then one row each."""
    true = document["true_vocals"]
    head = ["vocals that are separated", "protected", "noise", "rest in vocals", "verdict"]
    if true:
        head[3:3] = ["SI-SDR before", "after", "with noise"]
    rows = [head]
    for group, how in (("aimed", ""), ("others", " (not aimed at)")):
        for name, own in document["effects"][group].items():
            row = [
                f"{name}{how}",
                *(db(own["output"][way]) for way in ("protected", "noise")),
                *(
                    [db(own["true"][way]) for way in ("clean", "protected", "noise")]
                    if true
                    else []
                ),
                db(own["leak"]["protected"]),
                own["verdict"],
            ]
            rows.append(row)
    return rows


def change_rows(own: dict[str, Any], group: str) -> list[list[str]]:
    """What becomes of the effect on one system after each change.

    Args:
        own: of the system.
        group: ``survives`` or ``undoing``.
    """
    rows = []
    for found in own[group].values():
        after = "made for" if found["tuned"] else "not made for"
        figures = [db(found["output"][way]) for way in ("protected", "noise")]
        rows.append([found["words"], after, *figures, found["verdict"]])
    return rows


def conclusions(document: dict[str, Any]) -> Iterator[str]:
    """What it means, in sentences, the unwelcome ones included."""
    effects = document["effects"]
    for name, own in effects["aimed"].items():
        yield f"{name}: {own['verdict']}: {VERDICTS[own['verdict']]}"
        base = own["survives"]["none"]
        lost = [found["words"] for found in own["survives"].values() if undone(base, found)]
        kept = sum(found["verdict"] != "nil" for found in own["survives"].values())
        if own["verdict"] != "nil":
            yield (
                f"{name}: something is left after {kept} of {len(own['survives'])} changes"
                + (f"; undone by: {', '.join(lost)}" if lost else "")
            )
            by_hand = [found["words"] for found in own["undoing"].values() if undone(base, found)]
            if by_hand:
                yield f"{name}: whoever wants to, undoes it by: {', '.join(by_hand)}"
    nil = [name for name, own in effects["others"].items() if own["verdict"] == "nil"]
    some = [name for name in effects["others"] if name not in nil]
    if some:
        yield f"on systems that it was not made for: something on {', '.join(some)}"
    if nil:
        yield f"on systems that it was not made for: nil on {', '.join(nil)}"
    if not [name for name in effects["others"] if name != "repeating"]:
        yield (
            "no other trained system was at hand: what becomes of this song on those that are not "
            "named here is not known, and may be nothing"
        )
    yield "no listening test was made"
