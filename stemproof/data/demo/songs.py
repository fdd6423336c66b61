"""Write demo songs in the MUSDB18-HQ layout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml
from joblib import Parallel, delayed
from numpy.typing import NDArray

from stemproof.core.errors import InputError
from stemproof.core.files import is_there, sha256, write_text, written_aside
from stemproof.core.ownership import fresh_directory
from stemproof.core.progress import Progress
from stemproof.core.resume import Parts
from stemproof.data.codec import decode, example_stem, import_musdb
from stemproof.data.demo.band import Score, bass, chords, drums, stereo
from stemproof.data.demo.voice import VOWELS, Note, Singer, sing
from stemproof.data.entries import song_name
from stemproof.data.params import DemoParams
from stemproof.data.recordings.setup import REAL, RENDERED, SETUP, STEMS, read_setup

Signal = NDArray[np.float64]
MAJOR, MINOR = (0, 4, 7), (0, 3, 7)
# Progressions in scale steps (semitones above the key) with their chord quality.
PROGRESSIONS = (
    ((0, MAJOR), (7, MAJOR), (9, MINOR), (5, MAJOR)),
    ((9, MINOR), (5, MAJOR), (0, MAJOR), (7, MAJOR)),
    ((0, MAJOR), (5, MAJOR), (7, MAJOR), (5, MAJOR)),
    ((0, MINOR), (8, MAJOR), (3, MAJOR), (10, MAJOR)),
    ((2, MINOR), (7, MAJOR), (0, MAJOR), (9, MINOR)),
)
# SI-SDR of a mixture as the estimate of its vocals, in dB, as in MUSDB18.
MIXTURE_SI_SDR = (-7.5, -2.5)
PEAK = 0.9
RATE = 44_100  # Hz; that of the one real recording


def render_demo(
    demo: DemoParams,
    workers: int,
    destination: Path,
    parts: Parts | None = None,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write train/, test/ and mus.yaml (musdb's set-up, with the validation songs' names).

    The test split also holds the one real recording that stempeg ships; everything else is
    rendered from ``demo.seed``.

    Args:
        demo: how many songs, how long, and the seed.
        workers: processes.
        destination: songs rendered before are removed first.
        parts: keeps which songs are whole for a run that goes on; None for nothing to be kept.
        about: what the folder says of itself beside its files.

    Raises:
        InputError: ``destination`` holds anything else; nothing has been removed.
    """
    splits = (
        ("train", "Train", demo.train_songs),
        ("train", "Valid", demo.valid_songs),
        ("test", "Test", demo.test_songs),
    )
    named = [
        (subset, f"Demo - {kind} Song {number:02d}")
        for subset, kind, count in splits
        for number in range(1, count + 1)
    ]
    folders = [f"{subset}/{name}" for subset, name in named] + [f"test/{_real_song()}"]
    files = [f"{folder}/{stem}.wav" for folder in folders for stem in ("mixture", *STEMS)]
    done = {folder: _is_whole(destination, folder, parts) for folder in folders}
    whole = {file for file in files if done[str(Path(file).parent)]}
    fresh_directory(destination, [SETUP, *files], _rendered_before(destination), whole, about)
    # One seed sequence a song: no song depends on how many there are.
    seeds = [
        np.random.SeedSequence([demo.seed, split, number])
        for split, (_, _, count) in enumerate(splits)
        for number in range(count)
    ]
    missing = [
        (song, seed) for song, seed in zip(named, seeds, strict=True) if not done["/".join(song)]
    ]
    jobs = Parallel(n_jobs=workers, return_as="generator")(
        delayed(_write_song)(destination / subset / name, seed, demo.seconds, RATE)
        for (subset, name), seed in missing
    )
    for (subset, name), _ in zip(
        [song for song, _ in missing],
        Progress(jobs, total=len(missing), desc="render demo", unit="song"),
        strict=True,
    ):
        _remember(destination, f"{subset}/{name}", parts)
    _write_real_song(destination / "test", RATE)
    _write_setup(destination, [name for _, name in named if "Valid" in name])


def _song_hashes(destination: Path, folder: str) -> dict[str, str]:
    return {stem: sha256(destination / folder / f"{stem}.wav") for stem in ("mixture", *STEMS)}


def _remember(destination: Path, folder: str, parts: Parts | None) -> None:
    """Keep the hashes of a song that is whole."""
    if parts:
        parts.keep(folder, _song_hashes(destination, folder))


def _is_whole(destination: Path, folder: str, parts: Parts | None) -> bool:
    """Whether a run that was killed rendered a song, and it is still the same."""
    kept = parts.find(folder) if parts else None
    there = [is_there(destination / folder / f"{stem}.wav") for stem in ("mixture", *STEMS)]
    return kept is not None and all(there) and kept == _song_hashes(destination, folder)


def _rendered_before(folder: Path) -> list[str]:
    """Files of songs that were rendered by a version that left no marker, by their names."""
    try:
        setup = read_setup(folder / SETUP)
        rendered = setup is not None and setup.rendered
    except InputError:
        rendered = False
    song = re.compile(
        rf"(train/Demo - (Train|Valid)|test/Demo - Test) Song \d+|test/{re.escape(_real_song())}"
    )
    found = [file.relative_to(folder) for file in folder.glob("t*/*/*.wav")]
    names = [name.as_posix() for name in found if song.fullmatch(name.parent.as_posix())]
    return [SETUP, *names] if rendered else []


def _real_song() -> str:
    return song_name(example_stem())


def render_song(seed: np.random.SeedSequence, seconds: float, rate: int) -> dict[str, Signal]:
    """Render the four stems of one song, each frames x 2, full scale 1.

    Key, tempo, chords, arrangement and voice are drawn from ``seed``.
    """
    rng = np.random.default_rng(seed)
    key = int(rng.integers(48, 60))
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    harmony = [
        (key + step, key + step + quality[1], key + step + quality[2])
        for step, quality in progression
    ]
    score = Score(float(rng.uniform(76, 138)), harmony, seconds)
    voice = sing(_melody(score, rng), _singer(rng), seconds, rate, rng)
    dry = {
        "drums": drums(score, rate, rng) * rng.uniform(0.5, 0.9),
        "bass": bass(score, rate, rng) * rng.uniform(0.3, 0.6),
        "other": chords(score, rate, rng) * rng.uniform(0.25, 0.5),
        "vocals": voice,
    }
    pans = {"drums": 0.0, "bass": 0.0, "other": rng.uniform(-0.5, 0.5), "vocals": 0.0}
    stems = {name: stereo(dry[name], pans[name], rng, rate) for name in STEMS}
    _balance(stems, rng.uniform(*MIXTURE_SI_SDR))
    return stems


def _singer(rng: np.random.Generator) -> Singer:
    return Singer(
        tract=float(rng.uniform(0.95, 1.25)),
        vibrato_rate=float(rng.uniform(4.8, 6.4)),
        vibrato_depth=float(rng.uniform(0.2, 0.5)),
        breath=float(rng.uniform(0.01, 0.05)),
    )


def _melody(score: Score, rng: np.random.Generator) -> list[Note]:
    """Notes of the sounding chord, with steps between them and rests between phrases."""
    notes: list[Note] = []
    vowels = list(VOWELS)
    position = 0.0
    while position < score.seconds - 0.3:
        length = score.beat * rng.choice([0.5, 1.0, 1.0, 1.5, 2.0])
        chord = score.chord_at(int(position / score.beat))
        pitch = float(rng.choice(chord)) + 12 + rng.choice([-2, 0, 0, 0, 2])
        sung = min(length * 0.93, score.seconds - position)
        notes.append(Note(position, float(sung), pitch, vowels[rng.integers(len(vowels))]))
        position += float(length)
        if len(notes) % 7 == 0:
            position += score.beat / 2  # a breath
    return notes


def _balance(stems: dict[str, Signal], mixture_si_sdr: float) -> None:
    """Scale the vocals to the wanted SI-SDR of the mono mixture, then everything to the peak.

    With ``m = g v + a`` the SI-SDR of m against v is ``g'^2 |v|^2 / |a'|^2``, where the part of
    the accompaniment along v counts as vocals; one correction after a first guess suffices.
    """
    vocals = stems["vocals"].mean(axis=1)
    rest = sum(stems[name].mean(axis=1) for name in STEMS if name != "vocals")
    along = np.dot(rest, vocals) / np.dot(vocals, vocals)
    across = rest - along * vocals
    wanted = np.sqrt(10 ** (mixture_si_sdr / 10) * np.dot(across, across) / np.dot(vocals, vocals))
    stems["vocals"] *= wanted - along
    peak = np.abs(sum(stems.values())).max()
    for name in stems:
        stems[name] *= PEAK / peak


def _write_song(folder: Path, seed: np.random.SeedSequence, seconds: float, rate: int) -> None:
    stems = render_song(seed, seconds, rate)
    rounded = {name: np.round(stem * 32768).astype(np.int32) for name, stem in stems.items()}
    # Summed after rounding, so that the 16-bit stems add up to the mixture exactly.
    mixture = np.sum(list(rounded.values()), axis=0)
    _write_wavs(folder, {**rounded, "mixture": mixture}, rate)


def _write_real_song(folder: Path, rate: int) -> None:
    path = example_stem()
    signals = {
        name: np.round(decode(path, index) * 32768).astype(np.int32)
        for index, name in enumerate(("mixture", *STEMS))
    }
    _write_wavs(folder / _real_song(), signals, rate)


def _write_wavs(folder: Path, signals: dict[str, NDArray[np.int32]], rate: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, signal in signals.items():
        samples = np.clip(signal, -32768, 32767).astype(np.int16)
        with written_aside(folder / f"{name}.wav") as temporary:
            soundfile.write(str(temporary), samples, rate, subtype="PCM_16")


def _write_setup(destination: Path, validation: list[str]) -> None:
    musdb = import_musdb("pyav")
    setup = yaml.safe_load((Path(musdb.__path__[0]) / "configs" / "mus.yaml").read_text())
    setup["validation_tracks"] = validation
    setup[RENDERED] = True  # tells data.source = demo from recordings
    setup[REAL] = [_real_song()]
    write_text(destination / SETUP, yaml.safe_dump(setup, sort_keys=False))
