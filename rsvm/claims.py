"""Claims: what was found for one system, in one file that stands by itself.

In the manner of RobustBench: threat model, attack, figures with intervals, flags, and the hashes
that say which parameters, data and code they come from.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rsvm.errors import InputError
from rsvm.files import fingerprint
from rsvm.params import Params
from rsvm.report.threat import threat_in_words

# What the figures are computed with; changes elsewhere do not touch a claim.
CODE = ("dvc.yaml", "published", "rsvm", "stages")
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

    source: Literal["demo", "musdb18", "musdb18hq"]
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


def make_claim(
    params: Params,
    variant: str,
    metrics: Mapping[str, Any],
    comparison: Mapping[str, Any],
    audit: Mapping[str, Any],
    data: Data,
    environment: Mapping[str, str],
    git_commit: str,
) -> Claim:
    """Put one system's claim together.

    Args:
        params: the parameters that everything was made with.
        variant: the system.
        metrics: ``metrics/<variant>.json``.
        comparison: ``metrics/comparison.json``.
        audit: the system's part of ``metrics/audit.json``.
        data: what was tested on.
        environment: ``metrics/environment.json``.
        git_commit: of the code.

    Raises:
        InputError: the metrics are of other training seeds than the parameters name.
    """
    expected = [str(seed) for seed in params.seeds_of(variant)]
    if list(metrics["seeds"]) != expected:
        raise InputError(
            f"metrics of {variant} are of seeds {', '.join(metrics['seeds'])}, but params.yaml "
            f"says {', '.join(expected)}; run dvc repro"
        )

    def figure(key: str) -> Figure:
        return Figure(value=metrics[key], low=metrics[f"{key}_low"], high=metrics[f"{key}_high"])

    is_reference = variant == comparison["reference"]
    differences = {} if is_reference else comparison[variant]
    return Claim(
        variant=variant,
        settings=params.variant(variant).model_dump(mode="json", exclude_defaults=True),
        threat_model=threat_in_words(params),
        attack=params.attack.model_dump(mode="json"),
        parameters=_portable(params),
        audited_attack=audit["attack"],
        eps=params.attack.eps if params.attack.has_eps else None,
        perturbation_snr=metrics["perturbation_snr"],
        clean={key: figure(key) for key in ("si_sdr", "bs", "stft_bs", "mixture_si_sdr")},
        attacked={key: figure(key) for key in ("at_bs", "rb", "rb_net", "drop", "noise_drop")},
        confidence=params.evaluate.confidence,
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
            FlagState(name=name, raised=raised, reason=reason)
            for name, raised, reason in audit["reasons"]
        ],
        flags_raised=audit["flags_raised"],
        data=data,
        parameters_sha256=parameters_sha256(params),
        git_commit=git_commit,
        environment=dict(environment),
    )


def parameters_sha256(params: Params) -> str:
    """A hash of all parameters but ``data.root``, which is a path of one machine."""
    return fingerprint(_portable(params))


def _portable(params: Params) -> dict[str, Any]:
    tree = params.model_dump(mode="json")
    del tree["data"]["root"]
    return tree


def check_run(params: Params, folder: Path) -> None:
    """Do the figures in a folder come from these parameters, this code and these data?

    Asks DVC, which compares what every stage read and wrote with ``dvc.lock``.

    Args:
        params: the parameters.
        folder: the project.

    Raises:
        InputError: a stage has not been run, or what it reads or wrote has changed since.
    """
    stages = ["prepare-musdb18", "generate-pgd-adversarials", "evaluate", "audit"]
    for name, seed in params.models:
        of_paper = name in ("baseline", "improved")
        stages.append(f"train-{name}@{seed}" if of_paper else f"train-ablation@{name}-{seed}")
    command = [sys.executable, "-m", "dvc", "status", "--json", *stages]
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
        # The recordings need not be at hand any more; what was made of them is.
        changed = [path for path in _changed(changes) if Path(path) != params.data.root]
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
