"""What a protection does to separators, beside noise of the same size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stemproof.core.random import derive_seed
from stemproof.data.long import LongAudio
from stemproof.protecting.aims import Aim
from stemproof.protecting.parts import Tiles
from stemproof.protecting.stored import Readable
from stemproof.protecting.sums import Sums
from stemproof.protecting.transforms import TRANSFORMS

WAYS = ("protected", "noise")
# Verdicts, by how far below the vocals what is wrong with them lies (dB), and by how much more
# that is than under noise.
STRONG, PARTIAL, WEAK = 5.0, 15.0, 30.0
AIMED, WELL_AIMED = 1.0, 3.0


@dataclass(frozen=True)
class Played:
    """A song in all its ways.

    Attributes:
        song: as it was.
        protected: as it is stored.
        noisy: with noise of the same size.
        stem: true vocals; None where nobody has them.
        tiles: parts.
        device: where to compute.
        seed: of what is drawn.
    """

    song: LongAudio
    protected: Readable
    noisy: Readable
    stem: LongAudio | None
    tiles: Tiles
    device: torch.device
    seed: int

    def part(self, source: Readable, number: int) -> Tensor:
        """A tile with its surroundings, 1 x channels x samples."""
        return torch.from_numpy(source.read(*self.tiles.span(number)))[None].to(self.device)


@torch.no_grad()
def effect(
    aim: Aim,
    played: Played,
    change: str = "none",
    tiles: Sequence[int] | None = None,
    tell: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """What becomes of the vocals that one system separates.

    Every figure is of the same change to the clean song, to the protected one and to the one with
    noise: what a change costs by itself is no merit of the protection.

    Args:
        aim: the system.
        played: the song in all its ways.
        change: what happens to it before.
        tiles: which are measured; all of them when None.
        tell: called after every pass.

    Returns:
        ``output`` (SI-SDR in dB against the vocals that the clean song gives) and ``leak`` (how
        loud the rest is heard in the vocals, dB) of ``protected`` and ``noise``; with true vocals
        ``true`` (SI-SDR against them), of ``clean``, too; ``verdict``. None where there is silence.
    """
    transform, rate = TRANSFORMS[change], played.song.sample_rate
    output = {way: Sums() for way in WAYS}
    true = {way: Sums() for way in ("clean", *WAYS)}
    sources = {"clean": played.song, "protected": played.protected, "noise": played.noisy}
    for number in range(len(played.tiles)) if tiles is None else tiles:
        seed = derive_seed(played.seed, "measured", change, number)
        heard = {
            way: transform.song(played.part(source, number), rate, seed)
            for way, source in sources.items()
        }
        inner = played.tiles.inner
        vocals = {}
        for way, song in heard.items():
            vocals[way] = inner(aim.vocals(song, seed))
            tell()
        song = inner(heard["clean"])
        for way in WAYS:
            output[way].add(vocals["clean"], song - vocals["clean"], vocals[way])
        if played.stem is not None:
            stem = inner(transform.stem(played.part(played.stem, number), rate, seed))
            for way in true:
                true[way].add(stem, song - stem, vocals[way])
    found: dict[str, Any] = {
        "output": {way: sums.si_sdr for way, sums in output.items()},
        "leak": {way: sums.leak for way, sums in output.items()},
    }
    if played.stem is not None:
        found["true"] = {way: sums.si_sdr for way, sums in true.items()}
    silenced = output["protected"].ee <= 1e-6 * output["protected"].ss
    return {**found, "verdict": verdict(found["output"], silenced)}


def verdict(output: dict[str, float | None], silenced: bool = False) -> str:
    """What a figure means: ``strong``, ``partial``, ``weak`` or ``nil``.

    Args:
        output: SI-SDR against the vocals of the clean song, ``protected`` and under ``noise``.
        silenced: whether the protected song gives no vocals any more.
    """
    own, noise = output["protected"], output["noise"]
    if silenced:
        return "strong"
    more = math.inf if noise is None or own is None else noise - own
    if own is None or more < AIMED or own >= WEAK:
        return "nil"
    if more < WELL_AIMED:
        return "weak"
    return "strong" if own < STRONG else "partial" if own < PARTIAL else "weak"


ORDER = ("nil", "weak", "partial", "strong")


def undone(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a change takes a protection away: it is weaker by a verdict or two, or nil."""
    first, second = ORDER.index(before["verdict"]), ORDER.index(after["verdict"])
    return first > 0 and (second == 0 or first - second >= 2)
