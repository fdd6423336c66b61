"""Systems that are at hand: those that can separate a song without a training or a true stem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from stemproof.api.choosing import Chosen, choose, entries_here
from stemproof.attacks.threat import threat_of
from stemproof.core.errors import InputError
from stemproof.separators.protocol import BlackBox, Separator

# Kinds that bring their weights along.
COMPLETE = ("spleeter",)


@dataclass(frozen=True)
class AtHand:
    """A system that can be used.

    Attributes:
        name: what tables call it.
        separator: blind.
    """

    name: str
    separator: Separator

    @property
    def has_gradient(self) -> bool:
        """Whether it can be aimed at, as far as it says itself."""
        return not isinstance(self.separator, BlackBox)


def systems_at_hand(sample_rate: int, device: torch.device) -> tuple[list[AtHand], list[str]]:
    """All of them: entries of params.yaml, and installed extras that need no file.

    Args:
        sample_rate: of the song in Hz, for a kind that takes any.
        device: where to compute.

    Returns:
        The systems, and in a sentence each why others are not among them.
    """
    entries = entries_here()
    chosen = [choose(name, entries=entries) for name in entries]
    kinds = {one.kind.name for one in chosen if one.kind is not None}
    chosen += [choose(name, entries={}) for name in COMPLETE if name not in kinds]
    found, left = list[AtHand](), list[str]()
    for one in chosen:
        try:
            found.append(opened(one, sample_rate, device))
        except InputError as error:
            left.append(f"{one.name}: {error}")
    return found, left


def opened(chosen: Chosen, sample_rate: int, device: torch.device) -> AtHand:
    """Load a system.

    Raises:
        InputError: it cannot be loaded, or is told something of the stems.
    """
    separator = chosen.separator(sample_rate, device)
    if threat_of(separator) == "informed":
        raise InputError(
            f"{chosen.name} is told something of the true stems, as nobody is who separates a "
            "finished song; name a blind system"
        )
    return AtHand(chosen.name, separator)


def named_once(systems: Sequence[AtHand]) -> list[AtHand]:
    """The systems, none of which may be named twice.

    Raises:
        InputError: one is.
    """
    names = [one.name for one in systems]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name} is named twice; name each system once")
    return list(systems)
