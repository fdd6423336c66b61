"""One song: separated, or attacked and separated; with or without its true vocals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stemproof.api.attacking import attack
from stemproof.api.fitting import attack_params, fitting, seeds_of
from stemproof.api.recordings import Signal, as_batch
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case
from stemproof.attacks.gate import LONGEST, Gate, gate
from stemproof.attacks.params import AttackParams
from stemproof.attacks.passes import passes_of
from stemproof.attacks.threat import threat_of
from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams, WorkerParams
from stemproof.core.progress import Progress
from stemproof.data.params import SegmentParams
from stemproof.data.songs import loudest
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.played import Played
from stemproof.figures.si_sdr import snr
from stemproof.separators.own import noise, tried
from stemproof.separators.protocol import Separator, redrawn, separated
from stemproof.separators.wrappers import Watched, Windowed, with_channels, with_sample_rate


@dataclass(frozen=True)
class AttackedSong:
    """What :func:`attack_song` found; recordings are channels x samples.

    Attributes:
        adversarial: the attacked song.
        clean: vocals that are separated from the clean song.
        attacked: vocals that are separated from the attacked one.
        against: what the figures are measured against: the true ``vocals``, or the ``output`` for
            the clean song.
        figures: SI-SDR in dB of the vocals from the ``clean`` song, from the ``attacked`` one and
            from one with random ``noise`` as large as the perturbation, and the ``snr`` of song
            over perturbation; NaN where nothing is put out. Against the output there is no
            ``clean``.
        gate: whether the gradient can be used.
        params: the attack, as it was made: without gradients where they cannot be used.
    """

    adversarial: Tensor
    clean: Tensor
    attacked: Tensor
    against: str
    figures: Mapping[str, float]
    gate: Gate
    params: AttackParams


def fit(
    separator: Separator, sample_rate: int, channels: int, window: float | None = None
) -> Separator:
    """A system for recordings of some rate and number of channels.

    Args:
        separator: any.
        sample_rate: of the recordings, in Hz.
        channels: of the recordings.
        window: seconds that are heard at once, cross-faded; None for all of a recording.

    Raises:
        InputError: it cannot take so many channels.
    """
    if window is not None:
        separator = Windowed(separator, window, 0.25)
    return with_channels(with_sample_rate(separator, sample_rate), channels)


def separate_song(separator: Separator, mixture: Signal) -> Tensor:
    """The vocals of a song.

    Args:
        separator: a blind system for such recordings.
        mixture: channels x samples.

    Raises:
        InputError: the system is told something of the stems, or gives no such vocals.
    """
    _refuse_informed(separator)
    x = as_batch(mixture[None], "mixture")
    tried(separator, x[..., : separator.sample_rate], x[..., : separator.sample_rate])
    with torch.no_grad():
        vocals = separated(redrawn(separator, seeds_of(slice(0, 1), "separate", 0)), x)[0]
    if not torch.isfinite(vocals).all():
        raise InputError("the system gives what is not a number; train it again, or correct it")
    return vocals


def attack_song(
    separator: Separator,
    mixture: Signal,
    vocals: Signal | None = None,
    params: AttackParams | None = None,
    *,
    progress: bool = False,
) -> AttackedSong:
    """Attack one song, and separate it clean, attacked and with noise.

    The gradient of the system is checked first; one that cannot be used is not used.

    Args:
        separator: the system, for such recordings.
        mixture: channels x samples.
        vocals: the true vocals, same shape. Without them the attack moves the output away from
            what the clean song gives, and figures are measured against that.
        params: the section ``attack``; by default PGD with eps = 0.003.
        progress: whether a bar is shown.

    Raises:
        InputError: as :func:`stemproof.api.attack`; or there are no vocals and the system is told
            something of them, or puts out nothing.
    """
    params = attack_params(separator, params)
    x = as_batch(mixture[None], "mixture")
    if vocals is None:
        found = separate_song(separator, x[0])[None]
        if not found.any():
            raise InputError(
                "the system puts out nothing for the clean song: there is nothing to attack; give "
                "the true vocals, or another song"
            )
        params, against = params.model_copy(update={"loss": "output_distance"}), "output"
    else:
        found, against = as_batch(vocals[None], "vocals"), "vocals"
    recordings = fitting(separator, x, found, None)
    heard, reference = _part(recordings.mixture, recordings.vocals, separator)
    if against == "output":
        # At what it gives itself SI-SDR has a pole, and no slope to be checked.
        _, channels, samples = reference.shape
        draw = noise(1, channels, samples, reference.device)
        level = reference.square().mean() / draw.square().mean()
        reference = reference + level.sqrt() * draw
    checked = gate(separator, heard, reference, params.seed)
    if not checked.passed and "gradient" in params.of_method.needs:
        params = params.model_copy(update={"method": params.without_gradient[0]})
    total = passes_of(_played(params), x.shape[1])
    # One pass more, by which the attack tries the system.
    bar = Progress(
        total=total.forward + total.gradient + 1, desc="attack", unit="pass", disable=not progress
    )
    with bar:
        watched = Watched(separator, bar.update)
        adversarial = attack(watched, recordings.mixture, recordings.vocals, params).adversarial
    played = _evaluated(separator, params, recordings.mixture, recordings.vocals, adversarial)
    figures = {
        "clean": played.sdr(played.clean),
        "attacked": played.sdr(played.attacked),
        "noise": played.noise_sdr.mean(0),
        "snr": snr(played.mixture, played.perturbation),
    }
    if against == "output":
        del figures["clean"]
    return AttackedSong(
        adversarial[0],
        played.clean.view_as(x)[0],
        played.attacked.view_as(x)[0],
        against,
        {key: float(value) for key, value in figures.items()},
        checked,
        params,
    )


def _refuse_informed(separator: Separator) -> None:
    if threat_of(separator) == "informed":
        raise InputError(
            "the system is told something of the true vocals, and separates no song without them; "
            "name a blind system"
        )


def _part(mixture: Tensor, vocals: Tensor, separator: Separator) -> tuple[Tensor, Tensor]:
    """The part with the loudest vocals, of as many seconds as the gate needs."""
    samples = LONGEST * separator.sample_rate
    start = loudest(vocals[0].cpu().numpy(), samples)
    return mixture[..., start : start + samples], vocals[..., start : start + samples]


def _played(params: AttackParams) -> Callable[[Separator, Tensor, Tensor], None]:
    def run(system: Separator, mixture: Tensor, vocals: Tensor) -> None:
        case = Case.of(system, mixture, vocals, params.bound, [0], params.eot_samples)
        build_attack(params)(case)

    return run


def _evaluated(
    separator: Separator, params: AttackParams, x: Tensor, s: Tensor, adversarial: Tensor
) -> Played:
    controls = EvaluateParams(noise_draws=1)
    player = Evaluator(
        "the system",
        separator,
        None,
        controls,
        params,
        SegmentParams(),
        WorkerParams(),
        ProcessParams(),
        x.device,
    )
    return player.play(x, s, adversarial, seeds_of(slice(0, 1), "evaluate", controls.seed))
