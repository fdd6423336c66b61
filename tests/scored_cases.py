"""Small systems, recordings and adversarials in memory, and what an evaluation makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stemproof.attacks.params import AttackParams, AttackSection
from stemproof.attacks.stored import Adversarials
from stemproof.attacks.threat import excerpts_for
from stemproof.core.machine import ProcessParams, WorkerParams
from stemproof.core.shards import WHOLE, Shard
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedTrack
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.summary import Scored
from stemproof.figures.table import per_segment, tabulated
from stemproof.separators.protocol import Separator, Side
from stemproof.separators.rsvm.model import RSVM
from stemproof.separators.rsvm.params import RSVMSettings, Sizes
from stemproof.separators.rsvm.separator import as_separator
from stemproof.separators.stft import STFT, InformedSTFT, STFTSettings
from stemproof.separators.wrappers import FixedDraws

RATE, LENGTH = 4000, 1000
CUT = SegmentParams(seconds=LENGTH / RATE)
TRACKS = 11
# What the gate before the attack found.
PASSED = {"passed": True, "checks": []}
COUNTS = {"n_segments": 40, "n_skipped": 2, "budget_used": 0.5}


class Blind:
    """A system that is told nothing and has no representation: differences of samples."""

    sample_rate, channels = RATE, 1

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is None
        return mixture - 0.7 * mixture.roll(1, -1)


class Told:
    """The same system, which is told the true vocals and makes nothing of them."""

    sample_rate, channels = RATE, 1
    twin = None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return vocals

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        return Blind().separate(mixture)


class Mute(Told):
    """The same, and silence for what it is told."""

    def __init__(self, silent: Callable[[Tensor], bool]) -> None:
        self.silent = silent

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        sound = torch.tensor([float(not self.silent(heard)) for heard in mixture])
        return super().separate(mixture, side) * sound[:, None, None]


class Restless(Blind):
    """The same with noise of its own at every call."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return super().separate(mixture, side) + 0.05 * torch.randn_like(mixture)

    def redrawn(self, seeds: Sequence[int]) -> Separator:
        return FixedDraws(self, tuple(seeds))


def informed(seed: int = 0) -> Separator:
    torch.manual_seed(seed)
    sizes = Sizes(channels=24, kernel=128, hop=32)
    return as_separator(RSVM(sizes, RSVMSettings(), RATE, LENGTH))


def oracle() -> Separator:
    return InformedSTFT(STFT(STFTSettings(window=128, hop=32), RATE))


@dataclass(frozen=True)
class Recordings:
    """The test split of some prepared data."""

    all: list[PreparedTrack]
    sample_rate: int = RATE

    def tracks(self, split: str) -> list[PreparedTrack]:
        assert split == "test"
        return self.all


def recordings(count: int = 3) -> Recordings:
    """Mono tracks of 4, 5, 6, ... segments and a rest; the last segment of each is silent."""
    tracks = []
    for number in range(count):
        draw = np.random.default_rng(number)
        samples = (4 + number) * LENGTH + 100
        vocals = np.sin(np.arange(samples) * (0.3 + 0.1 * number)) * draw.uniform(0.2, 0.6)
        vocals[(3 + number) * LENGTH :] = 0
        mixture = vocals + 0.3 * draw.standard_normal(samples)
        audio = np.stack([mixture, vocals])[:, None].astype(np.float32)
        tracks.append(PreparedTrack(f"song {number}", f"{number}.npy", audio))
    return Recordings(tracks)


def adversarials(
    folder: Path, data: Recordings, attack: AttackParams, separator: Separator
) -> Adversarials:
    """What stands for an attack: some perturbation inside the budget."""
    files = {}
    excerpts = excerpts_for(separator, data.all, CUT, attack, data.sample_rate)
    for number, track in enumerate(data.all):
        draw = torch.Generator().manual_seed(int(track.file[0]))
        parts = []
        for part in excerpts.of_track(number):
            mixture, _ = excerpts.read([part])
            flat = mixture.flatten(1)
            delta = torch.randn(flat.shape, generator=draw) * (1 if parts else 0.5)
            budget = replace(attack.bound, eps=attack.eps * 0.9).budget(flat)
            kept = budget.keeper(flat)(flat + budget.project(delta * 0.1))
            parts.append(kept.view_as(mixture)[0])
        folder.mkdir(parents=True, exist_ok=True)
        files[track.file] = folder / track.file
        np.save(files[track.file], torch.cat(parts, dim=-1).numpy())
    return Adversarials(folder, files, folder / "none", "0" * 64, 1.0, PASSED)


def mute_systems(folder: Path) -> dict[str, Mute]:
    """Systems that are silent for what they hear: always, under attack, on a track, ..."""
    data = recordings()
    stored = adversarials(folder / "known", data, attack_params(), Mute(lambda _: False))
    clean = [track.segments(LENGTH)[0] for track in data.all]
    attacked = [
        torch.from_numpy(np.load(file)).reshape(-1, 1, LENGTH) for file in stored.files.values()
    ]

    def one_of(known: Sequence[Tensor], distance: float = 0.0) -> Callable[[Tensor], bool]:
        every = torch.cat(list(known))
        return lambda heard: bool(((every - heard).abs().amax((1, 2)) <= distance).any())

    is_clean, is_attacked = one_of(clean), one_of(attacked)
    return {
        "always": Mute(lambda _: True),
        "attacked": Mute(is_attacked),
        "noise": Mute(lambda heard: not (is_clean(heard) or is_attacked(heard))),
        "one track": Mute(one_of([clean[1]], 0.05)),
        "first segment": Mute(one_of([found[:1] for found in clean])),
    }


def attack_params(**changes: Any) -> AttackParams:
    return AttackSection(**{"eps": 0.01, **changes})


def evaluated(
    folder: Path,
    separator: Separator,
    reference: Separator | None = None,
    attack: AttackParams | None = None,
    data: Recordings | None = None,
    stored: Adversarials | None = None,
    shard: Shard = WHOLE,
    **changes: Any,
) -> Scored:
    """The figures of one system.

    Args:
        folder: for adversarials.
        separator: the system.
        reference: the oracle, if any.
        attack: its parameters.
        data: the recordings.
        stored: adversarials, if others than :func:`adversarials` makes.
        shard: which of the processes this is.
        **changes: to the section ``evaluate``.
    """
    attack, data = attack or attack_params(), data or recordings()
    params = EvaluateParams(**{"noise_draws": 2, "bsseval": "none", "batch": 5, **changes})
    evaluator = Evaluator(
        "toy-1",
        separator,
        reference,
        params,
        attack,
        CUT,
        WorkerParams(count=1),
        ProcessParams(),
        torch.device("cpu"),
    )
    stored = stored or adversarials(folder, data, attack, separator)
    return evaluator.evaluate(data, stored, shard)  # type: ignore[arg-type]


def drawn(seed: int, without: Sequence[str] = (), searched: bool = False, **changes: Any) -> Scored:
    """Figures of a model, drawn at random; with break points if it was searched for them."""
    draw = np.random.default_rng(seed)
    figures = tabulated() if searched else per_segment()
    keys = [figure.key for figure in figures if figure.key not in without]
    tracks = pd.DataFrame({key: draw.normal(5, 1, TRACKS) for key in keys})
    tracks.index = pd.Index([f"song {n}" for n in range(TRACKS)], name="track")
    bsseval = {
        "clean": {"sdr": 6.0 + seed},
        "clean_failures": 1,
        "attacked": {"sdr": 5.0 + seed},
        "attacked_failures": 0,
    }
    return replace(Scored(tracks, COUNTS, bsseval), **changes)
