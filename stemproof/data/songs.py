"""A folder of songs with stems, as somebody has it: found, checked, prepared as a test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemproof.core.errors import InputError, explaining
from stemproof.core.files import FloatArray, sha256, write_array
from stemproof.core.progress import Progress
from stemproof.data.audio import Audio, read_audio
from stemproof.data.checks import (
    audio_hash,
    check_channels,
    check_held,
    check_sum,
    power,
    sum_db,
)
from stemproof.data.entries import STEM_STREAMS, LeftOut, is_stem_file, song_name, visible
from stemproof.data.manifest import write_manifest
from stemproof.data.params import SegmentParams
from stemproof.data.problems import Problems
from stemproof.data.recordings.setup import STEMS
from stemproof.data.store import PreparedData, loud_mask
from stemproof.data.twice import Heard, low_end, same_recordings

MIXTURE, VOCALS = "mixture", "vocals"
SUFFIXES = (".wav", ".flac")
STREAMS = {MIXTURE: 0, VOCALS: 4}  # of a .stem.mp4 of MUSDB18
LAYOUT = "a song is a folder with mixture.wav and vocals.wav, or a .stem.mp4"


@dataclass(frozen=True)
class Song:
    """One song.

    Attributes:
        name: of its folder or file.
        mixture: the file of the mixture.
        vocals: the file of the vocals, which can be the same.
    """

    name: str
    mixture: Path
    vocals: Path

    def read(self, stem: str) -> Audio:
        """The ``mixture`` or the ``vocals``.

        Raises:
            InputError: the file is missing, or no audio.
        """
        file = self.mixture if stem == MIXTURE else self.vocals
        return read_audio(file, STREAMS[stem] if is_stem_file(file) else 0)


def find_songs(root: Path) -> list[Song]:
    """The songs of a folder; of one with a folder ``test`` those in there, as in MUSDB18.

    Raises:
        InputError: there is no such folder, or no song in it.
    """
    with explaining(root, "read"):
        if not root.is_dir():
            what = "no folder" if root.exists() else "no such folder"
            raise InputError(f"{root}: {what}; name one with songs: {LAYOUT}")
        folder = root / "test" if (root / "test").is_dir() else root
    songs, problems, left_out = list[Song](), Problems(), LeftOut()
    for place in visible(folder, left_out):
        with problems.noted():
            song = _song(place)
            if song is None:
                left_out.others.append(place.name)
            elif song.name in [other.name for other in songs]:
                raise InputError(f"{place}: a song of that name is there twice; leave one out")
            else:
                songs.append(song)
    left_out.tell(folder)
    problems.refuse()
    if not songs:
        raise InputError(f"{folder}: no song in it; {LAYOUT}")
    return songs


def _song(place: Path) -> Song | None:
    """The song that an entry of a folder is; None for what is none.

    Raises:
        InputError: it lacks one of its files.
    """
    if is_stem_file(place):
        return Song(song_name(place), place, place)
    files = {
        stem: [file for end in SUFFIXES if (file := place / f"{stem}{end}").is_file()]
        for stem in (MIXTURE, VOCALS)
    }
    for found in files.values():
        if len(found) > 1:
            names = " and ".join(file.name for file in found)
            raise InputError(f"{place}: {names}, of which one is meant; leave the other out")
    if files[MIXTURE] and files[VOCALS]:
        return Song(place.name, files[MIXTURE][0], files[VOCALS][0])
    if files[MIXTURE] or files[VOCALS]:
        missing = VOCALS if files[MIXTURE] else MIXTURE
        raise InputError(f"{place}: no {missing}.wav; {LAYOUT}")
    return None


def prepare_songs(
    songs: Sequence[Song], destination: Path, cut: SegmentParams, excerpt: float | None = None
) -> PreparedData:
    """Store songs as the test split of prepared data.

    Args:
        songs: what :func:`find_songs` gave.
        destination: a folder of one's own.
        cut: segments that figures are computed on.
        excerpt: seconds of every song that are kept, where its vocals are loudest; None for all.

    Raises:
        InputError: a song cannot be used; the message names the file.
    """
    entries, problems = list[dict[str, object]](), Problems()
    first: tuple[Song, Audio] | None = None
    seen, heard = dict[str, Path](), list[Heard]()
    for number, song in enumerate(Progress(songs, desc="read", unit="song")):
        with problems.noted():
            mixture, vocals = song.read(MIXTURE), song.read(VOCALS)
            _check_stems(song, mixture, vocals)
            audio_sha256 = audio_hash(mixture.samples)
            same = seen.setdefault(audio_sha256, song.mixture)
            if same != song.mixture:
                raise InputError(
                    f"{same} and {song.mixture} are the same recording, sample for sample; a song "
                    "counts once: leave one of them out"
                )
            low = low_end(mixture.samples, mixture.sample_rate)
            heard.append(Heard(song.mixture, mixture.samples.shape[1], low, audio_sha256))
            first = first or (song, mixture)
            _check_alike(song, mixture, *first)
            audio = _cut(song, mixture, vocals, cut, excerpt)
            if problems.found:
                continue
            file = f"test-{number:04d}.npy"
            write_array(destination / file, audio)
            about = {"split": "test", "name": song.name, "file": file, "samples": audio.shape[-1]}
            entries.append({**about, "rendered": False, "sha256": sha256(destination / file)})
    if first is not None:
        for message in same_recordings(heard, first[1].sample_rate):
            problems.add(message)
    problems.refuse()
    assert first is not None
    about = {"source": "songs", "sample_rate": first[1].sample_rate, "channels": first[1].channels}
    write_manifest(destination, {**about, "tracks": entries})
    return PreparedData(destination)


def _check_alike(song: Song, mixture: Audio, first: Song, its: Audio) -> None:
    if (mixture.sample_rate, mixture.channels) != (its.sample_rate, its.channels):
        raise InputError(
            f"{song.mixture}: {_words(mixture)}, but {first.mixture} has {_words(its)}; "
            "all songs of a folder must be alike: convert it, or leave it out"
        )


def _cut(
    song: Song, mixture: Audio, vocals: Audio, cut: SegmentParams, excerpt: float | None
) -> FloatArray:
    """Mixture and vocals, or the loudest excerpt of them: 2 x channels x samples."""
    audio = np.stack([mixture.samples, vocals.samples])
    length = cut.samples(mixture.sample_rate)
    if audio.shape[-1] < length:
        raise InputError(
            f"{song.mixture}: shorter than the {cut.seconds:g} s that figures are computed on; "
            "leave the song out"
        )
    if excerpt is not None:
        wanted = max(round(excerpt * mixture.sample_rate), length)
        start = loudest(vocals.samples, wanted)
        audio = audio[..., start : start + wanted]
    _check_sound(song, audio, length, cut.loud_db)
    return audio


def loudest(vocals: FloatArray, samples: int) -> int:
    """Where the part with the most energy begins.

    Args:
        vocals: channels x samples.
        samples: of the part.
    """
    energy = np.square(vocals, dtype=np.float64).sum(axis=0)
    total = np.concatenate([[0.0], np.cumsum(energy)])
    if len(energy) <= samples:
        return 0
    return int(np.argmax(total[samples:] - total[:-samples]))


def check_vocals(path: Path, vocals: Audio, of: Path, mixture: Audio) -> None:
    """Are these the vocals of that mixture, as far as their shapes tell?

    Args:
        path: file of the vocals.
        vocals: what it holds.
        of: file of the mixture.
        mixture: what it holds.

    Raises:
        InputError: rate, channels or length differ.
    """
    if vocals.sample_rate != mixture.sample_rate or vocals.channels != mixture.channels:
        raise InputError(
            f"{path}: {_words(vocals)}, but {of} has {_words(mixture)}; the vocals must be as they "
            "are in the mixture: convert them"
        )
    if vocals.samples.shape != mixture.samples.shape:
        raise InputError(
            f"{path}: {vocals.samples.shape[1]} samples, but {of} has "
            f"{mixture.samples.shape[1]}; the vocals must be as long as the mixture"
        )


def _check_stems(song: Song, mixture: Audio, vocals: Audio) -> None:
    check_vocals(song.vocals, vocals, song.mixture, mixture)
    if not mixture.samples.any():
        raise InputError(f"{song.mixture}: silent from beginning to end; leave the song out")
    check_channels(song.mixture, MIXTURE, mixture.samples)
    check_channels(song.vocals, VOCALS, vocals.samples)
    stems = _stems(song)
    if stems:
        rest = mixture.samples.astype(np.float64)
        for file, stream in stems:
            stem = read_audio(file, stream)
            check_vocals(file, stem, song.mixture, mixture)
            rest -= stem.samples
        check_sum(song.mixture, song.name, sum_db(power(mixture.samples), power(rest)))
    check_held(song.vocals, song.mixture, [(mixture.samples, vocals.samples)])


def _stems(song: Song) -> list[tuple[Path, int]]:
    """File and stream of every stem; none where not all of them are there to add up."""
    if is_stem_file(song.mixture):
        return [(song.mixture, stream) for stream in range(1, STEM_STREAMS)]
    folder = song.mixture.parent
    found = [
        (file, 0)
        for stem in STEMS
        for file in [folder / f"{stem}{end}" for end in SUFFIXES]
        if file.is_file()
    ]
    return found if len({file.stem for file, _ in found}) == len(found) == len(STEMS) else []


def _check_sound(song: Song, audio: FloatArray, length: int, loud_db: float) -> None:
    """Does a segment count, so that there are figures of the song?"""
    mono = audio[1].mean(axis=0)
    whole = mono[: len(mono) // length * length].reshape(-1, length)
    if not loud_mask(whole, loud_db).any():
        raise InputError(
            f"{song.vocals}: silent, or nearly so, in every second; there are no figures of a song "
            "without vocals: leave it out"
        )


def _words(audio: Audio) -> str:
    return f"{audio.sample_rate} Hz and {audio.channels} channel(s)"
