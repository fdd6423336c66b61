"""Claims: what was found for one system, in one file that stands by itself.

In the manner of RobustBench: threat model, attack, figures with intervals, flags, and the hashes
that say which parameters, data and code they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from stemproof.core.documents import newer
from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint, read_json
from stemproof.core.params import validate
from stemproof.figures import table
from stemproof.figures.collapse import COUNTS
from stemproof.figures.compare import comparison_of

SCHEMA_VERSION = 1
Hash = Field(pattern=r"^[0-9a-f]{64}$")
Recorded = Literal["seals"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _without_what_is_not_known(self, handler: SerializerFunctionWrapHandler) -> Any:
        """As JSON; what may be left out, and is not known, is no key."""
        fields = type(self).model_fields
        return {
            key: value
            for key, value in handler(self).items()
            if value is not None or fields[key].is_required()
        }


class Figure(_Part):
    """A figure in dB with its confidence interval; of a single recording there is none."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> str:
        """In words, behind the figure."""
        if self.low is None or self.high is None:
            return "one recording, no interval"
        return f"{self.low:.2f}, {self.high:.2f}"


class Difference(Figure):
    """Against the reference system; positive when this system has more."""

    p: float | None = Field(default=None, ge=0, le=1, description="two-sided bootstrap p-value")
    p_holm: float | None = Field(
        default=None, ge=0, le=1, description="adjusted for all comparisons of the run (Holm)"
    )


class Data(_Part):
    """What was tested on."""

    source: str
    sha256: str = Hash
    test_tracks: int = Field(ge=1)
    test_segments: int = Field(ge=1)


class FlagState(_Part):
    """One check of the audit."""

    name: str
    raised: bool
    reason: str


class GateCheck(_Part):
    """One check of the gate before the attack."""

    name: str
    passed: bool
    reason: str


class Claim(_Part):
    """Robustness of one system under one threat model."""

    schema_version: Literal[1] = 1
    variant: str
    settings: dict[str, Any] = Field(description="what sets the variant apart")
    threat: Literal["informed", "blind"] | None = Field(
        default=None, description="whether the system is told something of the true stems"
    )
    kind: str | None = Field(default=None, description="of separator")
    threat_model: str = Field(min_length=1, description="in words")
    white_box: bool | None = Field(
        default=None, description="whether the gradient passed the gate before the attack"
    )
    gate: list[GateCheck] | None = Field(default=None, description="what that gate found")
    excerpt: float | None = Field(
        default=None,
        gt=0,
        description="seconds of a recording that a blind system hears at once; absent for all",
    )
    attack: dict[str, Any] = Field(description="every parameter of the attack")
    parameters: dict[str, Any] = Field(description="all parameters of the run but data.root")
    audited_attack: str = Field(description="method and norm that the flags are about")
    eps: float | None = Field(description="full scale 1, under linf")
    budget_used: float | None = Field(
        default=None, ge=0, description="largest perturbation, as a fraction of the budget"
    )
    perturbation_snr: float = Field(description="mixture over perturbation, dB")
    clean: dict[str, Figure] = Field(description="si_sdr, bs, stft_bs, mixture_si_sdr, excerpt_bs")
    attacked: dict[str, Figure] = Field(
        description="at_bs, rb, rb_net, drop, noise_drop, excerpt_*, break_* (SNR in dB)"
    )
    break_parts: int | None = Field(
        default=None, ge=0, description="parts of recordings that break points were searched on"
    )
    unbroken: int | None = Field(
        default=None, ge=0, description="parts on which a level was not reached"
    )
    collapsed: dict[str, int] | None = Field(
        default=None, description="segments of all seeds for which nothing was put out"
    )
    confidence: float = Field(gt=0, lt=1)
    seeds: dict[str, dict[str, float]] = Field(description="figures of each training seed")
    reference: str | None = Field(description="the system that it is compared with")
    minus_reference: dict[str, Difference] = Field(description="empty for the reference itself")
    flags: list[FlagState] = Field(min_length=1)
    flags_raised: int = Field(ge=0)
    data: Data
    parameters_sha256: str = Hash
    git_commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    recorded: Recorded | None = Field(
        default=None,
        description="what ties figures to parameters, data and code, if not dvc.lock: the seals of "
        "the stages, which do not hold the code",
    )
    environment: dict[str, str]

    @property
    def informed(self) -> bool:
        """Its threat model; a claim that does not name it is from when all were informed."""
        return self.threat != "blind"

    def in_words(self) -> str:
        """What it claims, in one line."""
        said = [self.variant]
        for key in ("rb", "break_3db"):
            figure = table.by_key()[key]
            name = figure.said(self.informed)
            if key in self.attacked:
                found = self.attacked[key]
                said.append(f"{name} {found.value:.2f} dB [{found.interval}]")
        if self.white_box is False:
            said.append("no white box")
        if self.recorded == "seals":
            said.append("not recorded by DVC")
        return f"{', '.join(said)}, {self.flags_raised} of {len(self.flags)} flags raised"


@dataclass(frozen=True)
class Run:
    """What a claim is made of, beside the figures of its system.

    Attributes:
        parameters: the whole of params.yaml.
        threat_model: in words.
        attack: the section ``attack``.
        eps: under linf, else None.
        confidence: of the intervals.
        data: what was tested on.
        environment: what the figures were computed with.
        git_commit: of the code.
        recorded: what ties the figures to all of that, if not ``dvc.lock``.
    """

    parameters: Mapping[str, Any]
    threat_model: str
    attack: Mapping[str, Any]
    eps: float | None
    confidence: float
    data: Data
    environment: Mapping[str, str]
    git_commit: str
    recorded: Recorded | None = None


def make_claim(
    run: Run,
    system: str,
    metrics: Mapping[str, Any],
    comparison: Mapping[str, Any],
    audit: Mapping[str, Any],
) -> Claim:
    """Put one system's claim together; figures that it does not have are left out.

    Args:
        run: what all systems of a run have in common.
        system: its name.
        metrics: ``metrics/systems/NAME.json``.
        comparison: ``metrics/comparison.json``.
        audit: the system's part of ``metrics/audit.json``.
    """

    def figures(part: str) -> dict[str, Figure]:
        return {
            figure.key: Figure(
                value=metrics[figure.key],
                low=metrics.get(f"{figure.key}_low"),
                high=metrics.get(f"{figure.key}_high"),
            )
            for figure in table.FIGURES
            if figure.part == part and figure.key in metrics
        }

    compared = comparison_of(comparison, system)
    reference = compared["reference"] if compared and compared["reference"] != system else None
    differences = compared[system] if compared and reference else {}
    informed, gate = metrics["informed"], metrics["gate"]
    portable = _portable(run.parameters)
    return Claim(
        variant=system,
        settings=dict(run.parameters["separators"][system]),
        threat="informed" if informed else "blind",
        kind=metrics["kind"],
        threat_model=run.threat_model,
        white_box=gate["passed"],
        gate=[GateCheck(**check) for check in gate["checks"]],
        excerpt=None if informed else run.attack.get("excerpt"),
        attack=dict(run.attack),
        parameters=portable,
        audited_attack=audit["attack"],
        eps=run.eps,
        budget_used=metrics["budget_used"],
        perturbation_snr=metrics["perturbation_snr"],
        clean=figures("clean"),
        attacked=figures("attacked"),
        break_parts=metrics.get("n_break_parts"),
        unbroken=metrics.get("n_unbroken"),
        collapsed={key: metrics[key] for key in COUNTS if key in metrics} or None,
        confidence=run.confidence,
        seeds=metrics["seeds"],
        reference=reference,
        minus_reference={
            key: Difference(
                value=entry["difference"],
                **{part: entry[part] for part in ("low", "high", "p", "p_holm") if part in entry},
            )
            for key, entry in differences.items()
        },
        flags=[
            FlagState(name=name, raised=word == "RAISED", reason=reason)
            for name, word, reason in audit["reasons"]
        ],
        flags_raised=audit["flags_raised"],
        data=run.data,
        parameters_sha256=fingerprint(portable),
        git_commit=run.git_commit,
        recorded=run.recorded,
        environment=dict(run.environment),
    )


def read_claim(path: Path) -> Claim:
    """Read a claim, also one that was written under the project's old name.

    Raises:
        InputError: the file is missing, not JSON, no claim, or one of a newer release.
    """
    found = read_json(path)
    if said := newer(found.get("schema_version"), SCHEMA_VERSION, "schema_version"):
        raise InputError(f"{path}: {said}")
    return validate(Claim, found, str(path))


def _portable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters but ``data.root``, which is a path of one machine."""
    data = {key: value for key, value in parameters["data"].items() if key != "root"}
    return {**parameters, "data": data}
