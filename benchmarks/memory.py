"""How much memory do long recordings and long trainings take? Peaks of the stages' processes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import soundfile
import yaml

from harness import Row, Sizes
from project import PREPARED, new_project, run_stage
from stemproof.core.files import sha256
from stemproof.data.codec import import_musdb
from stemproof.data.manifest import write_manifest

RATE = 44_100
CHANNELS = 2
STEMS = ("drums", "bass", "other", "vocals")


def rows(sizes: Sizes) -> list[Row]:
    """A track of ten minutes, and a training on ten hours."""
    return [long_track(sizes), long_training(sizes)]


def long_track(sizes: Sizes) -> Row:
    """Peak memory of every stage on stereo tracks of ten minutes, with the default model."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        changes = {
            "data": {"source": "musdb18hq", "root": "songs"},
            "rsvm": {"training": {"epochs": 1}},
            "attack": {"pgd": {"steps": 1}},
            "workers": {"count": 1},
        }
        new_project(folder, sizes, changes)
        write_songs(folder / "songs", sizes.of(600, 2), sizes.of(4, 1))
        peaks = {"prepare": run_stage(folder, "prepare")[1]}
        for system in sizes.of(["baseline", "improved"], ["improved"]):
            peaks[f"train {system}"] = run_stage(folder, "train", system)[1]
        for stage in ("generate", "find_break_points", "evaluate"):
            # Of the larger model.
            peaks[stage] = run_stage(folder, stage, "improved")[1]
    largest = max(peaks.values())
    detail = ", ".join(f"{stage} {peak:.0f}" for stage, peak in peaks.items()) + " MiB; one worker"
    return Row("ten-minute track: 2 GB over peak memory", 1907 / largest, 1.0, detail)


def write_songs(root: Path, long: int, short: int) -> None:
    """Stereo noise in the MUSDB18-HQ layout: a long track in training and test, a short one."""
    draw = np.random.default_rng(0)
    for track, seconds in {"train/long": long, "train/short": short, "test/other": long}.items():
        path = root / track
        path.mkdir(parents=True)
        stems = {
            stem: draw.integers(-3000, 3000, size=(seconds * RATE, 2), dtype=np.int16)
            for stem in STEMS
        }
        stems["mixture"] = sum(list(stems.values())[1:], stems["drums"])
        for stem, audio in stems.items():
            soundfile.write(path / f"{stem}.wav", audio, RATE, subtype="PCM_16")
    setup = Path(import_musdb("pyav").__path__[0]) / "configs/mus.yaml"
    configuration = yaml.safe_load(setup.read_text()) | {"validation_tracks": ["short"]}
    (root / "mus.yaml").write_text(yaml.safe_dump(configuration))


def long_training(sizes: Sizes) -> Row:
    """Peak memory of an epoch over ten hours of prepared music; a small model goes through it."""
    small = {"channels": 16, "kernel": 256, "hop": 128}
    training = {"epochs": 1, "batch_size": sizes.of(64, 4)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new_project(folder, sizes, {"rsvm": {"sizes": small, "training": training}})
        write_prepared(folder / PREPARED, sizes.of(60, 2), sizes.of(600, 2), sizes.of(60, 1))
        seconds, peak = run_stage(folder, "train", "baseline")
    detail = f"{peak:.0f} MiB; {seconds:.0f} s for 72,000 segments of two signals, small model"
    return Row("training on ten hours: 3 GB over peak memory", 2861 / peak, 1.0, detail)


def write_prepared(folder: Path, count: int, seconds: int, sounding: int) -> None:
    """Prepared training tracks of noise, and one for validation.

    Each sounds at its beginning only; the rest of its file is a hole, which takes room in memory
    when it is read, but not on the disk.

    Args:
        folder: where to.
        count: training tracks.
        seconds: length of each.
        sounding: seconds that are no hole.
    """
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    music = 0.1 * draw.standard_normal((2, CHANNELS, sounding * RATE), dtype=np.float32)
    samples = seconds * RATE
    tracks = []
    digest = ""
    for number in range(count + 1):
        file = folder / f"{number}.npy"
        whole = np.lib.format.open_memmap(file, "w+", np.float32, (2, CHANNELS, samples))
        whole[..., : music.shape[-1]] = music
        whole.flush()
        digest = digest or sha256(file)  # all are the same
        split = "valid" if number == count else "train"
        entry = {"split": split, "name": str(number), "file": file.name}
        tracks.append(entry | {"samples": samples, "rendered": False, "sha256": digest})
    manifest = {"source": "demo", "sample_rate": RATE, "channels": CHANNELS}
    write_manifest(folder, {**manifest, "tracks": tracks})
