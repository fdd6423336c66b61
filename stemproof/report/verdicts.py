"""What was found, in a sentence or two, with data, interval and flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stemproof.attacks.params import AttackParams
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import bootstrap, median
from stemproof.report.words import attacks_of

Metrics = Mapping[str, Any]


def lead(
    systems: Sequence[Metrics],
    audits: Mapping[str, Metrics],
    attack: AttackParams,
    statistics: StatisticsParams,
    tracks: Mapping[str, pd.DataFrame],
) -> str:
    """The verdict on the systems of one threat model, in one sentence.

    Of an attack with an aim (``minimal``) it is how small the perturbation is, for what it costs
    was asked for; of all others what the attack costs on the same segment.

    Args:
        systems: their metrics.
        audits: flags of all systems of the run.
        attack: the section ``attack``.
        statistics: the section ``statistics``.
        tracks: tables per track.
    """
    first = systems[0]
    count, seeds = first["n_tracks"], max(system["n_seeds"] for system in systems)
    kind = "informed" if first["informed"] else "blind"
    over = f"{count} track{_s(count)}, {seeds} training seed{_s(seeds)}"
    white = [system for system in systems if system["gate"]["passed"]] or systems
    name = _attack(attack, white[0]["gate"])
    size = _size(white)
    aim = attack.of_method.aim
    if aim is None:
        found = _list([f"{_name(s)} {_cost(s)}" for s in systems])
        said = f"a perturbation{size} ({name}) costs {found}"
        unit = "of SI-SDR on the same segment (paired drop"
    else:
        table = {s["name"]: _smallness(tracks[s["name"]], statistics) for s in systems}
        found = _list([f"{table[s['name']]} below the mixture for {_name(s)}" for s in systems])
        said = (
            f"the smallest perturbation found that costs {aim(attack):g} dB of SI-SDR lies {found}"
        )
        unit = "(median"
    has_interval = "drop_low" in first
    interval = f"{statistics.confidence:.0%} intervals over {over}"
    if not has_interval:
        interval = f"{over}; of one recording there is no interval"
    raised = flags_in_words({s["name"]: audits[s["name"]] for s in systems})
    return f"{kind.capitalize()} systems: {said} {unit}; {interval}); {raised}."


def shares(systems: Sequence[Metrics]) -> list[str]:
    """What the loss is of what separation gains at all, one sentence a system."""
    said = []
    for system in systems:
        if not {"bs", "mixture_si_sdr", "drop"} <= set(system):
            continue
        gain = system["bs"] - system["mixture_si_sdr"]
        name = system["name"]
        if gain <= 0:
            said.append(
                f"{name} separates no better than the mixture itself: there is nothing to lose."
            )
            continue
        share = system["drop"] / gain
        much = "all" if share >= 1 else f"{max(share, 0):.0%}"
        said.append(
            f"{name} loses {much} of the {gain:.1f} dB that its separation gains over the mixture."
        )
    return said


def flags_in_words(audits: Mapping[str, Metrics]) -> str:
    """How many flags are raised, and which: once where all systems have the same ones."""
    by_system = {name: _flags(audit) for name, audit in audits.items()}
    if len(set(by_system.values())) == 1:
        return f"flags: {next(iter(by_system.values()))}"
    return "flags: " + "; ".join(f"{name} {said}" for name, said in by_system.items())


def _flags(audit: Metrics) -> str:
    words = [(name, word) for name, word, _ in audit["reasons"] if word != "not measured"]
    raised = [name for name, word in words if word == "RAISED"]
    if not raised:
        return f"none of {len(words)} raised"
    return f"{len(raised)} of {len(words)} raised ({', '.join(raised)})"


def _attack(attack: AttackParams, gate: Metrics) -> str:
    used = attacks_of(attack, gate)
    summaries = [own.of_method.summary.partition(";")[0].partition(",")[0] for own in used]
    summaries = [summary.replace("`", "") for summary in summaries]
    names = " then ".join(own.method for own in used)
    return f"{names}: {' and '.join(summaries)}"


def _size(systems: Sequence[Metrics]) -> str:
    levels = [s["perturbation_snr"] for s in systems if "perturbation_snr" in s]
    if not levels:
        return ""
    low, high = min(levels), max(levels)
    between = f"{low:.0f}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f} to {high:.0f}"
    return f" {between} dB below the mixture"


def _name(system: Metrics) -> str:
    return system["name"] + ("" if system["gate"]["passed"] else " (attacked without gradients)")


def _cost(system: Metrics) -> str:
    if "drop" not in system:
        return "all (it puts out nothing)"
    ends = [system[end] for end in ("drop_low", "drop_high") if end in system]
    interval = f" [{', '.join(f'{end:.2f}' for end in ends)}]" if ends else ""
    return f"{system['drop']:.2f} dB{interval}"


def _smallness(table: pd.DataFrame, statistics: StatisticsParams) -> str:
    levels = table.pivot_table("perturbation_snr", "seed", "track", sort=False)
    found = bootstrap(median, levels.to_numpy(dtype=np.float64), **statistics.options)
    interval = f" [{found.low:.1f}, {found.high:.1f}]" if found.has_ends else ""
    return f"{found.value:.1f} dB{interval}"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _s(count: int) -> str:
    return "" if count == 1 else "s"
