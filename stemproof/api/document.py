"""Claims of what was measured on arrays, outside of the pipeline.

There are no parameters, no data set and no commit behind such figures that somebody else could
check out: a claim of this kind says what it knows, hashes what it was given, and lists what was
not measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stemproof.figures import table
from stemproof.report.claims import FlagState

Hash = Field(pattern=r"^[0-9a-f]{64}$")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LocalFigure(_Part):
    """A figure; its interval is over tracks, and there is none over a single one."""

    value: float
    low: float | None = None
    high: float | None = None


class LocalData(_Part):
    """What was tested on."""

    sha256: str = Hash
    adversarial_sha256: str = Hash
    recordings: int = Field(ge=1)
    tracks: int = Field(ge=1)
    channels: int = Field(ge=1)
    samples: int = Field(ge=1)
    sample_rate: int = Field(ge=1, description="Hz")


class LocalClaim(_Part):
    """Robustness of one system on some recordings under one threat model."""

    schema_version: Literal["local-1"] = "local-1"
    system: str = Field(min_length=1, description="a name, given by who makes the claim")
    threat_model: str = Field(min_length=1, description="in words")
    attack: dict[str, Any] = Field(description="every parameter of the attack")
    evaluate: dict[str, Any] = Field(description="parameters of the controls")
    statistics: dict[str, Any] = Field(description="parameters of the intervals")
    audit: dict[str, Any] = Field(description="parameters of the audit")
    audited_attack: str = Field(description="method and norm that the flags are about")
    eps: float | None = Field(description="full scale 1, under linf")
    budget_used: float = Field(description="largest perturbation, as a fraction of the budget")
    perturbation_snr: float = Field(description="mixture over perturbation, dB")
    clean: dict[str, LocalFigure]
    attacked: dict[str, LocalFigure]
    collapsed: dict[str, int] | None = Field(
        default=None, description="recordings for which nothing was put out"
    )
    confidence: float | None = Field(description="of the intervals; None where there are none")
    flags: list[FlagState] = Field(min_length=1)
    flags_raised: int = Field(ge=0)
    not_measured: list[str] = Field(description="what a claim of the pipeline would say beside")
    data: LocalData
    version: str = Field(description="of this package")
    git_commit: str | None = Field(
        default=None, pattern=r"^[0-9a-f]{40}$", description="of the code around, if it was named"
    )
    environment: dict[str, str]


def local_figures(part: str, summary: Mapping[str, Any]) -> dict[str, LocalFigure]:
    """The figures of one part of a claim, with intervals where there are some.

    Args:
        part: ``clean`` or ``attacked``.
        summary: what :func:`stemproof.figures.summary.summarize` gave.
    """
    return {
        figure.key: LocalFigure(
            value=summary[figure.key],
            low=summary.get(f"{figure.key}_low"),
            high=summary.get(f"{figure.key}_high"),
        )
        for figure in table.FIGURES
        if figure.part == part and figure.key in summary
    }
