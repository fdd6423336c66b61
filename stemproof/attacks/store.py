"""Adversarial mixtures on disk: unfinished work, and the folder of one model."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from stemproof.attacks.budgets import used
from stemproof.attacks.craft import Crafted, craft, prepared
from stemproof.attacks.params import AttackParams
from stemproof.attacks.universal import SamePerturbation
from stemproof.core.batches import batches
from stemproof.core.errors import InputError, RefusedError, explaining, out_of_memory
from stemproof.core.files import (
    FloatArray,
    fingerprint,
    is_there,
    read_array,
    read_json,
    sha256,
    write_array,
    write_csv,
    write_json,
)
from stemproof.core.ownership import remove_written
from stemproof.core.params import first_difference
from stemproof.core.resume import code_fingerprint
from stemproof.core.shards import WHOLE, Shard
from stemproof.data.params import SegmentParams
from stemproof.data.segments import Segments
from stemproof.data.store import PreparedData, PreparedTrack
from stemproof.figures.medians import median_of_medians
from stemproof.separators.protocol import Separator

INDEX = "index.json"
CURVE = "curve.csv"
UNIVERSAL = "universal.npy"
SYSTEM = "system.safetensors"
FORMAT = 1
CHECKED_AT_ONCE = 64  # segments, in double precision


@dataclass(frozen=True)
class Victim:
    """Who is attacked.

    Attributes:
        name: system and training seed, for messages and folders.
        separator: the system.
        file: its model file, of which the result keeps a copy.
    """

    name: str
    separator: Separator
    file: Path


def generate(
    params: AttackParams,
    cut: SegmentParams,
    victim: Victim,
    data: PreparedData,
    device: torch.device,
    destination: Path,
    scratch: Path,
    shard: Shard = WHOLE,
) -> None:
    """Attack the test split for one model, and store what was found.

    The folder holds one ``.npy`` a track (segments x channels x samples, adversarial mixtures), the
    loss after every step, the system that was attacked, and an index with hashes. Tracks that are
    done stand in ``scratch`` until all are, so that a run that was killed goes on where it
    stopped. Several processes share the tracks, and the first one stores what all of them found.

    Args:
        params: the section ``attack``.
        cut: the section ``segments``.
        victim: the system.
        data: prepared data.
        device: where to compute.
        destination: the folder; what an earlier run stored there is replaced, and files of anyone
            else stay.
        scratch: for unfinished work, seen by all processes.
        shard: which of the processes this is.

    Raises:
        InputError: the system is for recordings of another rate, no segment counts, or what is
            computed is not a number or exceeds the budget.
    """
    segments = _test_segments(cut, victim, data)
    model = sha256(victim.file)
    settings = params.model_dump(mode="json")
    runtime = [torch.get_num_threads(), torch.__version__, device.type]
    decides = [settings, cut.model_dump(mode="json"), model, data.fingerprint]
    run = fingerprint(decides, runtime, code_fingerprint())
    work = scratch / f"{victim.name}-{run[:16]}"
    with explaining(work, "written"):
        work.mkdir(parents=True, exist_ok=True)
    attack = _attack(params, cut, victim, data, device, work, shard)
    progress = tqdm(
        total=len(segments),
        desc=f"attack {victim.name}",
        unit="segment",
        disable=not shard.is_first,
    )
    for number, unit in enumerate(_units(segments, params.batch)):
        numbers = [n for n, (t, _) in enumerate(segments.places) if t in unit]
        mine = number % shard.count == shard.rank
        if mine and not all(_is_done(work, segments, track) for track in unit):
            found = craft(params, attack, victim.separator, segments, numbers, device)
            _keep(work, segments, unit, found)
        progress.update(len(numbers))
    progress.close()
    shard.wait()
    if not shard.is_first:
        return
    about = {
        "format": FORMAT,
        "system": victim.name,
        "attack": settings,
        "segments": cut.model_dump(mode="json"),
        "model_sha256": model,
        "data": data.fingerprint,
    }
    universal = attack.delta.cpu().numpy() if isinstance(attack, SamePerturbation) else None
    _finish(work, destination, segments, params, cut, victim.file, universal, about)
    remove_written(work, [UNIVERSAL, *(_losses_file(work, t).name for t in segments.tracks)])


def _test_segments(cut: SegmentParams, victim: Victim, data: PreparedData) -> Segments:
    """The segments of the test split, of which every track has some."""
    rate = victim.separator.sample_rate
    if rate != data.sample_rate:
        raise InputError(
            f"{victim.file}: a system for {rate} Hz, but the recordings in {data.folder} have "
            f"{data.sample_rate} Hz; train it again"
        )
    segments = Segments.of(data.tracks("test"), cut.samples(rate))
    short = [track.name for track in segments.tracks if track.count(segments.length) == 0]
    if short:
        raise InputError(
            f"{', '.join(short)}: shorter than segments.seconds = {cut.seconds}; lower it, or run "
            "prepare-musdb18 again"
        )
    if not segments.loud(cut.loud_db):
        raise InputError("no test segment has audible vocals; see segments.loud_db")
    return segments


def _attack(
    params: AttackParams,
    cut: SegmentParams,
    victim: Victim,
    data: PreparedData,
    device: torch.device,
    work: Path,
    shard: Shard,
) -> Any:
    """The attack; the first process leaves a universal perturbation in ``work`` for all others."""
    training = Segments.of(data.tracks("train"), cut.samples(data.sample_rate))
    if params.method != "universal":
        return prepared(params, victim.separator, training, cut.loud_db, device)
    file = work / UNIVERSAL
    length = cut.samples(data.sample_rate) * victim.separator.channels
    if shard.is_first and _whole(file, (1, length)) is None:
        attack = prepared(params, victim.separator, training, cut.loud_db, device)
        assert isinstance(attack, SamePerturbation)
        write_array(file, attack.delta.cpu().numpy())
    shard.wait()
    delta = torch.from_numpy(np.array(read_array(file)))
    return prepared(params, victim.separator, training, cut.loud_db, device, delta)


def _units(segments: Segments, size: int) -> list[list[int]]:
    """Tracks that are attacked together: as many as fit into a batch, at least one."""
    units: list[list[int]] = []
    room = 0
    for number, track in enumerate(segments.tracks):
        count = track.count(segments.length)
        if not units or count > room:
            units.append([])
            room = size
        units[-1].append(number)
        room -= count
    return units


def _losses_file(work: Path, track: PreparedTrack) -> Path:
    return work / f"losses-{track.file}"


def _keep(work: Path, segments: Segments, unit: list[int], found: Crafted) -> None:
    """Store what was found for the tracks of a unit; the losses last, as a sign of the rest."""
    start = 0
    for number in unit:
        track = segments.tracks[number]
        part = slice(start, start + track.count(segments.length))
        write_array(work / track.file, found.adversarial[part])
        write_array(_losses_file(work, track), found.losses[part])
        start = part.stop


def _is_done(work: Path, segments: Segments, number: int) -> bool:
    """Whether a track was attacked before the run was interrupted, and is whole."""
    track = segments.tracks[number]
    count = track.count(segments.length)
    audio = _whole(work / track.file, (count, len(track.mixture), segments.length))
    return audio is not None and _whole(_losses_file(work, track), (count, None)) is not None


def _whole(file: Path, shape: tuple[int | None, ...]) -> FloatArray | None:
    """An array of unfinished work, or None where there is none that is whole.

    Args:
        file: where it is.
        shape: that it must have; None for any length.

    Raises:
        InputError: the system refuses to read it.
    """
    if not is_there(file):
        return None
    try:
        array = read_array(file)
        fits = len(array.shape) == len(shape) and all(
            wanted in (None, found) for found, wanted in zip(array.shape, shape, strict=True)
        )
        if fits and bool(np.isfinite(array).all()):
            return array
    except (RefusedError, OSError, MemoryError):
        raise
    except Exception as error:  # what is damaged fails in many ways
        if out_of_memory(error):
            raise
    print(f"{file}: damaged, computing it again", flush=True)
    return None


def _stored_before(folder: Path, segments: Segments) -> list[str]:
    """Names of the files that an earlier run stored."""
    names = [INDEX, CURVE, UNIVERSAL, SYSTEM, *(track.file for track in segments.tracks)]
    try:
        return [*names, *(str(entry["file"]) for entry in read_json(folder / INDEX)["tracks"])]
    except (InputError, LookupError, TypeError):
        return names


def _finish(
    work: Path,
    destination: Path,
    segments: Segments,
    params: AttackParams,
    cut: SegmentParams,
    model: Path,
    universal: FloatArray | None,
    about: Mapping[str, Any],
) -> None:
    """Move what is done into the folder of the model, and check the budget on what is read back.

    The index goes last: a folder without one is none.
    """
    losses = np.concatenate([read_array(_losses_file(work, track)) for track in segments.tracks])
    curve = _curve(segments, losses, cut.loud_db)
    remove_written(destination, _stored_before(destination, segments))
    with explaining(destination, "written"):
        destination.mkdir(parents=True, exist_ok=True)
    entries = []
    for track in segments.tracks:
        path = destination / track.file
        with explaining(path, "written"):
            shutil.move(work / track.file, path)  # it may be another file system
        fraction = budget_used(track, read_array(path), params)
        if fraction > 1:
            raise InputError(
                f"{path}: the stored perturbation is {fraction} times the budget, which is a fault "
                "of the attack; please report it with params.yaml"
            )
        entries.append(
            {
                "name": track.name,
                "file": track.file,
                "segments": track.count(segments.length),
                "sha256": sha256(path),
                "budget_used": fraction,
            }
        )
    write_csv(destination / CURVE, ["step", "loss"], curve)
    shutil.copyfile(model, destination / SYSTEM)
    if universal is not None:
        write_array(destination / UNIVERSAL, universal)
        about = {**about, "universal_sha256": sha256(destination / UNIVERSAL)}
    write_json(destination / INDEX, {**about, "tracks": entries})


def budget_used(track: PreparedTrack, adversarial: FloatArray, params: AttackParams) -> float:
    """Largest stored perturbation of a track as a fraction of the budget; at most 1 when kept.

    Args:
        track: the clean track.
        adversarial: segments x channels x samples.
        params: the section ``attack``.
    """
    largest = 0.0
    for part in batches(len(adversarial), CHECKED_AT_ONCE):
        mixture, _ = track.segments(adversarial.shape[-1], part)
        clean = mixture.flatten(1)
        stored = torch.from_numpy(np.array(adversarial[part])).flatten(1)
        largest = max(largest, used(params.bound.budget(clean), clean, stored))
    return largest


def _curve(segments: Segments, losses: FloatArray, loud_db: float) -> list[list[float]]:
    """The worst loss so far after each step: median over loud segments, then over tracks."""
    loud = segments.loud(loud_db)
    return [
        [
            step,
            median_of_medians((segments.track(number), [losses[number, step]]) for number in loud),
        ]
        for step in range(losses.shape[1])
    ]


@dataclass(frozen=True)
class Adversarials:
    """What was found for one model, verified.

    Attributes:
        folder: where it is.
        files: of this process's tracks, by the file name of the track.
        model: file of the system that was attacked.
        model_sha256: its hash.
        budget_used: largest stored perturbation of any track as a fraction of the budget.
    """

    folder: Path
    files: dict[str, Path]
    model: Path
    model_sha256: str
    budget_used: float

    @property
    def universal(self) -> Tensor:
        """The one perturbation of method universal, 1 x samples."""
        return torch.from_numpy(np.array(read_array(self.folder / UNIVERSAL)))


def open_adversarials(
    folder: Path,
    params: AttackParams,
    cut: SegmentParams,
    data: PreparedData,
    shard: Shard = WHOLE,
) -> Adversarials:
    """Open the folder of one model.

    Args:
        folder: what :func:`generate` wrote.
        params: the section ``attack`` that it must have been made with.
        cut: the section ``segments``.
        data: prepared data that it must have been made of.
        shard: whose tracks are verified.

    Raises:
        InputError: it was made with other parameters or data, or a file is missing or damaged.
    """
    index = read_json(folder / INDEX)
    if index.get("format") != FORMAT:
        raise InputError(
            f"{folder}: format {index.get('format')}, this release reads {FORMAT}; run "
            "generate-pgd-adversarials again"
        )
    expected = {
        "attack": params.model_dump(mode="json"),
        "segments": cut.model_dump(mode="json"),
        "data": data.fingerprint,
    }
    difference = first_difference(index, expected)
    if difference:
        raise InputError(f"{folder}: made with {difference}; run generate-pgd-adversarials again")
    try:
        hashes = {SYSTEM: index["model_sha256"]}
        if "universal_sha256" in index:
            hashes[UNIVERSAL] = index["universal_sha256"]
        files = {entry["file"]: folder / entry["file"] for entry in shard.items(index["tracks"])}
        hashes |= {entry["file"]: entry["sha256"] for entry in shard.items(index["tracks"])}
        largest = max(float(entry["budget_used"]) for entry in index["tracks"])
    except (LookupError, TypeError, ValueError):
        raise InputError(
            f"{folder / INDEX}: damaged; run generate-pgd-adversarials again"
        ) from None
    for name, digest in hashes.items():
        if sha256(folder / name) != digest:
            raise InputError(f"{folder / name}: damaged; run generate-pgd-adversarials again")
    return Adversarials(folder, files, folder / SYSTEM, hashes[SYSTEM], largest)
