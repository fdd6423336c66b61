"""What an audit of songs will cost: passes are counted on a system for free, and one is timed."""

from __future__ import annotations

import torch
from torch import Tensor

from stemproof.api.folder_params import FolderParams
from stemproof.attacks.breakpoints import BreakPoints, ScaledBreakPoints
from stemproof.attacks.broken import BreakParams
from stemproof.attacks.budgets import Bound
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case
from stemproof.attacks.gate import LONGEST, gate
from stemproof.attacks.params import AttackParams
from stemproof.attacks.passes import Cost, Passes, passes_of
from stemproof.attacks.score_based import score_based
from stemproof.attacks.threat import excerpts_for, threat_of
from stemproof.auditing.costs import passes_of_audit
from stemproof.core.forecast import quickest
from stemproof.data.store import PreparedData
from stemproof.separators.protocol import BlackBox, Separator, separated, side_of


def estimated(
    separator: Separator,
    data: PreparedData,
    params: FolderParams,
    device: torch.device,
) -> float:
    """Seconds that the audit of one system will take, about.

    Args:
        separator: fitted to the songs.
        data: the songs.
        params: of everything that is measured.
        device: where to compute.
    """
    attack, tracks = params.attack, data.tracks("test")
    excerpts = excerpts_for(separator, tracks, params.cut, attack, data.sample_rate)
    lengths = [place.samples / data.sample_rate for place in excerpts.places]
    longest = max(lengths)
    part = excerpts.of_length(
        min(LONGEST * excerpts.segment, min(p.samples for p in excerpts.places))
    )
    cost = timed(separator, *part.read([0], device), data.sample_rate)
    white = not isinstance(separator, BlackBox)
    channels, suite = excerpts.channels, params.audit.of(threat_of(separator))
    evaluated = Passes(forward=2 + params.evaluate.noise_draws)
    total = _attack(attack, white, channels) + evaluated
    seconds = total.seconds(cost) * sum(lengths)
    searched = len(tracks) * (params.breaks.per_track or 1)
    seconds += _breaks(params.breaks, attack, white, channels).seconds(cost) * searched * longest
    audited = min(suite.segments, len(lengths)) * longest
    known = min(lengths) == longest  # what was found on parts of one length is not sought again
    seconds += passes_of_audit(suite, attack, white, channels, known).seconds(cost) * audited
    # Without a gradient two passes are compared, and that is all.
    once = passes_of(lambda s, x, v: gate(s, x, v, 0), channels) if white else Passes(forward=2)
    # Before the attack, and before the search for break points.
    return seconds + 2 * once.seconds(cost) * min(longest, float(LONGEST))


def timed(separator: Separator, mixture: Tensor, vocals: Tensor, sample_rate: int) -> Cost:
    """Seconds that passes of a system take, for a second of audio.

    Args:
        separator: the system.
        mixture: 1 x channels x samples.
        vocals: same shape.
        sample_rate: in Hz.
    """
    side = side_of(separator, mixture, vocals)
    seconds = mixture.shape[-1] / sample_rate

    def forward() -> None:
        with torch.no_grad():
            separated(separator, mixture, side).sum().item()

    def both() -> None:
        heard = mixture.clone().requires_grad_(True)
        output = separated(separator, heard, side).sum()
        if output.requires_grad:
            torch.autograd.grad(output, heard, allow_unused=True)
        output.item()

    forward()  # the first takes longer
    ahead = quickest(forward) / seconds
    return Cost(ahead, ahead if isinstance(separator, BlackBox) else quickest(both) / seconds)


def _attack(params: AttackParams, white: bool, channels: int) -> Passes:
    needs = "gradient" in params.of_method.needs
    attack = build_attack(params) if white or not needs else score_based(params)

    def run(system: Separator, mixture: Tensor, vocals: Tensor) -> None:
        attack(Case.of(system, mixture, vocals, params.bound, [0], params.eot_samples))

    return passes_of(run, channels)


def _breaks(breaks: BreakParams, attack: AttackParams, white: bool, channels: int) -> Passes:
    search = (
        BreakPoints(breaks.steps, loudest=breaks.loudest)
        if white
        else ScaledBreakPoints(
            score_based(attack), Bound("l2", snr=breaks.snr), loudest=breaks.loudest
        )
    )

    def run(system: Separator, mixture: Tensor, vocals: Tensor) -> None:
        search(Case.of(system, mixture, vocals, attack.bound, [0], attack.eot_samples))

    return passes_of(run, channels)
