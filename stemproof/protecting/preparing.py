"""Before a song is protected: is it one, and can it be done against these systems?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from stemproof.attacks.gate import gate
from stemproof.core.errors import InputError
from stemproof.data.long import LongAudio
from stemproof.protecting.aims import Aim
from stemproof.protecting.parts import Tiles
from stemproof.separators.own import noise, tried

SHORTEST = 0.5  # seconds
MOST_CHANNELS = 2
LONGEST = 2**32 - 2**20  # bytes
RATES = (4000, 192_000)  # Hz
GATE_SECONDS = 2.0


def check_song(path: Path, song: LongAudio, gain: float) -> None:
    """Can this song be protected?

    Args:
        path: of the file.
        song: what it holds, after the gain.
        gain: dB by which it was made louder.

    Raises:
        InputError: it is silent, too short, has too many channels or an odd rate, or goes beyond
            full scale.
    """
    if song.channels > MOST_CHANNELS:
        raise InputError(
            f"{path}: {song.channels} channels, and songs of one or two can be protected; mix it "
            "down, or name the stereo version"
        )
    if not RATES[0] <= song.sample_rate <= RATES[1]:
        raise InputError(
            f"{path}: {song.sample_rate} Hz, and {RATES[0]} to {RATES[1]} Hz can be protected; "
            "resample it"
        )
    if song.seconds < SHORTEST:
        raise InputError(
            f"{path}: {song.seconds:.2f} s, in which there is nothing to separate; name a song of "
            f"{SHORTEST:g} s or more"
        )
    if song.samples * song.channels * 4 > LONGEST:
        raise InputError(
            f"{path}: {song.seconds / 3600:.1f} hours, and a wav file ends at 4 GB; cut it"
        )
    low = high = 0.0
    for block in song.blocks():
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    peak = max(-low, high)
    if peak == 0:
        raise InputError(f"{path}: silent from beginning to end; name a song")
    if peak > 1:
        needed = gain - np.ceil(200 * np.log10(peak)) / 10
        raise InputError(
            f"{path}: its samples go {20 * np.log10(peak):.2f} dB beyond full scale, which whole "
            f"numbers cannot hold; make it softer with --gain {needed:.1f}"
        )


def checked_aims(
    aims: Sequence[Aim], song: LongAudio, device: torch.device, seed: int
) -> tuple[list[Aim], dict[str, str]]:
    """Systems whose gradient can be used, and why that of the others cannot.

    Each is played two seconds from the loudest part of the song (:mod:`stemproof.attacks.gate`).

    Args:
        aims: systems for such songs.
        song: the song.
        device: where to compute.
        seed: of the gate's directions.
    """
    length = min(round(GATE_SECONDS * song.sample_rate), song.samples)
    tiles = Tiles(song.samples, length, 0)
    energies = [
        float(np.square(song.read(*tiles.span(n)), dtype=np.float64).sum())
        for n in range(len(tiles))
    ]
    start = min(tiles.span(int(np.argmax(energies)))[0], song.samples - length)
    heard = torch.from_numpy(song.read(start, start + length))[None].to(device)
    good, refused = list[Aim](), dict[str, str]()
    for aim in aims:
        tried(aim.separator, heard, heard)
        with torch.no_grad():
            vocals = aim.vocals(heard)
        if not vocals.any():
            refused[aim.name] = "it puts out nothing for the loudest part of the song"
            continue
        # At what it gives itself SI-SDR has a pole, and no slope to be checked.
        draw = noise(1, song.channels, length).to(device)
        level = (vocals.square().mean() / draw.square().mean()).sqrt()
        found = gate(aim.separator, heard, vocals + level * draw, seed)
        if found.passed:
            good.append(aim)
        else:
            refused[aim.name] = found.reason
    return good, refused
