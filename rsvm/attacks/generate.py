"""Attack every test segment and store the adversarial mixtures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from rsvm.attacks.gradient import GradientAttack
from rsvm.attacks.norms import make_budget, used
from rsvm.attacks.objectives import OBJECTIVES
from rsvm.attacks.steps import STEP_RULES
from rsvm.data.store import PreparedData, PreparedTrack, loud_mask
from rsvm.errors import InputError
from rsvm.files import (
    FloatArray,
    fingerprint,
    fresh_directory,
    read_array,
    read_json,
    sha256,
    write_array,
    write_json,
    written_aside,
)
from rsvm.params import AttackParams, Params
from rsvm.separator import Separator, batches
from rsvm.stats import median_of_medians

INDEX = "index.json"
Curve = list[dict[str, float]]


@dataclass(frozen=True)
class Victim:
    """Who is attacked, and with whose gradients."""

    name: str
    source: Separator
    source_sha256: str


def build_attack(attack: AttackParams) -> GradientAttack:
    """The attack that the parameters describe."""
    return GradientAttack(
        objective=OBJECTIVES[attack.loss],
        steps=attack.steps,
        step_size=attack.step_size,
        rule=STEP_RULES[attack.step_rule],
        random_start=attack.random_start,
        restarts=attack.restarts,
        samples=attack.eot_samples,
    )


def generate(
    params: Params,
    victim: Victim,
    data: PreparedData,
    device: torch.device,
    destination: Path,
    scratch: Path,
) -> Curve:
    """Attack the test split for one variant.

    Finished batches stand in ``scratch`` until all are done, so that a run that was killed
    goes on where it stopped; the caller deletes the folder when everything is stored.

    Args:
        params: the whole tree.
        victim: the variant, and the separator whose gradients are used.
        data: prepared data.
        device: where to compute.
        destination: one ``.npy`` a track (segments x samples, adversarial mixtures) and an
            index with the SHA-256 of each.
        scratch: folder for unfinished work.

    Returns:
        The worst loss so far after each step: median over loud segments, then over tracks.
    """
    tracks = data.tracks("test")
    cuts = [track.segments(params.segment_samples) for track in tracks]
    where = [(t, s) for t, (mixture, _) in enumerate(cuts) for s in range(len(mixture))]
    settings = params.attack.model_dump(mode="json")
    run = fingerprint(
        settings,
        victim.source_sha256,
        data.fingerprint,
        params.segment_samples,
        params.runtime.model_dump(mode="json"),
    )
    scratch = scratch / f"{victim.name}-{run[:16]}"
    scratch.mkdir(parents=True, exist_ok=True)
    progress = tqdm(total=len(where), desc=f"attack {victim.name}", unit="segment")
    files = []
    for number, part in enumerate(batches(len(where), params.attack.batch)):
        file = scratch / f"{number:06d}.npz"
        if not file.exists():
            mixture = torch.stack([cuts[t][0][s] for t, s in where[part]])
            vocals = torch.stack([cuts[t][1][s] for t, s in where[part]])
            # One seed a batch: random starts do not depend on where a run resumed.
            generator = torch.Generator().manual_seed(params.attack.seed * 1_000_003 + number)
            _attack_batch(params.attack, victim.source, mixture, vocals, device, generator, file)
        files.append(file)
        progress.update(part.stop - part.start)
    progress.close()
    index = _store(tracks, files, destination, params)
    write_json(
        destination / INDEX,
        {
            "variant": victim.name,
            "attack": settings,
            "source_sha256": victim.source_sha256,
            "data": data.fingerprint,
            "tracks": index,
        },
    )
    return _curve(tracks, cuts, where, files, params)


def _attack_batch(
    attack: AttackParams,
    separator: Separator,
    mixture: Tensor,
    vocals: Tensor,
    device: torch.device,
    generator: torch.Generator,
    file: Path,
) -> None:
    mixture, vocals = mixture.to(device), vocals.to(device)
    torch.manual_seed(generator.initial_seed())  # for a system that is random at test time
    context = separator.context(mixture, vocals)
    budget = make_budget(attack.norm, mixture, attack.eps, attack.snr)
    adversarial, losses = build_attack(attack)(
        separator, mixture, vocals, context, budget, generator
    )
    with written_aside(file) as temporary:
        np.savez(temporary, adversarial=adversarial.cpu().numpy(), losses=losses.cpu().numpy())


def _store(
    tracks: list[PreparedTrack], files: list[Path], destination: Path, params: Params
) -> list[dict[str, Any]]:
    """Regroup batches into one file a track, and check the budget on what is read back."""
    fresh_directory(destination)
    index = []
    waiting: list[FloatArray] = []
    queue = iter(files)
    for track in tracks:
        count = track.audio.shape[1] // params.segment_samples
        while sum(len(piece) for piece in waiting) < count:
            waiting.append(np.load(next(queue))["adversarial"])
        joined = np.concatenate(waiting)
        path = destination / track.file
        write_array(path, joined[:count])
        waiting = [joined[count:]]
        fraction = budget_used(track, read_array(path), params)
        if fraction > 1:
            raise RuntimeError(f"{path}: the stored perturbation is {fraction} times the budget")
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
    mixture, _ = track.segments(params.segment_samples)
    attack = params.attack
    budget = make_budget(attack.norm, mixture, attack.eps, attack.snr)
    return used(budget, mixture, torch.from_numpy(np.array(adversarial)))


def _curve(
    tracks: list[PreparedTrack],
    cuts: list[tuple[Tensor, Tensor]],
    where: list[tuple[int, int]],
    files: list[Path],
    params: Params,
) -> Curve:
    losses = np.concatenate([np.load(file)["losses"] for file in files])
    loud = [loud_mask(vocals.numpy(), params.segments.loud_db) for _, vocals in cuts]
    chosen = [number for number, (t, s) in enumerate(where) if loud[t][s]]
    names = [tracks[where[number][0]].name for number in chosen]
    return [
        {
            "step": step,
            "loss": median_of_medians(
                (name, [losses[number, step]]) for name, number in zip(names, chosen, strict=True)
            ),
        }
        for step in range(losses.shape[1])
    ]


def load_adversarials(
    folder: Path, params: Params, data: PreparedData, source_sha256: str
) -> dict[str, FloatArray]:
    """Adversarial mixtures of every test track, by the track's file name.

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
    for entry in index["tracks"]:
        path = folder / entry["file"]
        found[entry["file"]] = read_array(path)
        if sha256(path) != entry["sha256"]:
            raise InputError(f"{path}: damaged; run generate-pgd-adversarials again")
    return found
