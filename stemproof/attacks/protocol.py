"""What every attack is, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from stemproof.attacks.case import Case, Found
from stemproof.core.params import Section

if TYPE_CHECKING:
    from stemproof.attacks.params import AttackParams

Need = Literal["gradient", "vocals", "start"]
REACHED = 0.02  # dB; so near to its aim an attack has reached it


class Attack(Protocol):
    """Any attack on a batch of recordings."""

    def __call__(self, case: Case) -> Found:
        """Attack a batch."""
        ...


@dataclass(frozen=True)
class Words:
    """The threat model of a method in words, from which the report writes sentences.

    Attributes:
        how: the method and its settings.
        knows: what the adversary knows of the system and the recording; ``{weights}`` stands for
            whose weights, ``{side}`` for what the separator is given beside the mixture,
            ``{part}`` for what is attacked at once: segment, excerpt, or recording.
        worst_kept: whether the worst that was found is kept.
        whom: what is attacked; ``{part}`` as above, ``{length}`` stands for how long it is.
    """

    how: str
    knows: str
    worst_kept: bool = True
    whom: str = "Each {part} of {length} is attacked by itself"


@dataclass(frozen=True)
class Method:
    """An attack as the parameters know it: one entry of the registry.

    Attributes:
        name: under ``attack.method``; also the key of its settings under ``attack``.
        settings: its own section.
        norms: values of ``attack.norm`` that it works with.
        build: from the parameters to the attack.
        words: its threat model.
        needs: ``gradient`` of the separator, true ``vocals``, or that the loss has a gradient at
            the clean mixture (``start``).
        restarts: whether another run can find something else.
        losses: values of ``attack.loss`` that it works with; empty for all.
        bounded: whether a budget bounds the perturbation.
        aim: what it shall cost in dB, for a method that looks for no more; segments on which it
            costs less are counted.
        summary: what it is, for the documentation.
        passes: forward and backward passes over an item, about; a forward pass counts a third.
    """

    name: str
    settings: type[Section]
    norms: tuple[str, ...]
    build: Callable[[AttackParams], Attack]
    words: Callable[[AttackParams], Words]
    summary: str
    needs: frozenset[Need] = frozenset({"vocals"})
    restarts: bool = False
    losses: tuple[str, ...] = ()
    bounded: bool = True
    aim: Callable[[AttackParams], float] | None = None
    passes: Callable[[AttackParams], float] = lambda _: 1.0
