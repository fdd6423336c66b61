"""What was crafted on one model, played to another: perturbations belong to recordings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stemproof.attacks.stored import Adversarials
from stemproof.auditing.bench import Bench
from stemproof.auditing.material import Material, Values
from stemproof.auditing.scores import lost
from stemproof.core.files import read_array
from stemproof.data.excerpts import Excerpts, Place
from stemproof.data.store import MIXTURE


def as_heard(stored: Adversarials, material: Material) -> tuple[Tensor, Values]:
    """What was crafted on one system, as another system hears it.

    A perturbation of all channels reaches a system in mono as their mean; one that was crafted in
    mono is added to every channel, which does not change its largest sample. Where the other
    system attacked nothing of a track, as in a rest behind the last segment, nothing is added.

    Args:
        stored: the adversarials of the first.
        material: the parts that the second hears, of prepared data.

    Returns:
        Mixtures, parts x samples, and which parts have a perturbation (one truth a part).
    """
    excerpts = material.excerpts
    assert excerpts is not None
    heard, known = material.mixture.clone(), np.zeros(len(material.tracks), dtype=bool)
    for number, place in enumerate(excerpts.places):
        file = stored.files.get(excerpts.tracks[place.track].file)
        if file is None:
            continue
        known[number] = True
        mixture = heard[number]
        attacked = _attacked(file, excerpts, place, mixture.shape[0]).to(mixture)
        mixture[..., : attacked.shape[-1]] = attacked
    return heard.flatten(1), known


def _attacked(file: Path, excerpts: Excerpts, place: Place, channels: int) -> Tensor:
    """The attacked part of a recording, in so many channels, as far as it was attacked."""
    stored = read_array(file)
    adversarial = torch.from_numpy(np.array(stored[:, place.start : place.stop]))
    samples = adversarial.shape[-1]
    if len(adversarial) == channels:
        return adversarial
    track = excerpts.tracks[place.track]
    recording = torch.from_numpy(track.read(MIXTURE, place.start, samples))
    mono = torch.from_numpy(track.mono(MIXTURE, place.start, samples))[None]
    if channels == 1:
        return mono + (adversarial - recording).mean(0, keepdim=True)
    return recording + (adversarial - mono)


def played_across(
    benches: Mapping[str, Bench], stored: Mapping[str, Adversarials]
) -> dict[str, dict[str, dict[str, float]]]:
    """What every model (outer key) loses by what was crafted on every model (inner key).

    Returns:
        ``drop``: median loss of SI-SDR in dB; ``gain``: by how much more than by what was crafted
        on the model itself, on the same parts; ``parts``: on how many.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name, bench in benches.items():
        clean = bench.outcome(bench.mixture)
        found: dict[str, Values] = {}
        for source, adversarials in stored.items():
            heard, known = as_heard(adversarials, bench.material)
            found[source] = np.where(known, bench.outcome(heard), np.nan)
        own = found[name]
        result[name] = {
            source: {
                "drop": bench.material.median(lost(clean, reached)),
                "gain": bench.material.median(lost(own, reached)),
                "parts": int(np.isfinite(lost(clean, reached)).sum()),
            }
            for source, reached in found.items()
        }
    return result


def other_mask(fixed: Bench, recomputed: Bench) -> dict[str, dict[str, float]]:
    """AT-BS of a model with either kind of mask (inner key) under the attack on either.

    The recomputed mask is attacked through a straight-through gradient. The fixed one needs none:
    it is the undefended twin, and what is crafted on it is played to the other.
    """
    benches = {"fixed": fixed, "recomputed": recomputed}
    crafted = {name: bench.own() for name, bench in benches.items()}
    return {
        source: {
            name: bench.material.median(bench.outcome(found)) for name, bench in benches.items()
        }
        for source, found in crafted.items()
    }
