"""Claims: what was found for one system, in one file that stands by itself.

In the manner of RobustBench: threat model, attack, figures with intervals, flags, and the hashes
that say which parameters, data and code they come from.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint, read_json
from stemproof.core.params import validate
from stemproof.figures import table
from stemproof.figures.collapse import COUNTS

# What the figures are computed with; changes elsewhere do not touch a claim.
CODE = ("dvc.yaml", "published", "stemproof", "stages")
Hash = Field(pattern=r"^[0-9a-f]{64}$")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Figure(_Part):
    """A figure in dB with its confidence interval."""

    value: float
    low: float
    high: float


class Difference(Figure):
    """Against the reference system; positive when this system has more."""

    p: float = Field(ge=0, le=1, description="two-sided bootstrap p-value")
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


class Claim(_Part):
    """Robustness of one system under one threat model."""

    schema_version: Literal[1] = 1
    variant: str
    settings: dict[str, Any] = Field(description="what sets the variant apart")
    threat_model: str = Field(min_length=1, description="in words")
    attack: dict[str, Any] = Field(description="every parameter of the attack")
    parameters: dict[str, Any] = Field(description="all parameters of the run but data.root")
    audited_attack: str = Field(description="method and norm that the flags are about")
    eps: float | None = Field(description="full scale 1, under linf")
    perturbation_snr: float = Field(description="mixture over perturbation, dB")
    clean: dict[str, Figure] = Field(description="si_sdr, bs, stft_bs, mixture_si_sdr")
    attacked: dict[str, Figure] = Field(description="at_bs, rb, rb_net, drop, noise_drop")
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
    environment: dict[str, str]

    @model_serializer(mode="wrap")
    def _without_what_was_not_counted(self, handler: SerializerFunctionWrapHandler) -> Any:
        written = handler(self)
        if self.collapsed is None:  # a claim from before they were counted
            del written["collapsed"]
        return written


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
    """

    parameters: Mapping[str, Any]
    threat_model: str
    attack: Mapping[str, Any]
    eps: float | None
    confidence: float
    data: Data
    environment: Mapping[str, str]
    git_commit: str


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
                low=metrics[f"{figure.key}_low"],
                high=metrics[f"{figure.key}_high"],
            )
            for figure in table.FIGURES
            if figure.part == part and figure.key in metrics
        }

    is_reference = system == comparison["reference"]
    differences = {} if is_reference else comparison[system]
    portable = _portable(run.parameters)
    return Claim(
        variant=system,
        settings=dict(run.parameters["separators"][system]),
        threat_model=run.threat_model,
        attack=dict(run.attack),
        parameters=portable,
        audited_attack=audit["attack"],
        eps=run.eps,
        perturbation_snr=metrics["perturbation_snr"],
        clean=figures("clean"),
        attacked=figures("attacked"),
        collapsed={key: metrics[key] for key in COUNTS if key in metrics} or None,
        confidence=run.confidence,
        seeds=metrics["seeds"],
        reference=None if is_reference else comparison["reference"],
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
        environment=dict(run.environment),
    )


def read_claim(path: Path) -> Claim:
    """Read a claim, also one that was written under the project's old name.

    Raises:
        InputError: the file is missing, not JSON, or no claim.
    """
    return validate(Claim, read_json(path), str(path))


def _portable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters but ``data.root``, which is a path of one machine."""
    data = {key: value for key, value in parameters["data"].items() if key != "root"}
    return {**parameters, "data": data}


def check_run(folder: Path, root: Path, stages: Sequence[str] = ("report",)) -> None:
    """Do the figures in a folder come from its parameters, code and data?

    Asks DVC, which compares what every stage read and wrote with ``dvc.lock``.

    Args:
        folder: the project.
        root: the recordings, which need not be at hand any more; what was made of them is.
        stages: the last ones; all that they depend on is asked for.

    Raises:
        InputError: a stage has not been run, or what it reads or wrote has changed since.
    """
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", *stages]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    try:
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except json.JSONDecodeError:
        found = None
    if found is None:
        said = done.stderr.strip() or done.stdout.strip()
        raise InputError(
            f"a claim needs `dvc status`, but it fails ({said}); install DVC and run dvc repro"
        )
    for stage, changes in found.items():
        changed = [path for path in _changed(changes) if Path(path) != root]
        if changed:
            raise InputError(
                f"{stage} is not up to date ({', '.join(changed[:3])}"
                f"{', ...' if len(changed) > 3 else ''}); run dvc repro"
            )


def _changed(changes: list[Any]) -> Iterator[str]:
    """Names of what DVC calls changed: files, parameters, or the command."""
    for change in changes:
        if isinstance(change, str):
            yield change
            continue
        for paths in change.values():
            for path, state in paths.items():
                yield from state if isinstance(state, dict) else [path]


def code_commit(folder: Path) -> str:
    """The commit of the code that stands in a folder.

    Raises:
        InputError: it is not a git checkout, or the code differs from its last commit.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        changed = _git(folder, "status", "--porcelain", "--", *CODE).splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        raise InputError(
            f"{folder}: a claim names a git commit, but git fails ({said}); "
            "install git and work in a clone of the repository"
        ) from None
    if changed:
        raise InputError(
            f"a claim names a git commit, but {changed[0][3:]} differs from it; commit first"
        )
    return commit


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
    )
    return done.stdout
