"""The folder of adversarial mixtures against one model: what it holds, and that it is whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, JsonValue, model_validator
from torch import Tensor

from stemproof.attacks.budgets import used
from stemproof.attacks.params import AttackParams
from stemproof.attacks.threat import excerpts_for, played_to
from stemproof.core.documents import (
    ABSENT,
    Count,
    Document,
    GateFound,
    Hash,
    Part,
    read_document,
)
from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray, read_array, sha256
from stemproof.core.params import first_difference
from stemproof.core.shards import WHOLE, Shard
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData, too_loud
from stemproof.separators.protocol import Separator

INDEX = "index.json"
CURVE = "curve.csv"
UNIVERSAL = "universal.npy"
SYSTEM = "system.safetensors"
FORMAT = 2
AGAIN = "run generate-pgd-adversarials again"
ROUNDING = 1e-9  # of the budget: sums of squares depend on the number of threads
CHECKED_AT_ONCE = 64  # segments, in double precision


class Entry(Part):
    """One track: its attacked parts, one after the other."""

    name: str
    file: Annotated[str, Field(pattern=r"^[^/\\]+\.npy$")]
    parts: Count
    sha256: Hash
    budget_used: Annotated[float, Field(ge=0)]


class Index(Document):
    """``index.json``."""

    formats = (FORMAT, FORMAT)
    cure = AGAIN

    threat: Literal["informed", "blind"]
    gate: GateFound
    attack: dict[str, JsonValue]
    segments: dict[str, JsonValue]
    data: str
    model_sha256: Hash
    universal_sha256: Hash = ABSENT
    tracks: Annotated[list[Entry], Field(min_length=1)]

    @model_validator(mode="after")
    def _named_once(self) -> Index:
        if len({entry.file for entry in self.tracks}) < len(self.tracks):
            raise ValueError("a file of a track stands there twice")
        return self


@dataclass(frozen=True)
class Adversarials:
    """What was found for one model, verified.

    Attributes:
        folder: where it is.
        files: of this process's tracks, by the file name of the track.
        model: file of the system that was attacked.
        model_sha256: its hash.
        budget_used: largest stored perturbation of any track as a fraction of the budget, as the
            index has it; :func:`measured` looks at the audio.
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
    index = read_document(folder / INDEX, Index)
    expected = {
        "attack": params.model_dump(mode="json"),
        "segments": cut.model_dump(mode="json"),
        "data": data.fingerprint,
    }
    difference = first_difference(index, expected)
    if difference:
        raise InputError(f"{folder}: made with {difference}; {AGAIN}")
    entries = shard.items(index["tracks"])
    files = {entry["file"]: folder / entry["file"] for entry in entries}
    hashes = {SYSTEM: index["model_sha256"]}
    if index.get("universal_sha256"):
        hashes[UNIVERSAL] = index["universal_sha256"]
    hashes |= {entry["file"]: entry["sha256"] for entry in entries}
    for name, digest in hashes.items():
        if sha256(folder / name) != digest:
            raise InputError(f"{folder / name}: damaged; {AGAIN}")
    largest = max(entry["budget_used"] for entry in index["tracks"])
    return Adversarials(folder, files, folder / SYSTEM, hashes[SYSTEM], largest, index["gate"])


def measured(
    adversarials: Adversarials,
    separator: Separator,
    params: AttackParams,
    cut: SegmentParams,
    data: PreparedData,
) -> Adversarials:
    """The same, after the budget was measured on every track.

    Args:
        adversarials: what :func:`open_adversarials` gave for all tracks.
        separator: the system that was attacked.
        params: the section ``attack``.
        cut: the section ``segments``.
        data: prepared data.

    Raises:
        InputError: as :func:`read_stored`.
    """
    tracks = played_to(separator, data.tracks("test"), params)
    excerpts = excerpts_for(separator, tracks, cut, params, data.sample_rate)
    used = [read_stored(adversarials, excerpts, n, params)[1] for n in range(len(tracks))]
    return replace(adversarials, budget_used=max(used))


def read_stored(
    adversarials: Adversarials, excerpts: Excerpts, number: int, params: AttackParams
) -> tuple[FloatArray, float]:
    """The attacked parts of a track, and which fraction of the budget they use, measured on them.

    Args:
        adversarials: of the model.
        excerpts: the parts that were attacked.
        number: of the track.
        params: the section ``attack``.

    Raises:
        InputError: there are none, they are of other parts, hold what is not a number, or exceed
            the budget.
    """
    track, parts = excerpts.tracks[number], excerpts.of_track(number)
    file = adversarials.files.get(track.file)
    stored = None if file is None else read_array(file)
    shape = excerpts.channels, excerpts.places[parts[-1]].stop if parts else 0
    if file is None or stored is None or stored.shape != shape:
        raise InputError(f"no adversarials for {track.name}; {AGAIN}")
    fraction = budget_used(excerpts, number, stored, params)
    if math.isnan(fraction):
        raise InputError(f"{file}: holds samples that are not numbers; {AGAIN}")
    if fraction > 1 + ROUNDING:
        advice = too_loud([track]) or AGAIN
        raise InputError(f"{file}: {fraction:.6g} times the budget of attack.norm; {advice}")
    return stored, fraction


def budget_used(
    excerpts: Excerpts, track: int, adversarial: FloatArray, params: AttackParams
) -> float:
    """Largest stored perturbation of a track as a fraction of the budget; at most 1 when kept.

    NaN where a sample is not a number.

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
        found = used(params.bound.budget(clean), clean, stored)
        largest = float(np.maximum(largest, found))  # NaN stays
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
