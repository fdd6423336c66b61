"""Decode every track once, check it, and store it as memory-mapped mono float32."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm import tqdm

from rsvm.data.codec import announced_samples
from rsvm.data.library import SOURCES, SPLITS, LibraryTrack, find_tracks
from rsvm.data.store import MANIFEST, loud_mask, segment_starts
from rsvm.errors import InputError
from rsvm.files import fresh_directory, sha256, write_array, write_json
from rsvm.params import Params

Record = dict[str, Any]


def prepare(params: Params, destination: Path) -> dict[str, Any]:
    """Decode ``params.data.root`` into ``destination`` and describe it.

    Each track becomes one ``.npy`` file, 2 x samples (mixture, vocals): stereo is averaged to
    mono, and the accompaniment is mixture minus vocals wherever it is needed. A manifest
    names the files with their SHA-256. One track per worker is in memory at a time.

    Returns:
        The content of ``metrics/data.json``: tracks, seconds, segments, silent segments and
        how far the stems add up, per split.

    Raises:
        InputError: a track cannot be used; the message names the file.
    """
    tracks = find_tracks(params.data, params.segment_samples)
    # Written beside the old data, which stays until the new is whole.
    work = fresh_directory(destination.with_name(f"{destination.name}.part"))
    # Threads: PyAV and NumPy leave Python's lock, and musdb's tracks need not be pickled.
    jobs = Parallel(n_jobs=params.runtime.workers, backend="threading", return_as="generator")(
        delayed(_prepare_track)(track, index, params, work) for index, track in enumerate(tracks)
    )
    records: Iterable[Record] = tqdm(jobs, total=len(tracks), desc="prepare", unit="track")
    records = list(records)
    write_json(
        work / MANIFEST,
        {
            "source": params.data.source,
            "sample_rate": params.data.sample_rate,
            "tracks": [
                {key: record[key] for key in ("split", "name", "file", "samples", "sha256")}
                for record in records
            ],
        },
    )
    summary = {split: _summarize(records, split, params.data.sample_rate) for split in SPLITS}
    for split, figures in summary.items():
        if figures["segments"] == figures["silent_segments"]:
            raise InputError(
                f"data.root = {params.data.root}: the vocals of every {split} segment are silent "
                "(see segments.loud_db)"
            )
    shutil.rmtree(destination, ignore_errors=True)
    work.rename(destination)
    return {"source": params.data.source, **summary}


def _prepare_track(track: LibraryTrack, index: int, params: Params, destination: Path) -> Record:
    mixture, sources = _decode(track)
    vocals = sources[SOURCES.index("vocals")]
    mono = np.stack([mixture.mean(axis=1), vocals.mean(axis=1)]).astype(np.float32)
    file = f"{track.split}-{index:04d}.npy"
    write_array(destination / file, mono)
    overlap = params.segments.train_overlap if track.split == "train" else 0.0
    length = params.segment_samples
    starts = segment_starts(mono.shape[1], length, overlap)
    segments = np.stack([mono[1, start : start + length] for start in starts])
    return {
        "split": track.split,
        "name": track.name,
        "file": file,
        "samples": mono.shape[1],
        "sha256": sha256(destination / file),
        "segments": len(starts),
        "silent_segments": int((~loud_mask(segments, params.segments.loud_db)).sum()),
        "stems_sum_snr_db": _snr_db(mixture, mixture - sum(sources)),
    }


def _decode(track: LibraryTrack) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Mixture and the four sources, each frames x 2.

    Raises:
        InputError: a stem is damaged, of another length, or holds NaN.
    """
    paths = [track.path] + [Path(track.musdb_track.sources[name].path) for name in SOURCES]
    signals: list[NDArray[np.float64]] = []
    for path, part in zip(
        paths,
        [track.musdb_track, *(track.musdb_track.sources[name] for name in SOURCES)],
        strict=True,
    ):
        try:
            audio = np.asarray(part.audio)
        except (av.error.FFmpegError, OSError, ValueError, Warning) as error:
            raise InputError(f"{path}: cannot be decoded ({error})") from None
        announced = announced_samples(path, part.stem_id)
        if len(audio) < announced:
            raise InputError(
                f"{path}: truncated; {len(audio)} of {announced} samples could be read"
            )
        if not np.isfinite(audio).all():
            raise InputError(f"{path}: holds samples that are not numbers (NaN or infinity)")
        if signals and len(audio) != len(signals[0]):
            raise InputError(
                f"{path}: {len(audio)} samples, but the mixture has {len(signals[0])}; "
                "all stems of a track must be of one length"
            )
        signals.append(audio)
    return signals[0], signals[1:]


def _snr_db(signal: NDArray[np.float64], error: NDArray[np.float64]) -> float | None:
    """Signal over error in dB; None when the error is exactly zero (or the signal is)."""
    signal_power, error_power = float(np.sum(signal**2)), float(np.sum(error**2))
    if signal_power == 0 or error_power == 0:
        return None
    return 10 * float(np.log10(signal_power / error_power))


def _summarize(records: Iterable[Record], split: str, sample_rate: int) -> dict[str, Any]:
    chosen = [record for record in records if record["split"] == split]
    snrs = [r["stems_sum_snr_db"] for r in chosen if r["stems_sum_snr_db"] is not None]
    summary: dict[str, Any] = {
        "tracks": len(chosen),
        "seconds": round(sum(record["samples"] for record in chosen) / sample_rate, 3),
        "segments": sum(record["segments"] for record in chosen),
        "silent_segments": sum(record["silent_segments"] for record in chosen),
        "tracks_with_exact_stems_sum": len(chosen) - len(snrs),
    }
    if snrs:
        summary["stems_sum_snr_db_median"] = round(float(np.median(snrs)), 3)
        summary["stems_sum_snr_db_min"] = round(min(snrs), 3)
    silent = [r["name"] for r in chosen if r["silent_segments"] == r["segments"]]
    if silent:
        summary["tracks_with_silent_vocals"] = ", ".join(silent)
    return summary
