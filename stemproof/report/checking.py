"""Does a claim agree with itself? Whoever hands one in may have edited it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint
from stemproof.report.claims import Claim, read_claim

BUDGET = "budget violated"
CLOSE = 1e-6  # dB; so near are two ways to the same figure


def read_checked(path: Path) -> Claim:
    """Read a claim and hold it against itself.

    Raises:
        InputError: it is no claim; or its figures, budget, flags or hash disagree.
    """
    claim = read_claim(path)
    for fault in faults(claim):
        raise InputError(f"{path}: {fault}; write it again with stages/claim.py")
    return claim


def checked(claim: Claim) -> Claim:
    """A claim that is about to be written, held against itself.

    Raises:
        InputError: its figures, budget, flags or hash disagree.
    """
    for fault in faults(claim):
        raise InputError(f"no claim is written: of {claim.variant}, {fault}")
    return claim


def faults(claim: Claim) -> Iterator[str]:
    """What does not agree in a claim, one sentence each; none in one that was not edited."""
    yield from _of_figures(claim)
    yield from _of_flags(claim)
    yield from _of_parameters(claim)
    used = claim.budget_used
    if used is not None and used > 1:
        yield f"the perturbation is {used:g} of the budget; a claim is of an attack that keeps it"


def _of_figures(claim: Claim) -> Iterator[str]:
    values = {key: found.value for key, found in {**claim.clean, **claim.attacked}.items()}
    # Medians leave out what has collapsed, of each figure something else.
    whole = not any((claim.collapsed or {}).values())
    if whole and {"bs", "at_bs", "rb"} <= set(values):
        difference = values["bs"] - values["at_bs"]
        if abs(values["rb"] - difference) > CLOSE:
            yield f"rb = {values['rb']:g}, but bs - at_bs = {difference:g}"
    figures = {**claim.clean, **claim.attacked, **claim.minus_reference}
    for key, found in figures.items():
        if (found.low is None) != (found.high is None):
            yield f"{key} has one end of an interval"
        elif found.low is not None and found.high is not None:
            if found.low > found.high:
                yield f"the interval of {key} ends at {found.high:g}, below {found.low:g}"
            if claim.data.test_tracks < 2:
                yield f"{key} has an interval over a single recording"
    points = [values[key] for level in (1, 3, 6) if (key := f"break_{level}db") in values]
    if any(later > earlier + CLOSE for earlier, later in itertools.pairwise(points)):
        yield "what costs more is found at a higher SNR than what costs less"


def _of_flags(claim: Claim) -> Iterator[str]:
    states = {flag.name: flag.raised for flag in claim.flags}
    if len(states) < len(claim.flags):
        yield "a flag stands there twice"
    raised = sum(flag.raised for flag in claim.flags)
    if raised != claim.flags_raised:
        yield f"flags_raised = {claim.flags_raised}, but {raised} are"
    if BUDGET not in states:
        yield f"the flag {BUDGET} is missing"
    elif states[BUDGET]:
        yield f"the flag {BUDGET} is raised"
    passed = claim.gate is None or all(check.passed for check in claim.gate)
    if claim.gate is not None and claim.white_box != passed:
        yield f"white_box = {claim.white_box}, but of the gate it is {passed}"


def _of_parameters(claim: Claim) -> Iterator[str]:
    if fingerprint(claim.parameters) != claim.parameters_sha256:
        yield "parameters_sha256 is not the hash of its parameters"
    if not _agree(claim.attack, claim.parameters.get("attack", {})):
        yield "attack is another one than in its parameters"
    if claim.eps is not None and claim.eps != claim.attack.get("eps"):
        yield f"eps = {claim.eps:g}, but attack.eps = {claim.attack.get('eps')}"
    excerpt = claim.attack.get("excerpt") if claim.threat == "blind" else None
    if claim.excerpt != excerpt:
        yield f"excerpt = {claim.excerpt}, but the attack was on {excerpt}"


def _agree(first: Any, second: Any) -> bool:
    """Whether two trees have the same values where both have one; defaults may be left out."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return all(_agree(first[key], second[key]) for key in first if key in second)
    return bool(first == second)
