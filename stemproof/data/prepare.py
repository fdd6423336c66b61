"""Decode every track once, check it, and store it as memory-mapped float32."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from tqdm import tqdm

from stemproof.core.errors import InputError
from stemproof.core.files import (
    FloatArray,
    read_json,
    sha256,
    write_array,
    write_json,
)
from stemproof.core.ownership import (
    fresh_directory,
    link_file,
    refuse_strangers,
)
from stemproof.core.resume import code_fingerprint, finished
from stemproof.data.kept import Kept, record_of
from stemproof.data.overlap import refuse_outputs
from stemproof.data.params import DataParams, SegmentParams
from stemproof.data.recordings.protocol import SPLITS, Recording
from stemproof.data.recordings.registry import find_source
from stemproof.data.store import ENTRY, MANIFEST, MIXTURE, VOCALS, loud_mask, segment_starts

Record = dict[str, Any]
NAMED = 20  # files that one error names


def prepare(
    data: DataParams,
    cut: SegmentParams,
    workers: int,
    destination: Path,
    outputs: Sequence[Path] = (),
) -> dict[str, Any]:
    """Decode ``data.root`` into ``destination`` and describe it.

    Each track becomes one ``.npy`` file, 2 x channels x samples (mixture and vocals): the channels
    are averaged where a system hears mono, and the accompaniment is mixture minus vocals wherever
    it is needed. A manifest names the files with their SHA-256. One track per worker is in memory
    at a time.

    Args:
        data: the section ``data``.
        cut: the section ``segments``.
        workers: threads that decode.
        destination: where the arrays go; what was prepared there before is replaced.
        outputs: further folders that the pipeline writes: no recordings are read from there.

    Returns:
        The content of ``metrics/data.json``: tracks, seconds, segments, silent segments and
        how far the stems add up, per split.

    Raises:
        InputError: a track cannot be used, or ``destination`` holds files of anyone else; the
            message names the file.
    """
    source = find_source(data.source)
    root, length = data.root.expanduser(), cut.samples(data.sample_rate)
    work = destination.with_name(f"{destination.name}.part")
    refuse_outputs(data.root, (destination, work, *outputs))
    prepared_before = _prepared_before(destination)
    refuse_strangers(destination, prepared_before)
    tracks = source.find(root, data.decoder, data.sample_rate, length)
    _check_found(tracks, data)
    files = [_file_of(track, index) for index, track in enumerate(tracks)]
    # Written beside the old data, which stays until the new is whole; tracks that a run which was
    # killed left there are gone on with.
    known = [*files, *map(record_of, files), MANIFEST]
    fresh_directory(work, known, _prepared_before(work), known)
    kept = Kept(work, code_fingerprint(), data, cut)
    # Threads: PyAV and NumPy leave Python's lock, and musdb's tracks need not be pickled.
    jobs = Parallel(n_jobs=workers, backend="threading", return_as="generator")(
        delayed(kept.of)(track, file, partial(_prepare_track, track, index, data, cut, work))
        for index, (track, file) in enumerate(zip(tracks, files, strict=True))
    )
    records: Iterable[Record] = tqdm(jobs, total=len(tracks), desc="prepare", unit="track")
    records = list(records)
    _refuse_silent_mixtures(records)
    write_json(
        work / MANIFEST,
        {
            "source": data.source,
            "sample_rate": data.sample_rate,
            "channels": _one_number_of_channels(records),
            "tracks": [{key: record[key] for key in ENTRY} for record in records],
        },
    )
    summary = {split: _summarize(records, split, data.sample_rate) for split in SPLITS}
    for split, figures in summary.items():
        if figures["segments"] == figures["silent_segments"]:
            raise InputError(
                f"data.root = {data.root}: the vocals of every {split} segment are silent "
                "(see segments.loud_db)"
            )
    fresh_directory(destination, [*files, MANIFEST], prepared_before)
    for name in (*files, MANIFEST):
        link_file(work / name, destination / name)
    finished(work)
    about = {"source": data.source, "source_words": source.words}
    return {**about, "channels": _one_number_of_channels(records), **summary}


def _prepared_before(folder: Path) -> list[str]:
    """Files that the manifest in a folder names: a version that left no marker left this."""
    try:
        return [MANIFEST, *(str(entry["file"]) for entry in read_json(folder / MANIFEST)["tracks"])]
    except (InputError, KeyError, TypeError):
        return []


def _check_found(tracks: Sequence[Recording], data: DataParams) -> None:
    """Every split has recordings, and each of them vocals and a name of its own."""
    assert all("vocals" in track.stems for track in tracks)
    for split in SPLITS:
        names = [track.name for track in tracks if track.split == split]
        found = f"data.root = {data.root}: data.source = {data.source} finds"
        if not names:
            raise InputError(f"{found} no recording for the {split} split; add one")
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{found} {name} twice in the {split} split; rename one of them")


def _file_of(track: Recording, index: int) -> str:
    return f"{track.split}-{index:04d}.npy"


def _refuse_silent_mixtures(records: Iterable[Record]) -> None:
    silent = [str(record["path"]) for record in records if record["silent"]]
    if silent:
        more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
        raise InputError(
            f"{', '.join(silent[:NAMED])}{more}: the mixture, as mono, is silent from beginning to "
            "end; replace the recording or leave the track out"
        )


def _one_number_of_channels(records: Sequence[Record]) -> int:
    """The number of channels of all tracks: systems are fitted to it."""
    first = records[0]
    for record in records:
        if record["channels"] != first["channels"]:
            raise InputError(
                f"{record['path']}: {record['channels']} channel(s), but {first['path']} has "
                f"{first['channels']}; all recordings must have as many"
            )
    return int(first["channels"])


def _prepare_track(
    track: Recording, index: int, data: DataParams, cut: SegmentParams, destination: Path
) -> Record:
    audio, stems_sum_snr_db = _decode(track)
    file = _file_of(track, index)
    write_array(destination / file, audio)
    mono = audio.mean(axis=1)
    overlap = cut.train_overlap if track.split == "train" else 0.0
    length = cut.samples(data.sample_rate)
    starts = segment_starts(mono.shape[1], length, overlap)
    # One at a time: overlapping segments together are many times the track.
    loud = [
        bool(loud_mask(mono[VOCALS:, start : start + length], cut.loud_db)[0]) for start in starts
    ]
    return {
        "split": track.split,
        "name": track.name,
        "path": track.path_of("mixture"),
        "silent": not mono[MIXTURE].any(),
        "channels": audio.shape[1],
        "rendered": bool(getattr(track, "rendered", False)),
        "file": file,
        "samples": mono.shape[1],
        "sha256": sha256(destination / file),
        "segments": len(starts),
        "silent_segments": loud.count(False),
        "stems_sum_snr_db": stems_sum_snr_db,
    }


def _decode(track: Recording) -> tuple[FloatArray, float | None]:
    """Decode the mixture, then one stem after the other.

    Returns:
        Mixture and vocals (2 x channels x samples), and the SNR of the mixture to what the stems
        leave of it, in dB; None when they leave nothing of a mixture that is not silent.

    Raises:
        InputError: a stem is damaged, of another length, or holds NaN.
    """
    mixture = _read(track, "mixture")
    kept = np.empty((2, mixture.shape[1], len(mixture)), dtype=np.float32)
    kept[MIXTURE] = mixture.T
    rest = mixture.astype(np.float64)
    signal_power = _power(rest)
    del mixture
    for name in track.stems:
        audio = _read(track, name)
        if len(audio) != len(rest):
            raise InputError(
                f"{track.path_of(name)}: {len(audio)} samples, but the mixture has {len(rest)}; "
                "all stems of a track must be of one length"
            )
        if audio.shape != rest.shape:
            raise InputError(
                f"{track.path_of(name)}: {audio.shape[1]} channel(s), but the mixture has "
                f"{rest.shape[1]}; all stems of a track must have as many"
            )
        if name == "vocals":
            kept[VOCALS] = audio.T
        rest -= audio
    error_power = _power(rest)
    if signal_power == 0:
        return kept, -math.inf
    if error_power == 0:
        return kept, None
    return kept, 10 * float(np.log10(signal_power / error_power))


def _read(track: Recording, stem: str) -> FloatArray:
    """One stem, frames x channels."""
    audio = track.read(stem)
    if not np.isfinite(audio).all():
        raise InputError(
            f"{track.path_of(stem)}: holds samples that are not numbers (NaN or infinity); "
            "replace the recording or leave the track out"
        )
    return audio


def _power(signal: NDArray[np.float64]) -> float:
    return float(np.vdot(signal, signal))


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
