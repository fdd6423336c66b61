"""Why does the reconstruction of RSVM end where it ends: data, or what is counted?

SI-SDR of the true vocals through encoder and decoder, of the training, validation and test tracks
of prepared data, counted in three ways. A model that has learned all there is to learn from its
training tracks, and lacks data, is much better on them than on others.

    python benchmarks/reconstruction.py --system baseline checkpoints/baseline-218.ckpt
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor
from typer import Argument, Option

from project import PREPARED, Params
from stemproof.core.ending import one_line
from stemproof.core.machine import ProcessParams
from stemproof.core.params import load_params
from stemproof.core.runtime import make_place
from stemproof.data.store import VOCALS, PreparedData, PreparedTrack, loud_mask
from stemproof.figures.medians import median_of_medians
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.rsvm.separator import InformedRSVM
from training_length import of_state

SPLITS = ("train", "valid", "test")
WAYS = ("segments that count", "all segments with vocals", "whole tracks")


def main(
    state: Annotated[Path, Argument(help="state of a training")],
    system: Annotated[str, Option(help="a name under `separators`")],
) -> None:
    """Print a row a way of counting, and a column a split."""
    params = load_params(Params)
    device = make_place(params.runtime, ProcessParams()).device
    data = PreparedData(PREPARED)
    epoch, separator = of_state(state, system, params, device)
    print(f"{system}, {epoch} epochs\n\n| SI-SDR of | {' | '.join(SPLITS)} |\n|---|---|---|---|")
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for split in SPLITS:
        tracks = data.tracks(split)
        values = [counted(track, separator, params, device) for track in tracks]
        names = [track.name for track in tracks]
        for number, way in enumerate(WAYS):
            rows = ((name, value[number]) for name, value in zip(names, values, strict=True))
            found[way].append(median_of_medians(rows))
    for way, row in found.items():
        print(f"| {way} | {' | '.join(f'{figure:.2f}' for figure in row)} |")


def counted(
    track: PreparedTrack, separator: InformedRSVM, params: Params, device: torch.device
) -> list[list[float]]:
    """SI-SDR in dB of one track, in the three ways; segments without vocals have none."""
    _, vocals = track.segments(params.segment_samples)
    whole = torch.from_numpy(track.mono(VOCALS, 0, track.samples))[None, None]
    each = reconstructed(vocals, separator, device)
    loud = loud_mask(vocals[:, 0].numpy(), params.segments.loud_db)
    sounding = vocals.flatten(1).any(dim=1).numpy()
    return [
        each[loud].tolist(),
        each[sounding].tolist(),
        reconstructed(whole, separator, device).tolist() if sounding.any() else [],
    ]


def reconstructed(vocals: Tensor, separator: InformedRSVM, device: torch.device) -> Tensor:
    """SI-SDR in dB of what comes back of vocals, batch x 1 x samples."""
    vocals = vocals.to(device)
    with torch.no_grad():
        heard = separator.reconstruct(vocals)
    return si_sdr(vocals.flatten(1), heard.flatten(1)).cpu()


if __name__ == "__main__":
    with one_line():
        typer.run(main)
