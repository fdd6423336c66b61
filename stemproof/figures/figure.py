"""What a figure of merit is: what it measures, and where it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from stemproof.figures.played import Played

Measure = Callable[[Played], Tensor | None]
Part = Literal["clean", "attacked", ""]
Place = Literal["result", "beside", "excerpt", "break", ""]
Per = Literal["segment", "excerpt", "search"]


@dataclass(frozen=True)
class Figure:
    """One figure.

    A figure either is measured per segment, and its median over a track's segments and over tracks
    is taken; or it is the difference of two such medians. A segment on which it is NaN, because an
    estimate collapsed, is left out.

    Attributes:
        key: in metrics files.
        words: in tables and sentences.
        blind: the same for blind systems, where it is called otherwise: BS is RSVM's own term.
        unit: of its values.
        meaning: one sentence, for the documentation.
        measure: its value per segment, or None where it does not apply to the system.
        per: what it is measured on; ``excerpt`` is all that a blind system hears at once. A figure
            of a ``search`` is found by an attack of its own, and stands in the tables per track.
        minus: keys of the two figures whose medians are subtracted.
        interval: whether it has a bootstrap interval.
        compared: whether systems are compared by it; ``medians`` subtracts medians, ``paired``
            takes the median of the differences on the same track.
        compared_key: key of the comparison, where it is not that of the figure.
        song_by_song: whether systems are also compared by the median of its differences on the
            same track, beside the difference of the medians: that of most songs can move where
            the medians do not.
        part: of a claim.
        place: in the report: the first table, the one beside it, that of whole excerpts, that of
            break points, or no table of its own.
        digits: in the report, behind the decimal point.
        of_seeds: whether it is shown for every training seed by itself.
        listed: whether it stands in summaries; what only others are made of does not.

    Raises:
        ValueError: an entry that says too much or too little.
    """

    key: str
    words: str
    unit: str
    meaning: str
    measure: Measure | None = None
    minus: tuple[str, str] | None = None
    interval: bool = False
    compared: Literal["medians", "paired", ""] = ""
    compared_key: str = ""
    song_by_song: bool = False
    part: Part = ""
    place: Place = ""
    digits: int = 2
    of_seeds: bool = False
    listed: bool = True
    per: Per = "segment"
    blind: str = ""

    def __post_init__(self) -> None:
        if (self.measure is None) == (self.minus is None) and self.per != "search":
            raise ValueError(f"{self.key}: either `measure` or `minus`")
        if self.part and not self.interval:
            raise ValueError(f"{self.key}: a figure of a claim has an interval")

    def paired(self) -> Figure:
        """The same figure, of which the differences on the same track are taken."""
        words, blind = (f"paired {words}" if words else "" for words in (self.words, self.blind))
        return replace(self, compared="paired", words=words, blind=blind)

    def said(self, informed: bool) -> str:
        """Its words in tables of informed or of blind systems."""
        return self.words if informed or not self.blind else self.blind
