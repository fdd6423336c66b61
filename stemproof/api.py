"""Five calls for a notebook: load, attack, score, audit, claim.

All of them take recordings as batch x channels x samples: PyTorch tensors or NumPy arrays of
floats, full scale 1. An array with a single axis is one mono recording; two axes could be batch or
channels, and are refused. Everything is computed in float32 and where the arrays are (NumPy's on
the CPU), with the system there as well. What comes out are tensors on the same device.

Bad input raises :class:`stemproof.core.errors.InputError`, with one sentence that says what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

import stemproof
from stemproof.attacks.budgets import used
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case
from stemproof.attacks.params import AttackParams, AttackSection
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.audit import run as audit_run
from stemproof.audit.checks import Material
from stemproof.audit.flags import Flag
from stemproof.audit.params import AuditParams
from stemproof.core.batches import batches
from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams, RuntimeParams, WorkerParams
from stemproof.core.params import validate
from stemproof.core.runtime import describe_environment
from stemproof.data.params import SegmentParams
from stemproof.data.recordings import Recordings, Signal, as_batch, hash_of, shown
from stemproof.data.segments import segment_seed
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.medians import track_medians
from stemproof.figures.params import StatisticsParams
from stemproof.figures.summary import Scored, summarize
from stemproof.figures.table import measured
from stemproof.report.claims import FlagState
from stemproof.report.local import LocalClaim, LocalData, local_figures
from stemproof.report.words import threat_in_words
from stemproof.separators import checkpoint
from stemproof.separators.own import OwnSystem, tried
from stemproof.separators.protocol import Informed, MaskKind, Separator

__all__ = ["Attacked", "Audit", "Scores", "attack", "audit", "claim", "load", "score"]

Model = str | Path | Separator | nn.Module | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attacked:
    """What :func:`attack` found.

    Attributes:
        adversarial: attacked mixtures, batch x channels x samples, float32.
        losses: the worst loss so far after 0, 1, ... steps, batch x steps + 1; by default minus
            the SI-SDR in dB.
        params: every parameter of the attack.
        budget_used: largest perturbation as a fraction of the budget; at most 1.
    """

    adversarial: Tensor
    losses: Tensor
    params: AttackParams
    budget_used: float


@dataclass(frozen=True)
class Scores:
    """The figures of :func:`score`.

    Attributes:
        table: one row a recording; a figure that does not apply to the system is no column. In dB,
            but for ``output_gain``, which is a ratio.
        summary: medians over tracks with bootstrap intervals (``at_bs``, ``at_bs_low``,
            ``at_bs_high``), and counts. Of a single track the intervals mean nothing.
        params: every parameter of the attack; None when nothing was said of it.
        evaluate: parameters of the controls.
        statistics: parameters of the intervals.
        data: what was played.
    """

    table: pd.DataFrame
    summary: Mapping[str, Any]
    params: AttackParams | None
    evaluate: EvaluateParams
    statistics: StatisticsParams
    data: LocalData
    _system: Separator = field(repr=False)
    _device: str = field(repr=False)


@dataclass(frozen=True)
class Audit:
    """What :func:`audit` found.

    Attributes:
        attack: method and norm that were audited.
        figures: everything that was measured, by check.
        flags: one a check.
        not_measured: what the audit of a whole run would look at beside.
        params: every parameter of the attack.
        settings: how much was audited.
    """

    attack: str
    figures: Mapping[str, Any]
    flags: list[Flag]
    not_measured: list[str]
    params: AttackParams
    settings: AuditParams
    _system: Separator = field(repr=False)
    _sha256: str = field(repr=False)

    @property
    def raised(self) -> list[Flag]:
        """The flags that make the figure doubtful."""
        return [flag for flag in self.flags if flag.raised]


def load(
    model: Model,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    mask: MaskKind = "fixed",
    device: torch.device | str | None = None,
    samples: int | None = None,
) -> Separator:
    """From a model to a separator that is ready to be attacked.

    A module is put into evaluation mode, and onto the device if one is named; what a bare function
    uses is not known here. Then it is played a second of noise once: it has to give the vocals in the
    mixture's shape, and numbers.

    Args:
        model: path of a model file of this project; or a module or function of one's own, which
            takes mixtures and gives their vocals, batch x channels x samples both ways; or a
            separator that has been loaded or wrapped already.
        sample_rate: of the recordings that the model takes, in Hz; has to be said of one's own.
        channels: of the recordings that the model takes; has to be said of one's own.
        mask: where a model file's mask of the true stems comes from, if it has one.
        device: where to compute; by default where a module is, and the CPU for a model file.
        samples: length of the noise; one second by default.

    Returns:
        The separator. For recordings of another sample rate or number of channels, or long ones,
        wrap it: :mod:`stemproof.separators.wrappers`.

    Raises:
        InputError: the file is none of this project; sample rate or channels are not said, or are
            others than the file's; the model gives no tensor, another shape, or not a number.

    >>> import stemproof
    >>> system = stemproof.load(lambda mixture: 0.5 * mixture, sample_rate=8000, channels=1)
    >>> system.sample_rate, system.channels
    (8000, 1)
    >>> stemproof.load(lambda mixture: mixture[..., :-1], sample_rate=8000, channels=1)
    Traceback (most recent call last):
    stemproof.core.errors.InputError: the system gives (2, 1, 7999) for a mixture of (2, 1, 8000); \
it must give the vocals, batch x channels x samples, of the same shape
    """
    said = {"sample_rate": sample_rate, "channels": channels}
    for name, value in said.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InputError(f"{name} = {value!r} must be a whole number above 0")
    if isinstance(model, str | Path):
        separator = checkpoint.load(Path(model), mask, device or "cpu")
        _agree(separator, said, str(model))
        return separator
    if isinstance(model, nn.Module):
        model.eval()
        if device is not None:
            model.to(device)
        device = next((weight.device for weight in model.parameters()), device)
    if isinstance(model, Separator):
        separator = model
        _agree(separator, said, "the system")
    elif not callable(model):
        raise InputError(
            f"a {type(model).__name__} is no model; name a model file, or give a module or a "
            "function from mixtures to vocals"
        )
    elif sample_rate is None or channels is None:
        raise InputError(
            "a model of one's own does not say what it takes; give sample_rate (Hz) and channels"
        )
    else:
        separator = OwnSystem(model, sample_rate, channels)
    generator = torch.Generator().manual_seed(0)
    shape = 2, separator.channels, samples or separator.sample_rate
    noise = 0.1 * torch.randn(shape, generator=generator).to(device or "cpu")
    tried(separator, noise, 0.5 * noise)
    return separator


def attack(
    separator: Separator,
    mixture: Signal,
    vocals: Signal,
    params: AttackParams | None = None,
    *,
    training: tuple[Signal, Signal] | None = None,
    sample_rate: int | None = None,
    **settings: Any,
) -> Attacked:
    """Attack recordings, by default with PGD in an L-inf ball.

    Args:
        separator: what :func:`load` gave, or a wrapper around it.
        mixture: clean mixtures, batch x channels x samples.
        vocals: true vocals, same shape.
        params: the section ``attack`` of the pipeline's parameters, instead of settings.
        training: mixtures and vocals that a universal perturbation (``method="universal"``) is
            learned on, of the same length; without them it is learned on the recordings that it is
            played to, which makes it stronger than it can be.
        sample_rate: of the recordings in Hz, if it shall be checked.
        settings: keys of the section ``attack``, such as ``eps=0.003`` (full scale 1),
            ``norm="l2"``, ``snr=30.0`` (dB), ``method="search"``, ``pgd={"steps": 40}``.

    Returns:
        Adversarial mixtures and the losses on the way.

    Raises:
        InputError: a setting is not allowed; the recordings do not fit together or the system; no
            gradient reaches the mixture; a loss or a gradient is not a number.

    >>> import torch, stemproof
    >>> system = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=8000, channels=1)
    >>> vocals = 0.1 * torch.sin(torch.arange(800) / 9)[None, None]
    >>> mixture = vocals + 0.05 * torch.cos(torch.arange(800) / 4)
    >>> found = stemproof.attack(system, mixture, vocals, eps=0.01, pgd={"steps": 4})
    >>> found.adversarial.shape, found.losses.shape
    (torch.Size([1, 1, 800]), torch.Size([1, 5]))
    >>> float((found.adversarial - mixture).abs().max()) <= 0.01
    True
    >>> bool(found.losses[0, -1] > found.losses[0, 0])
    True
    >>> stemproof.attack(system, mixture, vocals, epss=0.01)
    Traceback (most recent call last):
    stemproof.core.errors.InputError: attack: unknown parameter epss, did you mean `eps`?
    """
    params = _attack_params(separator, params, settings)
    recordings = _recordings(separator, mixture, vocals, sample_rate)
    x, s = recordings.mixture, recordings.vocals
    tried(separator, x[:1], s[:1], gradient="gradient" in params.of_method.needs)
    method = build_attack(params)
    if isinstance(method, UniversalPerturbation):
        learned_on = recordings if training is None else _training(separator, recordings, training)
        method = method.learned(_cases(params, separator, learned_on))  # type: ignore[arg-type]
    found = [method(case) for case in _cases(params, separator, recordings)]
    adversarial = torch.cat([part.adversarial for part in found])
    losses = torch.cat([part.losses for part in found])
    good = torch.isfinite(losses).all(-1) & torch.isfinite(adversarial).all(-1)
    if not good.all():
        raise InputError(
            f"output, loss or gradient is not a number on {int((~good).sum())} of {len(good)} "
            f"recordings, the first of them number {int((~good).nonzero()[0])}; leave them out, "
            "or choose another loss"
        )
    fraction = used(params.bound.budget(x.flatten(1)), x.flatten(1), adversarial)
    return Attacked(adversarial.reshape(x.shape), losses, params, fraction)


def score(
    separator: Separator,
    mixture: Signal,
    vocals: Signal,
    adversarial: Attacked | Signal,
    params: AttackParams | None = None,
    *,
    names: Sequence[str] | None = None,
    evaluate: EvaluateParams | None = None,
    statistics: StatisticsParams | None = None,
    sample_rate: int | None = None,
) -> Scores:
    """The figures of a system on clean and attacked recordings, with random noise as a control.

    What a figure means is said in :mod:`stemproof.figures.table`. There is no oracle beside the
    system, and no BSSEval.

    Args:
        separator: the system that was attacked.
        mixture: clean mixtures, batch x channels x samples.
        vocals: true vocals, same shape.
        adversarial: what :func:`attack` gave; or attacked mixtures of any origin, same shape.
        params: the attack behind mixtures of another origin; by default its budget is L-inf, and a
            claim cannot be made.
        names: of the track that each recording is of. Medians are taken over a track's recordings,
            then over tracks; by default every recording is a track of its own.
        evaluate: noise draws and seed; ``batch`` recordings are played at once.
        statistics: how the intervals are made.
        sample_rate: of the recordings in Hz, if it shall be checked.

    Raises:
        InputError: the recordings do not fit together or the system, or an output is not a number.

    >>> import torch, stemproof
    >>> system = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=8000, channels=1)
    >>> vocals = 0.1 * torch.sin(torch.arange(800) / 9)[None, None]
    >>> mixture = vocals + 0.05 * torch.cos(torch.arange(800) / 4)
    >>> found = stemproof.attack(system, mixture, vocals, eps=0.01, pgd={"steps": 4})
    >>> scores = stemproof.score(system, mixture, vocals, found)
    >>> {key: round(float(scores.table[key].iloc[0]), 1) for key in ("bs", "at_bs", "drop")}
    {'bs': 6.0, 'at_bs': 4.0, 'drop': 1.9}
    >>> round(scores.summary["rb"], 1), scores.summary["n_tracks"]
    (1.9, 1)
    """
    recordings = _recordings(separator, mixture, vocals, sample_rate)
    x, s = recordings.mixture, recordings.vocals
    if isinstance(adversarial, Attacked):
        if params is not None and params != adversarial.params:
            raise InputError("what `attack` gave has its own parameters; leave params out")
        attacked, known = adversarial.adversarial, adversarial.params
    else:
        attacked, known = as_batch(adversarial, "adversarial"), _attack_params(separator, params)
    if attacked.shape != x.shape:
        raise InputError(
            f"adversarial is {shown(attacked)}, but the mixture is {shown(x)}; they must be of "
            "one shape"
        )
    tried(separator, x[:1], s[:1])
    controls, intervals = evaluate or EvaluateParams(), statistics or StatisticsParams()
    player = Evaluator(
        "the system",
        separator,
        None,
        controls,
        known,
        SegmentParams(),
        WorkerParams(),
        ProcessParams(),
        x.device,
    )
    parts = []
    for part in batches(len(x), controls.batch):
        seeds = _seeds(part, "evaluate", controls.seed)
        figures = measured(player.play(x[part], s[part], attacked[part].to(x), seeds))
        parts.append(pd.DataFrame({key: value.cpu().numpy() for key, value in figures.items()}))
    rows = pd.concat(parts, ignore_index=True).astype(np.float64)
    tracks = recordings.names(names)
    rows.index = pd.Index(tracks, name="track")
    broken = np.flatnonzero(~np.isfinite(rows.to_numpy()).all(axis=1))
    if len(broken):
        raise InputError(f"recording {broken[0]}: an output is not a number; leave it out")
    medians = {key: pd.Series(track_medians(tracks, rows[key].to_numpy())) for key in rows}
    per_track = pd.DataFrame(medians)
    budget = known.bound.budget(x.flatten(1))
    counts = {
        "n_segments": len(rows),
        "n_skipped": 0,
        "budget_used": used(budget, x.flatten(1), attacked.to(x).flatten(1)),
    }
    summary = summarize({0: Scored(per_track, counts)}, intervals)
    data = LocalData(
        sha256=recordings.sha256,
        adversarial_sha256=hash_of(attacked, sample_rate=recordings.sample_rate),
        recordings=len(rows),
        tracks=len(per_track),
        channels=x.shape[1],
        samples=x.shape[2],
        sample_rate=recordings.sample_rate,
    )
    said = isinstance(adversarial, Attacked) or params is not None
    if not said:
        del summary["budget_used"]
    return Scores(
        rows,
        summary,
        known if said else None,
        controls,
        intervals,
        data,
        separator,
        x.device.type,
    )


def audit(
    separator: Separator,
    mixture: Signal,
    vocals: Signal,
    params: AttackParams | None = None,
    *,
    names: Sequence[str] | None = None,
    training: tuple[Signal, Signal] | None = None,
    trained: bool = True,
    sample_rate: int | None = None,
    **settings: Any,
) -> Audit:
    """Can the robustness figure be believed? Attacks of many kinds, and flags.

    All recordings that are audited are held at once, and attacked some hundred times.

    Args:
        separator: the system.
        mixture: clean mixtures, batch x channels x samples.
        vocals: true vocals, same shape.
        params: the attack that the figures were made with, for instance ``found.params``; the
            default attack when None.
        names: as in :func:`score`.
        training: mixtures and vocals that a universal perturbation is learned on, of the same
            length; without them it is learned on the recordings that it is played to, and the
            audit says so.
        trained: whether the system has a training whose luck could matter.
        sample_rate: of the recordings in Hz, if it shall be checked.
        settings: keys of the section ``audit``, such as ``segments=6`` (recordings that are
            audited, spread evenly over those given) or ``queries=100``.

    Raises:
        InputError: a setting is not allowed; the recordings do not fit together or the system; no
            gradient reaches the mixture.

    >>> import torch, stemproof
    >>> system = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=8000, channels=1)
    >>> vocals = 0.1 * torch.sin(torch.arange(200) / 9)[None, None]
    >>> mixture = vocals + 0.05 * torch.cos(torch.arange(200) / 4)
    >>> little = dict(steps=[1], queries=5, noise_draws=1, minimal_drops=[1], universal_epochs=1)
    >>> found = stemproof.audit(system, mixture, vocals, **little)
    audit system-0: 1 segments
    >>> [flag.name for flag in found.raised]
    ['few seeds']
    >>> found.not_measured[0]
    'transfer: what was crafted on other systems was not played to this one'
    """
    params = _attack_params(separator, params)
    chosen = validate(AuditParams, settings, "audit")
    recordings = _recordings(separator, mixture, vocals, sample_rate)
    tried(separator, recordings.mixture[:1], recordings.vocals[:1], gradient=True)
    count = min(chosen.segments, len(recordings))
    numbers = [round(place) for place in np.linspace(0, len(recordings) - 1, count)]
    tracks, seeds = recordings.names(names), _seeds(slice(len(recordings)), "attack", params.seed)
    material = Material(
        [tracks[number] for number in numbers],
        recordings.mixture[numbers],
        recordings.vocals[numbers],
        tuple(seeds[number] for number in numbers),
    )
    not_measured = ["transfer: what was crafted on other systems was not played to this one"]
    if count < len(recordings):
        not_measured.append(f"{len(recordings) - count} of {len(recordings)} recordings")
    learning = material
    if training is None:
        not_measured.append(
            "a universal perturbation of other recordings: it was learned on those that it was "
            "played to"
        )
    else:
        other = _training(separator, recordings, training)
        own = tuple(_seeds(slice(len(other)), "attack", params.seed))
        learning = Material(other.names(None), other.mixture, other.vocals, own)
    system = audit_run.System("system", 0, separator, 0.0, trained)
    devices = [recordings.mixture.device] if recordings.mixture.is_cuda else []
    with torch.random.fork_rng(devices):  # which the audit seeds
        found = audit_run.audit(chosen, params, [system], material, learning)["system"]
    return Audit(
        found.attack,
        found.figures,
        # There is only one system: nothing came from elsewhere.
        [flag for flag in found.flags if flag.name != "stronger from elsewhere"],
        not_measured,
        params,
        chosen,
        separator,
        recordings.sha256,
    )


def claim(
    scores: Scores, audited: Audit, *, system: str, git_commit: str | None = None
) -> LocalClaim:
    """One document that stands by itself: threat model, figures, flags, hashes, and what lacks.

    Nothing is made up: recordings are named by the SHA-256 of their samples, a commit only where
    it is given, intervals only over two tracks or more, and what a run of the pipeline would have
    measured beside is listed.

    Args:
        scores: what :func:`score` gave.
        audited: what :func:`audit` gave for the same system, recordings and attack.
        system: a name for it.
        git_commit: of the code around, 40 hexadecimal digits.

    Returns:
        A frozen Pydantic model: ``.model_dump_json(indent=2)`` is the document.

    Raises:
        InputError: figures and audit are of another system, other recordings or another attack; it
            is not known which attack made the adversarial mixtures; a name is missing, or the
            commit is none.

    >>> import torch, stemproof
    >>> system = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=8000, channels=1)
    >>> vocals = 0.1 * torch.sin(torch.arange(200) / 9)[None, None]
    >>> mixture = vocals + 0.05 * torch.cos(torch.arange(200) / 4)
    >>> found = stemproof.attack(system, mixture, vocals, pgd={"steps": 4})
    >>> scores = stemproof.score(system, mixture, vocals, found)
    >>> little = dict(steps=[1], queries=5, noise_draws=1, minimal_drops=[1], universal_epochs=1)
    >>> audited = stemproof.audit(system, mixture, vocals, found.params, **little)
    audit system-0: 1 segments
    >>> made = stemproof.claim(scores, audited, system="tanh")
    >>> made.flags_raised, made.git_commit, made.attacked["rb"].low
    (3, None, None)
    >>> made.not_measured[-1]
    'intervals: there is a single track'
    """
    if scores.params is None:
        raise InputError("a claim names the attack; score what `attack` gave, or give its params")
    for same, what in (
        (scores._system is audited._system, "another system"),
        (scores.data.sha256 == audited._sha256, "other recordings"),
        (scores.params == audited.params, "another attack"),
    ):
        if not same:
            raise InputError(f"the audit is of {what} than the figures; audit what was scored")
    params, data = scores.params, scores.data
    missing = [
        *audited.not_measured,
        "training seeds: one model, so intervals say nothing about the luck of training",
        "an oracle, BSSEval, and a comparison with a reference system",
    ]
    intervals = data.tracks > 1
    if not intervals:
        missing.append("intervals: there is a single track")
    cuda = scores._device == "cuda"
    runtime = RuntimeParams(
        accelerator="cuda" if cuda else "cpu",
        precision="tf32" if cuda and torch.backends.cuda.matmul.allow_tf32 else "32-true",
        threads=torch.get_num_threads(),
    )
    # Longer than a segment of the pipeline may be.
    cut = SegmentParams.model_construct(seconds=data.samples / data.sample_rate)
    content = {
        "system": system,
        "threat_model": threat_in_words(params, cut, isinstance(scores._system, Informed)),
        "attack": params.model_dump(mode="json"),
        "evaluate": {"noise_draws": scores.evaluate.noise_draws, "seed": scores.evaluate.seed},
        "statistics": scores.statistics.model_dump(mode="json"),
        "audit": audited.settings.model_dump(mode="json"),
        "audited_attack": audited.attack,
        "eps": params.eps if params.has_eps else None,
        "budget_used": scores.summary["budget_used"],
        "perturbation_snr": scores.summary["perturbation_snr"],
        "clean": local_figures("clean", scores.summary, intervals),
        "attacked": local_figures("attacked", scores.summary, intervals),
        "confidence": scores.statistics.confidence if intervals else None,
        "flags": [
            FlagState(name=flag.name, raised=flag.raised, reason=flag.reason)
            for flag in audited.flags
        ],
        "flags_raised": len(audited.raised),
        "not_measured": missing,
        "data": data,
        "version": stemproof.__version__,
        "git_commit": git_commit,
        "environment": describe_environment(runtime),
    }
    return validate(LocalClaim, content, "claim")


class _Callable(ModuleType):
    """The room of the audit and the call have one name: ``stemproof.audit(...)`` works for both."""

    __call__ = staticmethod(audit)


sys.modules["stemproof.audit"].__class__ = _Callable


def _agree(separator: Separator, said: Mapping[str, int | None], name: str) -> None:
    for key, value in said.items():
        own = getattr(separator, key)
        if value is not None and value != own:
            raise InputError(
                f"{name}: {key} is {own}, not {value}; leave it out, and wrap the system for other "
                "recordings (stemproof.separators.wrappers)"
            )


def _attack_params(
    separator: Separator,
    params: AttackParams | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AttackParams:
    """The parameters of an attack, with the kind of mask that the separator has."""
    mask = _mask_of(separator)
    if params is None:
        params = validate(AttackSection, dict(settings or {}), "attack")
    elif settings:
        raise InputError("name either params or settings of the attack, not both")
    if "mask" in params.model_fields_set and params.mask != mask:
        raise InputError(
            f"attack: mask = {params.mask}, but the system was loaded with mask = {mask}; say it "
            "in `load`"
        )
    return params.model_copy(update={"mask": mask})


def _mask_of(separator: Any) -> MaskKind:
    """Where the mask of a system comes from, also of one that is wrapped."""
    while not hasattr(separator, "mask") and hasattr(separator, "inside"):
        separator = separator.inside
    mask: MaskKind = "recomputed" if getattr(separator, "mask", "") == "recomputed" else "fixed"
    return mask


def _recordings(
    separator: Separator, mixture: Signal, vocals: Signal, sample_rate: int | None
) -> Recordings:
    """Recordings that fit a separator."""
    if not isinstance(separator, Separator):
        raise InputError(
            f"a {type(separator).__name__} is no separator; make it one with stemproof.load"
        )
    own = separator.sample_rate
    if sample_rate is not None and sample_rate != own:
        raise InputError(
            f"the recordings have {sample_rate} Hz, the system takes {own} Hz; wrap it: "
            f"stemproof.separators.wrappers.with_sample_rate(separator, {sample_rate})"
        )
    recordings = Recordings.of(mixture, vocals, own)
    channels = recordings.mixture.shape[1]
    if channels != separator.channels:
        raise InputError(
            f"the recordings have {channels} channel(s), the system takes {separator.channels}; "
            f"wrap it: stemproof.separators.wrappers.with_channels(separator, {channels})"
        )
    return recordings


def _training(
    separator: Separator, recordings: Recordings, training: tuple[Signal, Signal]
) -> Recordings:
    """Recordings that a universal perturbation for others can be learned on."""
    found = _recordings(separator, *training, sample_rate=None)
    if found.mixture.shape[1:] != recordings.mixture.shape[1:]:
        raise InputError(
            f"training is {shown(found.mixture)}, the mixture {shown(recordings.mixture)}; one "
            "perturbation for all needs one length"
        )
    return found


def _seeds(part: slice, purpose: str, seed: int) -> list[int]:
    """Seeds of recordings, which belong to their places and not to a batch."""
    places = range(part.start or 0, part.stop)
    return [segment_seed("recording", place, purpose, seed) for place in places]


def _cases(params: AttackParams, separator: Separator, recordings: Recordings) -> list[Case]:
    """Recordings as cases of an attack, ``params.batch`` at once."""
    return [
        Case.of(
            separator,
            recordings.mixture[part],
            recordings.vocals[part],
            params.bound,
            _seeds(part, "attack", params.seed),
            params.eot_samples,
        )
        for part in batches(len(recordings), params.batch)
    ]
