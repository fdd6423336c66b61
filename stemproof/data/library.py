"""Find the tracks of a data set in the MUSDB18 layout, and refuse what is not one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import yaml

from stemproof.core.errors import InputError
from stemproof.data.codec import import_musdb, probe
from stemproof.data.params import DataParams

SOURCES = ("drums", "bass", "other", "vocals")
SPLITS = ("train", "valid", "test")
STEM_SUFFIX = ".stem.mp4"
RENDERED = "rendered"  # key in mus.yaml of a folder of rendered songs


@dataclass(frozen=True)
class LibraryTrack:
    """One track as musdb knows it, and the split it belongs to."""

    split: str
    name: str
    path: Path
    musdb_track: Any


def find_tracks(data: DataParams, minimum_samples: int) -> list[LibraryTrack]:
    """List the tracks of ``data.root`` in the official 80/14/50 split.

    A file ``mus.yaml`` in the root (musdb's own format) replaces musdb's list of validation
    tracks.

    Args:
        data: where the recordings are, and their format.
        minimum_samples: the shortest track that is allowed.

    Raises:
        InputError: the root, its layout or one of its files is unusable; the message names it.
    """
    root = data.root.expanduser()
    as_wav = data.source != "musdb18"
    _check_layout(root, as_wav, data.source)
    setup = read_setup(root / "mus.yaml")
    _check_kind(root, data.source, bool(setup.get(RENDERED)))
    # One truncated file makes musdb.DB itself raise without naming it: look first.
    for path in _audio_files(root, as_wav):
        _check_file(path, data.sample_rate, minimum_samples, 1 if as_wav else 5)
    musdb = import_musdb(data.decoder)
    tracks = []
    for split in SPLITS:
        database = musdb.DB(
            root=str(root),
            setup_file="mus.yaml" if setup else None,
            is_wav=as_wav,
            subsets=["test"] if split == "test" else ["train"],
            split=None if split == "test" else split,
        )
        tracks += [LibraryTrack(split, t.name, Path(t.path), t) for t in database.tracks]
        if not database.tracks:
            raise InputError(
                f"{root}: no track for the {split} split; validation tracks are those that musdb "
                "names, or a mus.yaml in this folder"
            )
    return tracks


def refuse_outputs(root: Path, outputs: Iterable[Path]) -> None:
    """Refuse a ``data.root`` that overlaps a folder which the pipeline writes, and may empty.

    Args:
        root: the folder of the recordings.
        outputs: folders that the pipeline writes; they may be absent.

    Raises:
        InputError: one of them is the root, holds it, or stands in it.
    """
    place = Path(os.path.realpath(root.expanduser()))
    for output in outputs:
        written = Path(os.path.realpath(output))
        if _holds(written, place) or _holds(place, written):
            raise InputError(
                f"data.root = {root} overlaps {output}, where this pipeline writes its own files; "
                "move the recordings to a folder of their own and name that one"
            )


def _holds(folder: Path, inner: Path) -> bool:
    """Whether a folder is another one or above it, also where case does not tell names apart."""
    return any(
        part == folder or (part.exists() and folder.exists() and part.samefile(folder))
        for part in (inner, *inner.parents)
    )


def _check_layout(root: Path, as_wav: bool, source: str) -> None:
    if not root.is_dir():
        raise InputError(f"data.root = {root}: no such folder")
    for subset in ("train", "test"):
        folder = root / subset
        if not folder.is_dir():
            raise InputError(f"data.root = {root}: it has no folder {subset}/")
        has_stems = any(folder.glob(f"*{STEM_SUFFIX}"))
        has_folders = any(entry.is_dir() for entry in folder.iterdir())
        if as_wav and not has_folders:
            hint = "; for .stem.mp4 files set data.source = musdb18" if has_stems else ""
            raise InputError(f"{folder}: data.source = {source} needs a folder a track{hint}")
        if not as_wav and not has_stems:
            hint = "; for wav folders set data.source = musdb18hq" if has_folders else ""
            raise InputError(f"{folder}: data.source = musdb18 needs {STEM_SUFFIX} files{hint}")


def read_setup(path: Path) -> dict[str, Any]:
    """musdb's set-up in the data folder, or nothing when there is none.

    Raises:
        InputError: the file is not one.
    """
    if not path.is_file():
        return {}
    try:
        setup = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    needed = ("mixture", "sources", "targets", "stem_ids", "validation_tracks")
    missing = [key for key in needed if not isinstance(setup, dict) or key not in setup]
    if missing:
        raise InputError(f"{path}: not a set-up of musdb; it lacks {', '.join(missing)}")
    return dict(setup)


def _check_kind(root: Path, source: str, rendered: bool) -> None:
    """Rendered songs must never be reported as MUSDB18, nor the other way round."""
    if rendered and source != "demo":
        raise InputError(
            f"data.root = {root} holds rendered demo songs, but data.source = {source}; "
            "set data.source = demo, or data.root to the recordings"
        )
    if source == "demo" and not rendered:
        raise InputError(
            f"data.root = {root} holds no rendered demo songs; "
            "set data.source to musdb18 or musdb18hq"
        )


def _audio_files(root: Path, as_wav: bool) -> list[Path]:
    if not as_wav:
        return sorted(root.glob(f"t*/*{STEM_SUFFIX}"))
    folders = sorted(entry for entry in root.glob("t*/*") if entry.is_dir())
    return [folder / f"{name}.wav" for folder in folders for name in ("mixture", *SOURCES)]


def _check_file(path: Path, sample_rate: int, minimum_samples: int, n_streams: int) -> None:
    if not path.is_file():
        raise InputError(f"{path}: missing; a track needs mixture, {', '.join(SOURCES)}")
    try:
        described = probe(path)["streams"]
    except (av.error.FFmpegError, OSError, TypeError) as error:
        raise InputError(f"{path}: not readable as audio, or truncated ({error})") from None
    streams = [stream for stream in described if stream["codec_type"] == "audio"]
    if len(streams) < n_streams:
        raise InputError(f"{path}: {n_streams} audio streams were expected, it has {len(streams)}")
    for stream in streams:
        if int(stream["sample_rate"]) != sample_rate:
            raise InputError(
                f"{path}: sample rate {stream['sample_rate']} Hz, "
                f"but data.sample_rate = {sample_rate}; resample the file"
            )
        if stream["channels"] != 2:
            raise InputError(f"{path}: stereo was expected, it has {stream['channels']} channel(s)")
        if stream["duration_ts"] < minimum_samples:
            raise InputError(
                f"{path}: {stream['duration_ts']} samples, shorter than one segment "
                f"({minimum_samples} samples; see segments.seconds)"
            )
