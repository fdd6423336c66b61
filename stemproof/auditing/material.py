"""The parts of recordings that are audited."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stemproof.attacks.params import AttackParams
from stemproof.attacks.threat import Threat, excerpts_for, played_to, threat_of
from stemproof.auditing.params import AuditParams
from stemproof.core.errors import InputError
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.figures.medians import median_of_medians
from stemproof.separators.protocol import Separator

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """The parts of recordings that are audited, of one length.

    Attributes:
        tracks: name of the track of each part.
        mixture: parts x channels x samples.
        vocals: parts x channels x samples.
        seeds: of each part's random numbers.
        segments: that a part has.
        excerpts: where the parts are in prepared data, in the same order; None for others.
        cut: whether a part is shorter than the one that the figures were made on.
        chosen_from: how many parts there were that count; 0 where that is not known.
    """

    tracks: list[str]
    mixture: Tensor
    vocals: Tensor
    seeds: tuple[int, ...]
    segments: int = 1
    excerpts: Excerpts | None = None
    cut: bool = False
    chosen_from: int = 0

    def median(self, values: Values) -> float:
        """Median over tracks of the medians over parts.

        NaN is left out (and is what comes back where nothing else is there); minus infinity, the
        outcome of an attack that silenced the system, is below every number.
        """
        parts = ((t, [v]) for t, v in zip(self.tracks, values, strict=True))
        return median_of_medians(parts, ordered=True)


def choose_material(
    audit: AuditParams,
    attack: AttackParams,
    cut: SegmentParams,
    data: PreparedData,
    split: str,
    separator: Separator,
    device: torch.device,
) -> Material:
    """Parts of a split that count, spread evenly over the tracks and cut to the shortest of them.

    Args:
        audit: the section ``audit`` as it is for such a system (:meth:`AuditParams.of`).
        attack: the section ``attack``.
        cut: the section ``segments``.
        data: prepared data.
        split: ``test`` or ``train``.
        separator: what hears them.
        device: where to compute.

    Raises:
        InputError: no segment of the split has audible vocals.
    """
    tracks = played_to(separator, data.tracks(split), attack)
    excerpts = excerpts_for(separator, tracks, cut, attack, data.sample_rate)
    loud = excerpts.loud(cut.loud_db)
    if not loud:
        raise InputError(f"no {split} segment has audible vocals; see segments.loud_db")
    count = min(audit.segments, len(loud))
    chosen = [loud[round(place)] for place in np.linspace(0, len(loud) - 1, count)]
    places = [excerpts.places[number] for number in chosen]
    shortest = min(place.samples for place in places)
    cut_places = [replace(place, stop=place.start + shortest) for place in places]
    parts = replace(excerpts, places=cut_places)
    numbers = list(range(len(parts)))
    samples = shortest * excerpts.channels
    if audit.sparse_samples > samples:
        where = "audit." if threat_of(separator) == "informed" else "audit.excerpts."
        raise InputError(
            f"{where}sparse_samples = {audit.sparse_samples}, but what is attacked at once has "
            f"{samples}; lower it"
        )
    mixture, vocals = parts.read(numbers, device)
    # The seeds of the attack that is audited: what it found is found again.
    seeds = tuple(parts.seed(number, "attack", attack.seed) for number in numbers)
    names = [parts.track(number) for number in numbers]
    cut_short = any(place.samples > shortest for place in places)
    return Material(
        names,
        mixture,
        vocals,
        seeds,
        max(shortest // parts.segment, 1),
        parts,
        cut_short,
        len(loud),
    )


class Materials:
    """The parts that are audited of both splits, chosen once for all systems of a threat model."""

    def __init__(
        self,
        audit: AuditParams,
        attack: AttackParams,
        cut: SegmentParams,
        data: PreparedData,
        device: torch.device,
    ) -> None:
        """Nothing is read yet.

        Args:
            audit: the section ``audit``.
            attack: the section ``attack``.
            cut: the section ``segments``.
            data: prepared data.
            device: where to compute.
        """
        self.audit, self.attack, self.cut = audit, attack, cut
        self.data, self.device = data, device
        self._chosen: dict[Threat, tuple[Material, Material]] = {}

    def of(self, separator: Separator) -> tuple[Material, Material]:
        """Those of the test split and of the train split, as a system hears them.

        Raises:
            InputError: as :func:`choose_material`.
        """
        threat = threat_of(separator)
        if threat not in self._chosen:
            suite, sections = self.audit.of(threat), (self.attack, self.cut, self.data)
            test, train = (
                choose_material(suite, *sections, split, separator, self.device)
                for split in ("test", "train")
            )
            self._chosen[threat] = test, train
        return self._chosen[threat]
