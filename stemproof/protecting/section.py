"""The section ``protect``: what a run measures of protection on test songs; off by default."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from stemproof.core.params import Name, Section
from stemproof.protecting.params import ProtectParams
from stemproof.protecting.transforms import TRANSFORMS

# Changes by which a protection may be measured: all but the song as it is.
CHANGES = tuple(name for name in TRANSFORMS if name != "none")


def _once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return names


class FineTuningParams(Section):
    """An opponent who trains the system on protected songs whose true vocals he has.

    Attributes:
        songs: of the training split, spread over it, which are protected for him; 0 for no such
            opponent.
        steps: of Adam, one excerpt each.
        excerpt: seconds; shorter songs are taken whole.
        learning_rate: of Adam.
    """

    songs: int = Field(default=0, ge=0, le=10_000)
    steps: int = Field(default=50, ge=1, le=1_000_000)
    excerpt: float = Field(default=5.0, ge=0.1, le=600)
    learning_rate: float = Field(default=1e-4, gt=0, le=1)


class ProtectSection(ProtectParams):
    """What is protected, against whom, and how that is measured.

    Attributes:
        against: systems that songs are protected against, a measurement each; none at all is off.
        ensemble: systems that songs are protected against at the same time, beside each of these.
        tracks: how many songs of the test split, spread over it.
        rendered: whether rendered songs are taken where there are recordings of musicians, too.
        stems: whether the protection is made with the true vocals; it is measured by them in any
            case.
        changes: after which the protection is measured again, on the system that it was made for.
        fine_tuning: an opponent who trains the system on protected songs.
    """

    against: Annotated[list[Name], AfterValidator(_once)] = Field(default=[])
    ensemble: Annotated[list[Name], AfterValidator(_once)] = Field(default=[])
    tracks: int = Field(default=8, ge=1, le=100_000)
    rendered: bool = False
    stems: bool = False
    changes: Annotated[list[str], AfterValidator(_once)] = Field(default=list(CHANGES))
    fine_tuning: FineTuningParams = FineTuningParams()

    @field_validator("changes")
    @classmethod
    def _known_changes(cls, changes: list[str]) -> list[str]:
        for name in changes:
            if name not in CHANGES:
                raise ValueError(f"{name} is none of {', '.join(CHANGES)}")
        return changes
