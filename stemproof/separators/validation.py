"""Figures of a separator on the validation split, as training shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stemproof.core.shards import WHOLE, Shard
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedTrack
from stemproof.figures.medians import median_of_medians
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.protocol import Reconstructing, Separator, separated, side_of

BATCH = 16  # segments


def validate(
    separator: Separator,
    tracks: Sequence[PreparedTrack],
    segments: SegmentParams,
    device: torch.device | str = "cpu",
    shard: Shard = WHOLE,
) -> dict[str, float]:
    """SI-SDR of the separation, and of the reconstruction where there is one.

    Args:
        separator: the system, as it shall be validated.
        tracks: of the validation split.
        segments: how they are cut.
        device: where to compute.
        shard: which of the processes this is; all of them get the whole result.

    Returns:
        ``valid_si_sdr`` (only of a system that reconstructs) and ``valid_bs``, medians of medians
        in dB.
    """
    length = segments.samples(separator.sample_rate)
    reconstruction, separation = [], []
    for track in shard.items(tracks):
        excerpts = Excerpts.segments([track], length, separator.channels)
        loud = excerpts.loud(segments.loud_db)
        held: list[Tensor] = [torch.empty(0, device=device)]
        parts: list[Tensor] = [torch.empty(0, device=device)]
        for chosen in excerpts.batches(loud, BATCH):
            x, s = excerpts.read(chosen, device)
            with torch.no_grad():
                estimate = separated(separator, x, side_of(separator, x, s))
            if isinstance(separator, Reconstructing):
                held.append(si_sdr(s.flatten(1), separator.reconstruct(s).flatten(1)))
            parts.append(si_sdr(s.flatten(1), estimate.flatten(1)))
        # A track without a loud segment is an entry without figures.
        reconstruction.append((track.name, torch.cat(held).cpu().numpy()))
        separation.append((track.name, torch.cat(parts).cpu().numpy()))
    row = {}
    if isinstance(separator, Reconstructing):
        row["valid_si_sdr"] = median_of_medians(shard.gathered(reconstruction))
    row["valid_bs"] = median_of_medians(shard.gathered(separation))
    return row


def beside_bar(
    epoch: int, epochs: int, now: Mapping[str, float], curves: Sequence[Mapping[str, float]]
) -> dict[str, str]:
    """What stands beside the bar of a training.

    Args:
        epoch: which one is under way; the first is 0.
        epochs: of how many.
        now: losses of a step.
        curves: a row for each epoch that is done.
    """
    last = curves[-1] if curves else {}
    shown = {**now, **{key: figure for key, figure in last.items() if key.startswith("valid_")}}
    said = {key: f"{figure:.3f}" for key, figure in shown.items()}
    return {"epoch": f"{epoch + 1}/{epochs}", **said}
