"""What every flag means, in plain words, and the command that looks into it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stemproof.attacks.params import AttackParams

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Meaning:
    """Why a raised flag matters, and what to do.

    Attributes:
        words: for a reader who knows nothing of attacks.
        settings: of ``dvc exp run -S``; empty where no parameter helps.
    """

    words: str
    settings: tuple[str, ...] = ()


def meanings(
    attack: AttackParams, seeds: list[int], audit: Metrics | None = None
) -> dict[str, Meaning]:
    """By the name of the flag.

    Args:
        attack: the section ``attack``.
        seeds: of the run's training.
        audit: figures of a system that raises it, which say what is stronger.
    """
    rule, loss = (_strongest(audit or {}, key) for key in ("rules", "objectives"))
    steps = getattr(attack.settings, "steps", None)
    more = (f"attack.{attack.method}.steps={2 * steps}",) if steps else ()
    first = seeds[0]
    three = [*seeds, *(seed for seed in range(first, first + 3) if seed not in seeds)]
    return {
        "budget violated": Meaning(
            "The attack was larger than allowed: its figures do not count. Attack again."
        ),
        "collapsed": Meaning(
            "For some segments the system puts out nothing. The medians leave them out and look "
            "better than the system is; read the break points, which count them."
        ),
        "no white box": Meaning(
            "The attack could not look into the system. One that can is likely to cost more."
        ),
        "randomized": Meaning(
            "The system does not give the same output twice. The attack has to average over its "
            "draws, or it looks weaker than it is.",
            ("attack.eot_samples=10",),
        ),
        "zero gradients": Meaning(
            "The system hides from the attack which way to go; it need not be robust. Try an "
            "attack that needs no gradient.",
            ("attack.method=search",),
        ),
        "wrong gradients": Meaning(
            "The system tells the attack a wrong way to go; it need not be robust. Try an attack "
            "that needs no gradient.",
            ("attack.method=search",),
        ),
        "NaN on silence": Meaning(
            "The system fails on silence: a fault of its code, to be mended before it is measured."
        ),
        "separates worse than the mixture": Meaning(
            "Without any attack the system is worse than no separation. What an attack costs it "
            "says nothing; train it longer, or on more music."
        ),
        "no better than noise": Meaning(
            "Random noise of the same size does as much harm: the attack found nothing."
        ),
        "not converged": Meaning(
            "A longer search finds a stronger attack: the true loss is larger than the figure. "
            "Double until this flag is clear; a system that collapses has no floor.",
            more or (f"attack.restarts={2 * attack.restarts}",),
        ),
        "weak step rule": Meaning(
            "Another way of searching finds a stronger attack: the true loss is larger.",
            ("attack.method=pgd", f"attack.pgd.step_rule={rule or 'auto'}"),
        ),
        "weak loss": Meaning(
            "The attack aims at something that costs less than what it could aim at: the true "
            "loss is larger.",
            (f"attack.loss={loss}",) if loss and loss != attack.loss else (),
        ),
        "not monotone": Meaning(
            "A larger perturbation costs less than a smaller one: the attack is stuck somewhere."
        ),
        "does not collapse": Meaning(
            "Even a huge perturbation leaves the system well: the attack hardly reaches it."
        ),
        "black box beats white box": Meaning(
            "An attack that knows nothing of the system is the stronger one: the gradient "
            "misleads.",
            ("attack.method=search",),
        ),
        "stronger from elsewhere": Meaning(
            "What was made for another system harms this one more than its own attack: that was "
            "too weak.",
            (f"attack.restarts={attack.restarts + 4}",) if attack.of_method.restarts else (),
        ),
        "weak mask gradient": Meaning(
            "The attack does not see through the mask that is made again: the loss may be larger."
        ),
        "aim not reached": Meaning(
            "The search for a perturbation that costs as much as was asked found none for some of "
            "the music. How small the others are says nothing of that: read the break points.",
        ),
        "few seeds": Meaning(
            "A system was trained once, or a few times. Trained again it would come out "
            "differently, and the intervals know too little of that.",
            (f"train.seeds=[{','.join(map(str, three))}]",),
        ),
    }


def _strongest(audit: Metrics, key: str) -> str:
    """The step rule, or loss, under which least is left; empty where none was measured."""
    found = {name: value for name, value in audit.get(key, {}).items() if name != "worst"}
    return min(found, key=lambda name: found[name], default="")


def command(settings: tuple[str, ...]) -> str:
    """The command that runs with other parameters; empty for none."""
    options = " ".join(f"-S {shlex.quote(setting)}" for setting in settings)
    return f"dvc exp run {options}" if options else ""


@dataclass(frozen=True)
class Raised:
    """A flag that is raised.

    Attributes:
        name: of the flag.
        systems: of which.
        words: what it means.
        command: that looks into it; empty for none.
    """

    name: str
    systems: str
    words: str
    command: str


def raised(audits: Mapping[str, Metrics], attack: AttackParams, seeds: list[int]) -> list[Raised]:
    """The flags that any system of a run raises."""
    by_flag: dict[str, list[str]] = {}
    for system, audit in audits.items():
        for name, word, _ in audit["reasons"]:
            if word == "RAISED":
                by_flag.setdefault(name, []).append(system)
    found = []
    for name, systems in by_flag.items():
        meaning = meanings(attack, seeds, audits[systems[0]])[name]
        found.append(Raised(name, ", ".join(systems), meaning.words, command(meaning.settings)))
    return found
