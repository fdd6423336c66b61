"""The folder of adversarial mixtures against one model: what it holds, and that it is whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemproof.attacks.budgets import used
from stemproof.attacks.params import AttackParams
from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray, read_array, read_json, sha256
from stemproof.core.params import first_difference
from stemproof.core.shards import WHOLE, Shard
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData

INDEX = "index.json"
CURVE = "curve.csv"
UNIVERSAL = "universal.npy"
SYSTEM = "system.safetensors"
FORMAT = 2
CHECKED_AT_ONCE = 64  # segments, in double precision


@dataclass(frozen=True)
class Adversarials:
    """What was found for one model, verified.

    Attributes:
        folder: where it is.
        files: of this process's tracks, by the file name of the track.
        model: file of the system that was attacked.
        model_sha256: its hash.
        budget_used: largest stored perturbation of any track as a fraction of the budget.
        gate: what the gate before the attack found (:meth:`stemproof.attacks.gate.Gate.document`).
    """

    folder: Path
    files: dict[str, Path]
    model: Path
    model_sha256: str
    budget_used: float
    gate: Mapping[str, Any]

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
        gate = {"passed": bool(index["gate"]["passed"]), "checks": list(index["gate"]["checks"])}
    except (LookupError, TypeError, ValueError):
        raise InputError(
            f"{folder / INDEX}: damaged; run generate-pgd-adversarials again"
        ) from None
    for name, digest in hashes.items():
        if sha256(folder / name) != digest:
            raise InputError(f"{folder / name}: damaged; run generate-pgd-adversarials again")
    return Adversarials(folder, files, folder / SYSTEM, hashes[SYSTEM], largest, gate)


def budget_used(
    excerpts: Excerpts, track: int, adversarial: FloatArray, params: AttackParams
) -> float:
    """Largest stored perturbation of a track as a fraction of the budget; at most 1 when kept.

    Args:
        excerpts: the parts that were attacked.
        track: number of the track.
        adversarial: its attacked parts, one after the other, channels x samples.
        params: the section ``attack``.
    """
    largest = 0.0
    for chosen in excerpts.batches(excerpts.of_track(track), CHECKED_AT_ONCE):
        mixture, _ = excerpts.read(chosen)
        clean, stored = mixture.flatten(1), parts_of(excerpts, chosen, adversarial).flatten(1)
        largest = max(largest, used(params.bound.budget(clean), clean, stored))
    return largest


def parts_of(excerpts: Excerpts, numbers: Sequence[int], recording: FloatArray) -> Tensor:
    """Some parts of one length of a track, cut out of what stands for the whole track.

    Args:
        excerpts: the parts.
        numbers: which of them; all of one track.
        recording: channels x samples.

    Returns:
        Parts x channels x samples.
    """
    cuts = [recording[:, p.start : p.stop] for p in (excerpts.places[n] for n in numbers)]
    return torch.from_numpy(np.stack(cuts))
