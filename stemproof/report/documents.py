"""The forms of the other files that the report reads: of the data, of the audit, of what made them.

And whether what it reads is all of one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pandas as pd
from pydantic import ConfigDict, Field, JsonValue, model_validator

from stemproof.core.documents import ABSENT, Count, Document, Hash, Part
from stemproof.core.errors import InputError
from stemproof.figures.collapse import COUNTS
from stemproof.figures.compare import OTHER
from stemproof.figures.documents import OF_ALL
from stemproof.figures.table import FIGURES, compared

Reason = Annotated[list[str], Field(min_length=3, max_length=3)]
Word = Literal["RAISED", "clear", "not measured"]
Levels = dict[str, float]


class Split(Part):
    """One split of the data."""

    tracks: Count
    seconds: float
    segments: Count
    silent_segments: Count


class Data(Document):
    """``metrics/data.json``."""

    cure = "run prepare-musdb18 again"

    source: str
    source_words: str = ABSENT
    sha256: Hash = ABSENT
    channels: Annotated[int, Field(ge=1)] = ABSENT
    train: Split
    valid: Split
    test: Split


class ComputedWith(Document):
    """``metrics/environment.json``, as the report prints it."""

    cure = "run compare again"

    environment: Annotated[dict[str, str], Field(min_length=1)]


class MadeComparison(ComputedWith):
    """``metrics/environment.json``, with the parameters of the comparison."""

    parameters: dict[str, JsonValue]
    data: Hash


class MadeAudit(Document):
    """``plots/audit/made_with.json``."""

    cure = "run audit again"

    parameters: dict[str, JsonValue]
    data: Hash


class Flags(Part):
    """What the audit says of one system."""

    attack: str
    flags_raised: Count
    flags: dict[str, Word] = ABSENT
    reasons: Annotated[list[Reason], Field(min_length=1)]

    @model_validator(mode="after")
    def _agree(self) -> Flags:
        words = {name: word for name, word, _ in self.reasons}
        if len(words) < len(self.reasons) or not set(words.values()) <= set(get_args(Word)):
            raise ValueError("a reason stands there twice, or is neither RAISED nor clear")
        if self.flags is not None and self.flags != words:
            raise ValueError("flags and reasons do not agree")
        if self.flags_raised != sum(word == "RAISED" for word in words.values()):
            raise ValueError(f"flags_raised = {self.flags_raised}, but the reasons say otherwise")
        return self


class Audits(Document):
    """``metrics/audit.json``: a system's flags by its name."""

    __pydantic_extra__: dict[str, Flags] = Field(init=False)
    model_config = ConfigDict(extra="allow")
    cure = "run audit again"

    @model_validator(mode="after")
    def _same_checks(self) -> Audits:
        checks = {tuple(name for name, *_ in of.reasons) for of in self.__pydantic_extra__.values()}
        if len(checks) != 1:
            raise ValueError("not one list of checks for all systems")
        return self


class Reached(Part):
    """AT-BS under an attack; absent where most of what was put out has collapsed."""

    at_bs: float = ABSENT


class BlackBox(Reached):
    """Under the attack without gradients."""

    queries: Count


class Sparse(Reached):
    """Where a few samples change."""

    samples: Count


class Crossed(Part):
    """What one model loses by what was crafted on another."""

    drop: float = ABSENT
    parts: Count


class MinimalSNR(Part):
    """The perturbations of the smallest peak, by what they cost."""

    linf: Levels


class AuditFigures(Document):
    """``plots/audit/NAME.json``, as far as it is printed."""

    cure = "run audit again"

    black_box: BlackBox
    sparse: Sparse = ABSENT
    universal: Reached = ABSENT
    minimal_snr: MinimalSNR = ABSENT
    masks: dict[Literal["fixed", "recomputed"], Levels] = ABSENT
    transfer: dict[str, dict[str, Crossed]] = ABSENT
    threat: Literal["informed", "blind"] = ABSENT
    parts: Count = ABSENT
    chosen_from: Count = ABSENT


def check_one_run(
    systems: Sequence[Mapping[str, Any]],
    audits: Mapping[str, Any],
    comparison: Mapping[str, Any],
    files: tuple[Path, Path],
) -> None:
    """Are flags and comparisons of the systems that figures are of?

    Args:
        systems: their metrics, each with its ``name``.
        audits: by their names.
        comparison: of them.
        files: of audit and comparison.

    Raises:
        InputError: a system is missing, or is one too many.
    """
    names = [system["name"] for system in systems]
    if set(audits) != set(names):
        raise InputError(f"{files[0]}: of {_list(audits)}, not of {_list(names)}; run audit again")
    reference = comparison["reference"]
    threat = {system["name"]: system["informed"] for system in systems}
    same = [name for name in names if threat[name] == threat.get(reference)]
    others = [name for name in names if name not in same]
    other = comparison.get(OTHER)
    expected = [(comparison, same)] if other is None else [(comparison, same), (other, others)]
    if (other is None) != (len(others) < 2) or any(_compared(c) != set(n) for c, n in expected):
        raise InputError(f"{files[1]}: not the comparison of {_list(names)}; run compare again")
    metrics = {system["name"]: system for system in systems}
    for found, _ in expected:
        for name in _compared(found) - {found["reference"]}:
            pair = metrics[name], metrics[found["reference"]]
            whole = not any(of.get(key) for of in pair for key in COUNTS)
            lost = [
                key
                for key, figure in compared().items()
                if key not in found[name] and all(figure.key in of for of in pair)
            ]
            if whole and lost:
                raise InputError(f"{files[1]}: {name} has no {lost[0]}; run compare again")


def check_figures(file: Path, system: Mapping[str, Any], tracks: pd.DataFrame) -> None:
    """Are metrics and table per track of one size, and is nothing lost but by a collapse?

    Args:
        file: the metrics of the system.
        system: what is in it.
        tracks: the table.

    Raises:
        InputError: a figure or a track is missing.
    """
    rows = tracks.drop_duplicates(["seed", "track"])
    whole = not any(system.get(key) for key in COUNTS)
    gaps = whole and tracks[[key for key in OF_ALL if key in tracks]].isna().any(axis=None)
    if gaps or not len(rows) == len(tracks) == system["n_seeds"] * system["n_tracks"]:
        raise InputError(
            f"{file}: of {system['n_tracks']} tracks and {system['n_seeds']} seed(s), but the "
            "table per track is of others, or has gaps; run compare again"
        )
    known = {*system, *system.get("without_value", ())}
    for figure in FIGURES:
        if figure.listed and figure.key in tracks and figure.key not in known:
            raise InputError(f"{file}: {figure.key} is missing; run compare again")


def _compared(comparison: Mapping[str, Any]) -> set[str]:
    own = {name for name, of in comparison.items() if isinstance(of, Mapping) and name != OTHER}
    return {comparison["reference"], *own}


def _list(names: Any) -> str:
    return ", ".join(names) or "none"
