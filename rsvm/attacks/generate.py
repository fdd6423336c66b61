"""Attack every test segment and store the adversarial mixtures.

Segments of all tracks are attacked in batches that do not depend on how often a run was
interrupted; only one batch is in memory at a time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rsvm.attacks.build import build_attack
from rsvm.attacks.interface import Attack
from rsvm.attacks.norms import LinfBudget, budget_of, used
from rsvm.attacks.universal import Batch, SamePerturbation, UniversalPerturbation
from rsvm.data.store import PreparedData, PreparedTrack, loud_mask
from rsvm.errors import InputError
from rsvm.files import (
    FloatArray,
    code_fingerprint,
    fingerprint,
    fresh_directory,
    read_array,
    read_json,
    sha256,
    write_array,
    write_json,
    written_aside,
)
from rsvm.medians import median_of_medians
from rsvm.params import AttackParams, Params
from rsvm.separator import Separator, batches
from rsvm.sharding import WHOLE, Shard

INDEX = "index.json"
UNIVERSAL = "universal.npy"
NOTE = "note.json"
CHECKED_AT_ONCE = 64  # segments, in double precision
Curve = list[dict[str, float]]


@dataclass(frozen=True)
class Victim:
    """Who is attacked, and with whose gradients.

    Attributes:
        name: variant and training seed, for messages and folders.
        source: the separator whose gradients are used.
        source_sha256: of its model file.
    """

    name: str
    source: Separator
    source_sha256: str


@dataclass(frozen=True)
class Segments:
    """The segments of a split without overlap, read when they are asked for.

    Attributes:
        tracks: the tracks of the split.
        length: samples per segment.
        places: (number of the track, number of the segment in it).
    """

    tracks: list[PreparedTrack]
    length: int
    places: list[tuple[int, int]]

    @classmethod
    def of(cls, tracks: list[PreparedTrack], length: int) -> Segments:
        """All whole segments of the tracks."""
        places = [(t, s) for t, track in enumerate(tracks) for s in range(track.count(length))]
        return cls(tracks, length, places)

    def loud(self, threshold_db: float) -> list[int]:
        """Numbers of the segments that count."""
        return [
            number
            for number, (t, s) in enumerate(self.places)
            if loud_mask(self.tracks[t].segment(s, self.length)[1:], threshold_db)[0]
        ]

    def read(self, numbers: list[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Mixture and vocals of some segments, each batch x samples."""
        cuts = [self.tracks[t].segment(s, self.length) for t, s in map(self._place, numbers)]
        audio = torch.from_numpy(np.stack(cuts)).to(device)
        return audio[:, 0].contiguous(), audio[:, 1].contiguous()

    def _place(self, number: int) -> tuple[int, int]:
        return self.places[number]


@dataclass(frozen=True)
class SegmentBatches:
    """Some segments in batches, to be gone through again and again."""

    segments: Segments
    numbers: list[int]
    size: int
    device: torch.device
    separator: Separator

    def __len__(self) -> int:
        return -(-len(self.numbers) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for part in batches(len(self.numbers), self.size):
            mixture, vocals = self.segments.read(self.numbers[part], self.device)
            yield mixture, vocals, self.separator.context(mixture, vocals)


def generate(
    params: Params,
    victim: Victim,
    data: PreparedData,
    device: torch.device,
    destination: Path,
    scratch: Path,
    shard: Shard = WHOLE,
) -> Curve:
    """Attack the test split for one model.

    Finished batches stand in ``scratch`` until all are done, so that a run that was killed
    goes on where it stopped. What was stored by the same code for the same model, data and
    parameters is not attacked again. Several processes share the batches, and the first one stores
    what all of them found.

    Args:
        params: the whole tree.
        victim: the model, and the separator whose gradients are used.
        data: prepared data.
        device: where to compute.
        destination: one ``.npy`` a track (segments x samples, adversarial mixtures) and an
            index with the SHA-256 of each.
        scratch: folder for unfinished work, and for what was stored last, seen by all processes.
        shard: which of the processes this is.

    Returns:
        The worst loss so far after each step: median over loud segments, then over tracks.
        Nothing in a process that is not the first.
    """
    segments = Segments.of(data.tracks("test"), params.segment_samples)
    settings = params.attack.model_dump(mode="json")
    runtime = params.runtime.model_dump(include={"accelerator", "compile", "precision", "threads"})
    cut = params.segments.model_dump(mode="json")
    computed_by = [code_fingerprint(), torch.__version__, device.type]
    run = fingerprint(settings, victim.source_sha256, data.fingerprint, cut, runtime, computed_by)
    kept = scratch / victim.name
    known = _kept_curve(kept, run, destination, shard)
    if known is not None:
        if shard.is_first:
            print(f"attack {victim.name}: stored already")
        return known if shard.is_first else []
    scratch = scratch / f"{victim.name}-{run[:16]}"
    scratch.mkdir(parents=True, exist_ok=True)
    attack = _make_attack(params, victim, data, device, scratch, shard)
    total = len(segments.places)
    progress = tqdm(
        total=total, desc=f"attack {victim.name}", unit="segment", disable=not shard.is_first
    )
    files = []
    for number, part in enumerate(batches(total, params.attack.batch)):
        file = scratch / f"{number:06d}.npz"
        if number % shard.count == shard.rank and not file.exists():
            mixture, vocals = segments.read(list(range(total))[part], device)
            # One seed a batch: random starts do not depend on where a run resumed.
            generator = torch.Generator().manual_seed(params.attack.seed * 1_000_003 + number)
            _attack_batch(params.attack, attack, victim.source, mixture, vocals, generator, file)
        files.append(file)
        progress.update(part.stop - part.start)
    progress.close()
    shard.wait()
    if not shard.is_first:
        return []
    index = _store(segments, files, destination, params)
    if isinstance(attack, SamePerturbation):
        write_array(destination / UNIVERSAL, attack.delta.cpu().numpy())
    write_json(
        destination / INDEX,
        {
            "model": victim.name,
            "attack": settings,
            "source_sha256": victim.source_sha256,
            "data": data.fingerprint,
            "tracks": index,
        },
    )
    curve = _curve(segments, files, params)
    _keep(destination, kept, run, curve)
    shutil.rmtree(scratch)
    return curve


def _kept_curve(kept: Path, run: str, destination: Path, shard: Shard) -> Curve | None:
    """Put back what the same run stored before; its curve, or None when it is not there, whole."""
    curve: Curve = []
    try:
        told = read_json(kept / NOTE)
        whole = told["run"] == run
        if whole:
            curve = told["curve"]
            whole = all(
                sha256(kept / name) == digest for name, digest in shard.items(told["files"])
            )
    except (InputError, KeyError):
        whole = False
    if not all(shard.gathered([whole])):
        return None
    if shard.is_first:
        fresh_directory(destination)
        for name, _ in told["files"]:
            _link(kept / name, destination / name)
    return curve


def _keep(destination: Path, kept: Path, run: str, curve: Curve) -> None:
    """Keep what was stored: DVC empties ``destination`` before the stage runs again."""
    fresh_directory(kept)
    files = sorted(destination.iterdir())
    for file in files:
        _link(file, kept / file.name)
    digests = [[file.name, sha256(file)] for file in files]
    write_json(kept / NOTE, {"run": run, "files": digests, "curve": curve})


def _link(file: Path, other: Path) -> None:
    """A second name for a file, which takes no room; a copy where there are no links."""
    try:
        other.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, other)


def _make_attack(
    params: Params,
    victim: Victim,
    data: PreparedData,
    device: torch.device,
    scratch: Path,
    shard: Shard,
) -> Attack:
    """The attack of the parameters.

    A universal perturbation is learned on the training split first, once: the first process leaves
    it in ``scratch`` for the others and for a run that goes on.
    """
    attack = build_attack(params.attack)
    if not isinstance(attack, UniversalPerturbation):
        return attack
    file = scratch / UNIVERSAL
    if shard.is_first and not file.exists():
        write_array(file, _learn(params, attack, victim, data, device).cpu().numpy())
    shard.wait()
    delta = torch.from_numpy(np.array(read_array(file))).to(device)
    return SamePerturbation(delta, attack.objective)


def _learn(
    params: Params,
    attack: UniversalPerturbation,
    victim: Victim,
    data: PreparedData,
    device: torch.device,
) -> Tensor:
    training = Segments.of(data.tracks("train"), params.segment_samples)
    loud = training.loud(params.segments.loud_db)
    if not loud:
        raise InputError("no training segment has audible vocals; see segments.loud_db")
    seen = SegmentBatches(training, loud, params.attack.batch, device, victim.source)
    budget = LinfBudget(torch.full((1, 1), params.attack.eps, device=device))
    print(f"attack {victim.name}: one perturbation from {len(loud)} training segments", flush=True)
    torch.manual_seed(params.attack.seed)  # for a system that is random at test time
    return attack.learn(victim.source, seen, budget).delta


def _attack_batch(
    settings: AttackParams,
    attack: Attack,
    separator: Separator,
    mixture: Tensor,
    vocals: Tensor,
    generator: torch.Generator,
    file: Path,
) -> None:
    torch.manual_seed(generator.initial_seed())  # for a system that is random at test time
    context = separator.context(mixture, vocals)
    budget = budget_of(settings, mixture)
    adversarial, losses = attack(separator, mixture, vocals, context, budget, generator)
    # NaN is never worse than what was found before: it would pass for robustness.
    broken = ~(torch.isfinite(losses).all(-1) & torch.isfinite(adversarial).all(-1))
    if bool(broken.any()):
        raise InputError(
            f"output, loss or gradient is not a number on {int(broken.sum())} of {len(broken)} "
            f"segments, whose samples reach {float(mixture.abs().max()):.3g} (full scale is 1); "
            "correct the recordings where that is far above 1, else train the system again or "
            "choose another attack.loss"
        )
    with written_aside(file) as temporary:
        np.savez(temporary, adversarial=adversarial.cpu().numpy(), losses=losses.cpu().numpy())


def _store(
    segments: Segments, files: list[Path], destination: Path, params: Params
) -> list[dict[str, Any]]:
    """Regroup batches into one file a track, and check the budget on what is read back."""
    fresh_directory(destination)
    index = []
    waiting: list[FloatArray] = []
    queue = iter(files)
    for track in segments.tracks:
        count = track.count(segments.length)
        while sum(len(piece) for piece in waiting) < count:
            waiting.append(np.load(next(queue))["adversarial"])
        joined = np.concatenate(waiting)
        path = destination / track.file
        write_array(path, joined[:count])
        waiting = [joined[count:]]
        fraction = budget_used(track, read_array(path), params)
        if fraction > 1:
            raise InputError(
                f"{path}: the stored perturbation is {fraction} times the budget, which is a fault "
                "of the attack; please report it with params.yaml"
            )
        index.append(
            {
                "name": track.name,
                "file": track.file,
                "segments": count,
                "sha256": sha256(path),
                "budget_used": fraction,
            }
        )
    return index


def budget_used(track: PreparedTrack, adversarial: FloatArray, params: Params) -> float:
    """Largest stored perturbation of a track as a fraction of the budget; at most 1 when kept."""
    largest = 0.0
    for part in batches(len(adversarial), CHECKED_AT_ONCE):
        mixture, _ = track.segments(params.segment_samples, part)
        stored = torch.from_numpy(np.array(adversarial[part]))
        largest = max(largest, used(budget_of(params.attack, mixture), mixture, stored))
    return largest


def _curve(segments: Segments, files: list[Path], params: Params) -> Curve:
    losses = np.concatenate([np.load(file)["losses"] for file in files])
    loud = segments.loud(params.segments.loud_db)
    names = [segments.tracks[segments.places[number][0]].name for number in loud]
    return [
        {
            "step": step,
            "loss": median_of_medians(
                (name, [losses[number, step]]) for name, number in zip(names, loud, strict=True)
            ),
        }
        for step in range(losses.shape[1])
    ]


def checked_adversarials(
    folder: Path,
    params: Params,
    data: PreparedData,
    source_sha256: str,
    shard: Shard = WHOLE,
) -> dict[str, Path]:
    """Files of the adversarial mixtures of this process's test tracks, by the track's file name.

    Raises:
        InputError: they were made with other parameters, another model or other data, or a
            file is damaged.
    """
    index = read_json(folder / INDEX)
    expected = {
        "attack": params.attack.model_dump(mode="json"),
        "source_sha256": source_sha256,
        "data": data.fingerprint,
    }
    for key, value in expected.items():
        if index.get(key) != value:
            raise InputError(
                f"{folder}: made with another {key}; run generate-pgd-adversarials again"
            )
    found = {}
    for entry in shard.items(index["tracks"]):
        path = folder / entry["file"]
        read_array(path)  # a missing or truncated file is named as such
        if sha256(path) != entry["sha256"]:
            raise InputError(f"{path}: damaged; run generate-pgd-adversarials again")
        found[entry["file"]] = path
    return found
