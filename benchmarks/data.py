"""Is preparing faster than musdb? All stems of every track; previews where MUSDB_PATH is set."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness import Row, Sizes, race
from project import Params, new_project, prepared_demo, quiet
from stemproof.data.codec import Decoder, import_musdb
from stemproof.data.prepare import prepare

SONGS = {"train_songs": 8, "valid_songs": 1, "test_songs": 4}
VALIDATION = ["Actions - One Minute Smile", "Skelpolu - Human Mistakes"]
SUFFIX = ".stem.mp4"


def rows(sizes: Sizes) -> list[Row]:
    """Prepare against musdb, track by track."""
    previews = sizes.of(os.environ.get("MUSDB_PATH"), None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root, prepared = folder / "songs", folder / "prepared"
        data = {"root": str(root)} | ({"source": "musdb18"} if previews else {})
        params = new_project(folder, sizes, {"data": data, "demo": sizes.of(SONGS, {})})
        if previews:
            choose_songs(Path(previews), root)
        else:
            prepared_demo(params, prepared)
        decoder: Decoder = "ffmpeg" if shutil.which("ffmpeg") else "pyav"
        theirs = by_musdb(root, decoder, is_wav=not previews, destination=folder / "x.npy")
        sides = {"ours": lambda: by_prepare(params, prepared), "theirs": theirs}
        times = race(sides, sizes.of(3, 1))
        count = len(list(prepared.glob("*.npy")))
    detail = (
        f"{times.median('ours') / count * 1e3:.0f} ms a track; "
        f"{'previews' if previews else 'demo songs (.wav)'}, all stems; musdb by {decoder}, one by "
        f"one; ours with {params.workers.count} workers, which also check and hash every file"
    )
    return [times.row("prepare: times musdb", "theirs", "ours", 1.0, detail)]


def by_prepare(params: Params, destination: Path) -> None:
    """As the stage does it."""
    # What is known of a file is remembered until it changes; every run shall open every file.
    for file in params.data.root.rglob("*"):
        os.utime(file)
    with quiet():
        prepare(params.data, params.segments, params.workers.count, destination)


def by_musdb(
    root: Path, decoder: Decoder, *, is_wav: bool, destination: Path
) -> Callable[[], None]:
    """The plain loop over musdb's tracks: decode, add up, store."""

    def loop() -> None:
        # Each time: preparing sets musdb to its own decoder.
        musdb = import_musdb(decoder)
        for subset in ("train", "test"):
            for track in musdb.DB(root=str(root), subsets=subset, is_wav=is_wav):
                mixture = track.audio
                sources = {name: source.audio for name, source in track.sources.items()}
                np.sum((mixture - sum(sources.values())) ** 2)
                both = np.stack([mixture.T, sources["vocals"].T])
                np.save(destination, both.astype(np.float32))

    return loop


def choose_songs(source: Path, destination: Path) -> None:
    """Copy some of the previews, two of them in the official validation split."""
    for subset in ("train", "test"):
        (destination / subset).mkdir(parents=True)
        songs = sorted((source / subset).glob(f"*{SUFFIX}"))
        chosen = [song for song in songs if song.name.removesuffix(SUFFIX) in VALIDATION]
        for song in {*chosen, *songs[:6]}:
            shutil.copyfile(song, destination / subset / song.name)
