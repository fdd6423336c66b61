"""Songs of prepared data, laid out to be protected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemproof.core.errors import InputError
from stemproof.data.long import LongAudio
from stemproof.data.store import MIXTURE, VOCALS, PreparedData, PreparedTrack
from stemproof.protecting.preparing import SHORTEST
from stemproof.protecting.section import ProtectSection
from stemproof.protecting.stored import write_raw


@dataclass(frozen=True)
class Song:
    """A song with its true vocals.

    Attributes:
        name: of the song.
        mixture: all of it, after the gain.
        vocals: the true ones, after the gain.
    """

    name: str
    mixture: LongAudio
    vocals: LongAudio


def chosen(data: PreparedData, split: str, count: int, rendered: bool) -> list[PreparedTrack]:
    """Tracks of a split, spread evenly over it: the middles of as many equal parts.

    Systems know music from recordings of it: rendered songs are left out where there are others.
    Songs without a loud sample of vocals, or of less than half a second, are none to be protected.

    Args:
        data: the recordings.
        split: ``test`` or ``train``.
        count: how many; all where there are no more.
        rendered: whether rendered songs are taken in any case.

    Raises:
        InputError: there is none.
    """
    tracks = [track for track in data.tracks(split) if _can_be(track, data.sample_rate)]
    real = [track for track in tracks if not track.rendered]
    tracks = tracks if rendered or not real else real
    if not tracks:
        raise InputError(f"{data.folder}: no song with vocals in the {split} split; prepare others")
    count = min(count, len(tracks))
    return [tracks[int((n + 0.5) * len(tracks) / count)] for n in range(count)]


def _can_be(track: PreparedTrack, rate: int) -> bool:
    return track.samples >= SHORTEST * rate and bool(track.vocals.any())


def laid_out(track: PreparedTrack, data: PreparedData, work: Path, params: ProtectSection) -> Song:
    """Write a song to where it can be read in parts.

    Args:
        track: of prepared data.
        data: the recordings.
        work: a folder of its own.
        params: whose gain is applied.

    Raises:
        InputError: it goes beyond full scale, which whole numbers cannot hold.
    """
    gain = np.float32(10 ** (params.gain / 20))
    stems = [track.read(stem, 0, track.samples) * gain for stem in (MIXTURE, VOCALS)]
    peak = float(np.abs(stems[0]).max())
    if peak > 1:
        needed = params.gain - float(np.ceil(200 * np.log10(peak))) / 10
        raise InputError(
            f"{track.name}: its samples go {20 * np.log10(peak):.2f} dB beyond full scale, which "
            f"whole numbers cannot hold; set protect.gain to {needed:.1f}"
        )
    work.mkdir(parents=True, exist_ok=True)
    mixture, vocals = (
        write_raw([signal], work / f"{name}.f32", data.sample_rate, data.channels)
        for name, signal in zip(("song", "vocals"), stems, strict=True)
    )
    return Song(track.name, mixture, vocals)
