"""The fourth call: can the figures be believed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from stemproof.api.fitting import attack_params, fitting, fitting_training, seeds_of
from stemproof.api.recordings import Signal
from stemproof.attacks.params import AttackParams
from stemproof.auditing import run
from stemproof.auditing.flag import Flag
from stemproof.auditing.material import Material
from stemproof.auditing.params import AuditParams, Suite
from stemproof.core.errors import InputError
from stemproof.core.params import validate
from stemproof.separators.own import tried
from stemproof.separators.protocol import Separator


@dataclass(frozen=True)
class Audit:
    """What :func:`audit` found.

    Attributes:
        attack: method and norm that were audited.
        figures: everything that was measured, by check.
        flags: one a check that was made.
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
            audited, spread evenly over those given) or ``queries=80``. Whether the system is told
            something of the stems makes no difference: there is no ``excerpts``.

    Raises:
        InputError: a setting is not allowed; the recordings do not fit together or the system; no
            gradient reaches the mixture.

    >>> import torch, stemproof
    >>> system = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=8000, channels=1)
    >>> vocals = 0.1 * torch.sin(torch.arange(200) / 9)[None, None]
    >>> mixture = vocals + 0.05 * torch.cos(torch.arange(200) / 4)
    >>> little = dict(steps=[1], queries=5, noise_draws=1, minimal_drops=[1], universal_epochs=1)
    >>> found = stemproof.audit(system, mixture, vocals, **little)
    audit system-0: excerpts: 1
    >>> [flag.name for flag in found.raised]
    ['few seeds']
    >>> found.not_measured[0]
    'transfer: what was crafted on other systems was not played to this one'
    """
    params = attack_params(separator, params)
    if "excerpts" in settings:
        raise InputError("audit: excerpts is of runs of many systems; give its keys by themselves")
    chosen = validate(AuditParams, settings, "audit")
    same = {name: getattr(chosen, name) for name in Suite.model_fields}
    chosen = chosen.model_copy(update={"excerpts": Suite(**same)})
    recordings = fitting(separator, mixture, vocals, sample_rate)
    tried(separator, recordings.mixture[:1], recordings.vocals[:1], gradient=True)
    count = min(chosen.segments, len(recordings))
    numbers = [round(place) for place in np.linspace(0, len(recordings) - 1, count)]
    tracks, seeds = recordings.names(names), seeds_of(slice(len(recordings)), "attack", params.seed)
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
        other = fitting_training(separator, recordings, training)
        own = tuple(seeds_of(slice(len(other)), "attack", params.seed))
        learning = Material(other.names(None), other.mixture, other.vocals, own)
    system = run.System("system", 0, separator, material, learning, trained=trained)
    devices = [recordings.mixture.device] if recordings.mixture.is_cuda else []
    with torch.random.fork_rng(devices):  # which the audit seeds
        found = run.audit(chosen, params, [system])["system"]
    return Audit(
        found.attack,
        found.figures,
        # There is only one system, and nothing stored: nothing came from elsewhere.
        [flag for flag in found.flags if flag.measured],
        not_measured,
        params,
        chosen,
        separator,
        recordings.sha256,
    )
