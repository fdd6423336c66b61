"""Decode every track once, check it, and store it as memory-mapped float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from stemproof.core.errors import InputError
from stemproof.core.files import (
    FloatArray,
    read_json,
    sha256,
    write_array,
)
from stemproof.core.ownership import (
    fresh_directory,
    link_file,
    refuse_strangers,
)
from stemproof.core.progress import Progress
from stemproof.core.resume import code_fingerprint, finished
from stemproof.core.room import announce
from stemproof.data.beside import Record, sound
from stemproof.data.checks import (
    BLOCK,
    audio_hash,
    check_channels,
    check_held,
    check_samples,
    check_sum,
    power,
    sum_db,
)
from stemproof.data.codec import announced_values
from stemproof.data.kept import Kept, go_on_in, record_of
from stemproof.data.manifest import MANIFEST, MANIFEST_SHA256, Entry, write_manifest
from stemproof.data.overlap import refuse_link, refuse_outputs
from stemproof.data.params import DataParams, SegmentParams
from stemproof.data.problems import Problems
from stemproof.data.recordings.protocol import SPLITS, Recording
from stemproof.data.recordings.registry import find_source
from stemproof.data.store import MIXTURE, VOCALS, loud_mask, segment_starts
from stemproof.data.twice import low_end


def prepare(
    data: DataParams,
    cut: SegmentParams,
    workers: int,
    destination: Path,
    outputs: Sequence[Path] = (),
    said: Mapping[str, Any] | None = None,
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
        said: what the folder says of itself beside its files.

    Returns:
        The content of ``metrics/data.json``: the hash that figures name the recordings by; tracks,
        seconds, segments, silent segments and how far the stems add up, per split.

    Raises:
        InputError: tracks cannot be used, and the message names their files; or ``destination``
            is a link, or holds files of anyone else.
    """
    source = find_source(data.source)
    length = cut.samples(data.sample_rate)
    work = destination.with_name(f"{destination.name}.part")
    for folder in (destination, work):
        refuse_link(folder)
    refuse_outputs(data.root, (destination, work, *outputs))
    prepared_before = _prepared_before(destination)
    refuse_strangers(destination, prepared_before)
    tracks = source.find(data.root, data.decoder, data.sample_rate, length)
    _check_found(tracks, data)
    announce("prepare", work, _at_least(tracks))
    files = [_file_of(track, index) for index, track in enumerate(tracks)]
    # Written beside the old data, which stays until the new is whole; tracks that a run which was
    # killed left there are gone on with.
    known = [*files, *map(record_of, files), MANIFEST, MANIFEST_SHA256]
    go_on_in(work, known, _prepared_before(work))
    kept = Kept(work, code_fingerprint(), data, cut)
    # Threads: PyAV and NumPy leave Python's lock, and musdb's tracks need not be pickled.
    jobs = Parallel(n_jobs=workers, backend="threading", return_as="generator")(
        delayed(kept.of)(track, file, partial(_prepare_track, track, index, data, cut, work))
        for index, (track, file) in enumerate(zip(tracks, files, strict=True))
    )
    outcomes = list(Progress(jobs, total=len(tracks), desc="prepare", unit="track"))
    records = sound(outcomes, data.sample_rate)
    about = {"source": data.source, "channels": int(records[0]["channels"])}
    entries = [{key: record[key] for key in Entry.model_fields} for record in records]
    write_manifest(work, {**about, "sample_rate": data.sample_rate, "tracks": entries})
    summary = {split: _summarize(records, split, data.sample_rate) for split in SPLITS}
    for split, figures in summary.items():
        if figures["segments"] == figures["silent_segments"]:
            raise InputError(
                f"data.root = {data.root}: the vocals of every {split} segment are silent "
                "(see segments.loud_db)"
            )
    fresh_directory(destination, [*files, MANIFEST_SHA256, MANIFEST], prepared_before, about=said)
    for name in (*files, MANIFEST_SHA256, MANIFEST):
        link_file(work / name, destination / name)
    finished(work)
    about |= {"source_words": source.words, "sha256": sha256(destination / MANIFEST)}
    return {**about, **summary}


def _prepared_before(folder: Path) -> list[str]:
    """Files that the manifest in a folder names: a version that left no marker left this."""
    try:
        entries = read_json(folder / MANIFEST)["tracks"]
        return [MANIFEST, MANIFEST_SHA256, *(str(entry["file"]) for entry in entries)]
    except (InputError, KeyError, TypeError):
        return []


def _check_found(tracks: Sequence[Recording], data: DataParams) -> None:
    """Every split has recordings, and each of them vocals and a name of its own."""
    assert all("vocals" in track.stems for track in tracks)
    found = f"data.root = {data.root}: data.source = {data.source} finds"
    for split in SPLITS:
        if not any(track.split == split for track in tracks):
            raise InputError(f"{found} no recording for the {split} split; add one")
    problems, first = Problems(), dict[str, Recording]()
    for track in tracks:
        try:
            track.name.encode()
        except UnicodeEncodeError:
            problems.add(
                f"{found} {track.name!r} in the {track.split} split, a name that is not UTF-8; "
                "rename it"
            )
        if track.name not in first:
            first[track.name] = track
        else:
            other = first[track.name]
            splits = "twice in the {}" if other.split == track.split else "in the {} and the {}"
            problems.add(
                f"{found} {track.name} {splits.format(other.split, track.split)} split, as "
                f"{other.path_of('mixture')} and {track.path_of('mixture')}; a song counts once, "
                "and none is trained on and tested on: rename one of them, or leave it out"
            )
    problems.refuse()


def _at_least(tracks: Sequence[Recording]) -> int:
    """Bytes that mixture and vocals take as float32, by what the headers of the mixtures say."""
    return sum(2 * 4 * announced_values(track.path_of("mixture")) for track in tracks)


def _file_of(track: Recording, index: int) -> str:
    return f"{track.split}-{index:04d}.npy"


def _prepare_track(
    track: Recording, index: int, data: DataParams, cut: SegmentParams, destination: Path
) -> Record | InputError:
    length = cut.samples(data.sample_rate)
    try:
        audio, stems_sum_snr_db = _decode(track, length)
    except InputError as error:
        return error  # to be named beside the others
    file = _file_of(track, index)
    write_array(destination / file, audio)
    mono = audio.mean(axis=1)
    overlap = cut.train_overlap if track.split == "train" else 0.0
    starts = segment_starts(mono.shape[1], length, overlap)
    # One at a time: overlapping segments together are many times the track.
    loud = [
        bool(loud_mask(mono[VOCALS:, start : start + length], cut.loud_db)[0]) for start in starts
    ]
    return {
        "split": track.split,
        "name": track.name,
        "path": track.path_of("mixture"),
        "audio": audio_hash(audio[MIXTURE]),
        "low": low_end(audio[MIXTURE], data.sample_rate),
        "channels": audio.shape[1],
        "rendered": bool(getattr(track, "rendered", False)),
        "file": file,
        "samples": mono.shape[1],
        "sha256": sha256(destination / file),
        "segments": len(starts),
        "silent_segments": loud.count(False),
        "stems_sum_snr_db": stems_sum_snr_db,
    }


def _decode(track: Recording, shortest: int) -> tuple[FloatArray, float | None]:
    """Decode the mixture, then one stem after the other.

    Returns:
        Mixture and vocals (2 x channels x samples), and the SNR of the mixture to what the stems
        leave of it, in dB; None when they leave nothing.

    Raises:
        InputError: a stem is damaged, too short, of another length or number of channels, or holds
            samples that none has; the mixture is silent; channels cancel; stems do not add up.
    """
    path = track.path_of("mixture")
    mixture = _read(track, "mixture")
    if len(mixture) < shortest:
        raise InputError(
            f"{path}: {len(mixture)} samples, shorter than one segment ({shortest} samples; see "
            "segments.seconds)"
        )
    if not mixture.any():
        raise InputError(
            f"{path}: the mixture is silent from beginning to end; replace the recording or leave "
            "the track out"
        )
    kept = np.empty((2, mixture.shape[1], len(mixture)), dtype=np.float32)
    kept[MIXTURE] = mixture.T
    rest = mixture.astype(np.float64)
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
    for number, name in ((MIXTURE, "mixture"), (VOCALS, "vocals")):
        check_channels(track.path_of(name), name, kept[number])
    left = sum_db(power(kept[MIXTURE]), power(rest))
    check_sum(path, track.name, left)
    # What softer vocals lack is little of the sum.
    blocks = range(0, kept.shape[-1], BLOCK)
    parts = ((kept[MIXTURE, :, n : n + BLOCK], kept[VOCALS, :, n : n + BLOCK]) for n in blocks)
    check_held(track.path_of("vocals"), path, parts)
    return kept, left


def _read(track: Recording, stem: str) -> FloatArray:
    """One stem, frames x channels."""
    audio = track.read(stem)
    check_samples(track.path_of(stem), audio)
    return audio


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
