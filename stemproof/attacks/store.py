"""Attack the test split for one model, and store what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stemproof.attacks.craft import craft, prepared
from stemproof.attacks.gate import describe, examine
from stemproof.attacks.params import AttackParams
from stemproof.attacks.score_based import passes as spent
from stemproof.attacks.score_based import score_based
from stemproof.attacks.stored import CURVE, FORMAT, INDEX, SYSTEM, UNIVERSAL, budget_used
from stemproof.attacks.threat import excerpts_for, played_to, threat_of, training_excerpts
from stemproof.attacks.unfinished import (
    is_done,
    keep,
    keep_array,
    kept_names,
    losses_file,
    read_whole,
    still_to_write,
    units,
)
from stemproof.attacks.universal import SamePerturbation
from stemproof.core.errors import InputError, explaining
from stemproof.core.files import (
    FloatArray,
    fingerprint,
    read_array,
    read_json,
    sha256,
    write_array,
    write_csv,
)
from stemproof.core.made_with import MADE_WITH
from stemproof.core.ownership import copy_file, link_file, remove_written
from stemproof.core.progress import Progress
from stemproof.core.resume import code_fingerprint, finished
from stemproof.core.room import announce, grown, peak_memory
from stemproof.core.seals import write_sealed
from stemproof.core.shards import WHOLE, Shard
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.figures.medians import median_of_medians
from stemproof.separators.protocol import Separator


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
    made_with: Mapping[str, Any] | None = None,
) -> None:
    """Attack the test split for one model, and store what was found.

    The folder holds one ``.npy`` a track (channels x samples, the attacked parts of the mixture one
    after the other), the loss after every step, the system that was attacked, and an index with
    hashes. Tracks that are done stand in ``scratch``, so that a run that was killed goes on where
    it stopped, until :func:`stemproof.core.resume.drop` removes them. Several processes share the
    tracks, and the first one stores what all of them found.

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
        made_with: parameters that the result carries (:mod:`stemproof.core.made_with`).

    Raises:
        InputError: no segment counts, or what is computed is not a number or exceeds the budget.
    """
    excerpts = _test_excerpts(params, cut, victim, data)
    shortest = min(place.samples for place in excerpts.places) * excerpts.channels
    if params.norm == "l0" and params.samples > shortest:
        raise InputError(
            f"attack.samples = {params.samples}, but what is attacked at once has {shortest}; "
            "lower it"
        )
    model = sha256(victim.file)
    settings = params.model_dump(mode="json")
    runtime = [torch.get_num_threads(), torch.__version__, device.type]
    decides = [settings, cut.model_dump(mode="json"), model, data.fingerprint]
    run = fingerprint(decides, runtime, code_fingerprint())
    work = scratch / f"{victim.name}-{run[:16]}"
    with explaining(work, "written"):
        work.mkdir(parents=True, exist_ok=True)
    before = peak_memory()
    if shard.is_first:
        print(f"{victim.name}: checking its gradient", flush=True)
    checked = examine(victim.separator, excerpts, cut.loud_db, params.seed, device)
    usable = checked.passed or "gradient" not in params.of_method.needs
    if shard.is_first:
        passes = params.of_method.passes(params) * params.restarts if usable else spent(params)
        samples = sum(place.samples for place in excerpts.places)
        print(describe(checked, victim.name, passes, samples), flush=True)
        largest = excerpts.largest_batch(range(len(excerpts)), params.batch)
        memory = grown(before, largest / checked.samples)
        disk = still_to_write(work, excerpts)
        announce(victim.name, work, disk, memory if device.type == "cpu" else None)
    if usable:
        attack = _attack(params, cut, victim, data, device, work, excerpts, shard)
    else:
        attack = score_based(params)
    progress = Progress(
        total=len(excerpts),
        desc=f"attack {victim.name}",
        unit="segment" if threat_of(victim.separator) == "informed" else "excerpt",
        disable=not shard.is_first,
    )
    for number, unit in enumerate(units(excerpts, params.batch)):
        numbers = [n for track in unit for n in excerpts.of_track(track)]
        mine = number % shard.count == shard.rank
        if mine and not all(is_done(work, excerpts, track) for track in unit):
            found = craft(params, attack, victim.separator, excerpts, numbers, device)
            keep(work, excerpts, unit, found)
        progress.update(len(numbers))
    progress.close()
    shard.wait()
    if not shard.is_first:
        return
    about = {
        "format": FORMAT,
        "system": victim.name,
        "threat": threat_of(victim.separator),
        "gate": checked.document(),
        "attack": settings,
        "segments": cut.model_dump(mode="json"),
        "model_sha256": model,
        "data": data.fingerprint,
    }
    about |= {} if made_with is None else {MADE_WITH: dict(made_with)}
    universal = attack.delta.cpu().numpy() if isinstance(attack, SamePerturbation) else None
    curve = _finish(work, destination, excerpts, params, cut, victim.file, universal, about)
    arrays = [UNIVERSAL, *(track.file for track in excerpts.tracks)]
    arrays += [losses_file(work, track).name for track in excerpts.tracks]
    finished(work, [CURVE, INDEX, SYSTEM, *kept_names(arrays)])
    print(
        f"{victim.name}: median loss of the attack {curve[0][1]:.3f} before its first step, "
        f"{curve[-1][1]:.3f} after {curve[-1][0]}; recordings: {len(excerpts.tracks)}"
    )


def _test_excerpts(
    params: AttackParams, cut: SegmentParams, victim: Victim, data: PreparedData
) -> Excerpts:
    """The parts of the test split, of which every track has some."""
    rate = data.sample_rate
    tracks = played_to(victim.separator, data.tracks("test"), params)
    short = [track.name for track in tracks if track.count(cut.samples(rate)) == 0]
    if short:
        raise InputError(
            f"{', '.join(short)}: shorter than segments.seconds = {cut.seconds}; lower it, or run "
            "prepare-musdb18 again"
        )
    excerpts = excerpts_for(victim.separator, tracks, cut, params, rate)
    if not excerpts.loud(cut.loud_db):
        raise InputError("no test segment has audible vocals; see segments.loud_db")
    return excerpts


def _attack(
    params: AttackParams,
    cut: SegmentParams,
    victim: Victim,
    data: PreparedData,
    device: torch.device,
    work: Path,
    attacked: Excerpts,
    shard: Shard,
) -> Any:
    """The attack; the first process leaves a universal perturbation in ``work`` for all others."""
    # One perturbation for all is as long as the longest of what it is played to.
    longest = max(place.samples for place in attacked.places)
    training = training_excerpts(victim.separator, data.tracks("train"), attacked.segment, longest)
    if params.method != "universal":
        return prepared(params, victim.separator, training, cut.loud_db, device)
    if not training.places:
        raise InputError(
            f"attack.method = universal: no training recording has the {longest} samples of the "
            "longest part of a test recording; set attack.excerpt to fewer seconds"
        )
    file = work / UNIVERSAL
    if shard.is_first and read_whole(file, (1, longest * attacked.channels)) is None:
        attack = prepared(params, victim.separator, training, cut.loud_db, device)
        assert isinstance(attack, SamePerturbation)
        keep_array(file, attack.delta.cpu().numpy())
    shard.wait()
    delta = torch.from_numpy(np.array(read_array(file)))
    return prepared(params, victim.separator, training, cut.loud_db, device, delta)


def _stored_before(folder: Path, excerpts: Excerpts) -> list[str]:
    """Names of the files that an earlier run stored."""
    names = [INDEX, CURVE, UNIVERSAL, SYSTEM, *(track.file for track in excerpts.tracks)]
    try:
        return [*names, *(str(entry["file"]) for entry in read_json(folder / INDEX)["tracks"])]
    except (InputError, LookupError, TypeError):
        return names


def _finish(
    work: Path,
    destination: Path,
    excerpts: Excerpts,
    params: AttackParams,
    cut: SegmentParams,
    model: Path,
    universal: FloatArray | None,
    about: Mapping[str, Any],
) -> list[list[float]]:
    """Put what is done into the folder of the model, when it has kept its budget.

    All is written before anything is replaced, and stays where it was found: the folder can be
    made again. The index goes last: a folder without one is none.

    Returns:
        The curve that is stored: step and loss.
    """
    losses = np.concatenate([read_array(losses_file(work, track)) for track in excerpts.tracks])
    entries = []
    for number, track in enumerate(excerpts.tracks):
        path = work / track.file
        fraction = budget_used(excerpts, number, read_array(path), params)
        if not fraction <= 1:
            raise InputError(
                f"{path}: the perturbation of attack.method = {params.method} is {fraction} times "
                "its budget, a fault of its module, which keeps it with case.budget.keeper"
            )
        entries.append(
            {
                "name": track.name,
                "file": track.file,
                "parts": len(excerpts.of_track(number)),
                "sha256": sha256(path),
                "budget_used": fraction,
            }
        )
    files = [CURVE, SYSTEM, *(track.file for track in excerpts.tracks)]
    curve = _curve(excerpts, losses, cut.loud_db)
    write_csv(work / CURVE, ["step", "loss"], curve)
    copy_file(model, work / SYSTEM)
    if universal is not None:
        files.append(UNIVERSAL)
        write_array(work / UNIVERSAL, universal)
        about = {**about, "universal_sha256": sha256(work / UNIVERSAL)}
    write_sealed(work / INDEX, {**about, "tracks": entries}, [work / CURVE])
    remove_written(destination, _stored_before(destination, excerpts))
    with explaining(destination, "written"):
        destination.mkdir(parents=True, exist_ok=True)
    for name in (*files, INDEX):
        link_file(work / name, destination / name)
    return curve


def _curve(excerpts: Excerpts, losses: FloatArray, loud_db: float) -> list[list[float]]:
    """The worst loss so far after each step: median over loud parts, then over tracks."""
    loud = excerpts.loud(loud_db)
    return [
        [
            step,
            median_of_medians((excerpts.track(number), [losses[number, step]]) for number in loud),
        ]
        for step in range(losses.shape[1])
    ]
