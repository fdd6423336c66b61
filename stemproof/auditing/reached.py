"""Whether an attack that aims at a loss has reached it."""

from __future__ import annotations

import numpy as np
import torch

from stemproof.attacks.craft import case_of
from stemproof.attacks.params import AttackParams
from stemproof.attacks.protocol import REACHED
from stemproof.attacks.stored import Adversarials, parts_of, read_stored
from stemproof.attacks.threat import excerpts_for, played_to
from stemproof.auditing.scores import outcome
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.separators.protocol import Separator


def aim_of(
    stored: Adversarials,
    separator: Separator,
    attack: AttackParams,
    cut: SegmentParams,
    data: PreparedData,
    device: torch.device,
) -> dict[str, float] | None:
    """Play everything that was stored of an attack with an aim, and count what fell short of it.

    Counted as in the figures: parts with a segment that counts; what collapses under attack has
    lost any number of dB, what is silent without it has nothing to lose.

    Args:
        stored: what the attack found.
        separator: the system that was attacked.
        attack: the section ``attack``.
        cut: the section ``segments``.
        data: prepared data.
        device: where to compute.

    Returns:
        ``drop`` that was aimed at in dB, how many ``parts`` there are, and on how many it was
        ``missed``; None for an attack without such an aim.
    """
    aim = attack.of_method.aim
    if aim is None:
        return None
    tracks = played_to(separator, data.tracks("test"), attack)
    excerpts = excerpts_for(separator, tracks, cut, attack, data.sample_rate)
    loud, drops = set(excerpts.loud(cut.loud_db)), list[float]()
    for number in range(len(tracks)):
        file, _ = read_stored(stored, excerpts, number, attack)
        own = [part for part in excerpts.of_track(number) if part in loud]
        for chosen in excerpts.batches(own, attack.batch):
            case = case_of(attack, separator, excerpts, chosen, device)
            heard = parts_of(excerpts, chosen, file).flatten(1).to(case.mixture)
            clean, attacked = outcome(case, case.mixture), outcome(case, heard)
            with np.errstate(invalid="ignore"):
                drops += np.where(np.isneginf(clean), -np.inf, clean - attacked).tolist()
    missed = sum(not drop >= aim(attack) - REACHED for drop in drops)
    return {"drop": aim(attack), "parts": len(drops), "missed": missed}
