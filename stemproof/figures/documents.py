"""The forms of the files of figures: of one model, of a system, of a comparison."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue, model_validator

from stemproof.core.documents import ABSENT, Count, Document, GateFound, Part
from stemproof.figures.collapse import COUNTS
from stemproof.figures.table import FIGURES

Names = Annotated[list[str], Field(min_length=1)]
# What every system has, whatever its kind, or has lost because all collapsed.
OF_ALL = tuple(
    figure.key
    for figure in FIGURES
    if figure.listed and figure.per == "segment" and figure.key not in ("si_sdr", "stft_bs")
)


class Training(Document):
    """``metrics/train/NAME/SEED.json``: sizes, and figures of the last epoch."""

    __pydantic_extra__: dict[str, float] = Field(init=False)
    model_config = ConfigDict(extra="allow")
    cure = "train the system again"

    epoch: Count


class BSSEval(Part):
    """Medians of BSSEval, and on how many tracks it failed."""

    clean: dict[str, float] = ABSENT
    attacked: dict[str, float] = ABSENT
    clean_failures: Count
    attacked_failures: Count


class Counts(Part):
    """Numbers of a whole model."""

    __pydantic_extra__: dict[str, float] = Field(init=False)
    model_config = ConfigDict(extra="allow")

    n_segments: Count
    n_skipped: Count
    budget_used: Annotated[float, Field(ge=0)]


class ModelFigures(Document):
    """``metrics/models/NAME/SEED/figures.json``."""

    cure = "run evaluate again"

    system: str
    seed: Count
    kind: str
    trained: bool
    informed: bool
    gate: GateFound
    training: Training
    environment: dict[str, str]
    made_with: dict[str, JsonValue]
    data: str
    counts: Counts
    bsseval: BSSEval = ABSENT


class SystemMetrics(Document):
    """``metrics/systems/NAME.json``: beside what is named here, a number a figure."""

    __pydantic_extra__: dict[str, float] = Field(init=False)
    model_config = ConfigDict(extra="allow")
    cure = "run compare again"

    kind: str
    informed: bool
    gate: GateFound
    training: dict[str, Training]
    seeds: dict[str, dict[str, float]]
    without_value: Names = ABSENT
    bsseval: BSSEval = ABSENT
    n_seeds: Annotated[int, Field(ge=1)]
    n_tracks: Annotated[int, Field(ge=1)]
    n_segments: Count
    n_skipped: Count
    budget_used: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _whole(self) -> SystemMetrics:
        known = {*self.__pydantic_extra__, *(self.without_value or ())}
        absent = [key for key in OF_ALL if key not in known]
        if absent:
            raise ValueError(f"{', '.join(absent)} neither there nor without a value")
        _check_ends(self.__pydantic_extra__)
        if len(self.seeds) != self.n_seeds or self.seeds.keys() != self.training.keys():
            raise ValueError(f"n_seeds = {self.n_seeds}, but seeds or training are of others")
        shown = [figure.key for figure in FIGURES if figure.of_seeds and figure.key in known]
        for seed, own in self.seeds.items():
            if not self.collapsed and not set(shown) <= set(own):
                raise ValueError(f"seed {seed} lacks figures that the system has")
        if ("n_break_parts" in known) != ("n_unbroken" in known):
            raise ValueError("of n_break_parts and n_unbroken there is one alone")
        return self

    @property
    def collapsed(self) -> bool:
        """Whether anything was put out that has no figure."""
        return any(self.__pydantic_extra__.get(key, 0) for key in COUNTS)


class Difference(Part):
    """One figure of a system minus that of the reference; of a single track without an interval."""

    difference: float
    low: float = ABSENT
    high: float = ABSENT
    p: Annotated[float, Field(ge=0, le=1)] = ABSENT
    p_holm: Annotated[float, Field(ge=0, le=1)] = ABSENT

    @model_validator(mode="after")
    def _all_or_none(self) -> Difference:
        ends = (self.low, self.high, self.p, self.p_holm)
        if None in ends and any(end is not None for end in ends):
            raise ValueError("of low, high, p and p_holm some are there and some not")
        return self


class OneThreat(Document):
    """The systems of one threat model: beside what is named here, a system's differences."""

    __pydantic_extra__: dict[str, dict[str, Difference]] = Field(init=False)
    model_config = ConfigDict(extra="allow")
    cure = "run compare again"

    reference: str
    n_tracks: Annotated[int, Field(ge=1)]
    n_seeds: Annotated[int, Field(ge=1)]


class Comparison(OneThreat):
    """``metrics/comparison.json``."""

    other_threat: OneThreat = ABSENT


def _check_ends(figures: dict[str, Any]) -> None:
    for key in figures:
        for end, other in (("_low", "_high"), ("_high", "_low")):
            start = key.removesuffix(end)
            if start != key and (start not in figures or start + other not in figures):
                raise ValueError(f"{key} stands alone")
