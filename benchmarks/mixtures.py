"""What comes back of a mixture through RSVM's encoder and decoder, where only vocals are asked for?

The loss of RSVM (Mimilakis et al., 2020, eq. 6 and 7) wants vocals back; of the mixture it wants
nothing but a smooth code. An encoder that can tell the two apart may leave out of mixtures what it
likes, and what it leaves out no mask brings back. This prints the signal-to-noise ratio, in dB, of
vocals, accompaniment and mixture after encoder and decoder, on the segments of the validation
tracks that count; silence has 0 dB.

    python benchmarks/mixtures.py --system improved --out mixtures.csv kept/improved-*.ckpt
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
from stemproof.core.files import write_csv
from stemproof.core.machine import ProcessParams
from stemproof.core.params import load_params
from stemproof.core.runtime import make_place
from stemproof.data.store import PreparedData, PreparedTrack, loud_mask
from stemproof.figures.medians import median_of_medians
from stemproof.figures.si_sdr import snr
from stemproof.separators.rsvm.separator import InformedRSVM
from training_length import of_state

SIGNALS = ("vocals", "accompaniment", "mixture")


def main(
    states: Annotated[list[Path], Argument(help="states of one training")],
    system: Annotated[str, Option(help="a name under `separators`")],
    out: Annotated[Path, Option(help="a table; one row a state")],
) -> None:
    """Measure what comes back of the three signals in every state."""
    params = load_params(Params)
    device = make_place(params.runtime, ProcessParams()).device
    tracks = PreparedData(PREPARED).tracks("valid")
    rows = []
    for file in states:
        epoch, separator = of_state(file, system, params, device)
        each = [(track.name, returned(track, separator, params, device)) for track in tracks]
        figures = [
            median_of_medians((name, found[signal]) for name, found in each) for signal in SIGNALS
        ]
        rows.append([epoch, *(f"{figure:.4f}" for figure in figures)])
        print(f"{system}, epoch {epoch}: {', '.join(map(str, rows[-1][1:]))}", flush=True)
    write_csv(out, ["epoch", *SIGNALS], sorted(rows))


def returned(
    track: PreparedTrack, separator: InformedRSVM, params: Params, device: torch.device
) -> dict[str, Tensor]:
    """SNR in dB of what comes back of each signal, one per segment of a track that counts."""
    mixture, vocals = track.segments(params.segment_samples)
    loud = loud_mask(vocals[:, 0].numpy(), params.segments.loud_db)
    mixture, vocals = (part[loud].to(device) for part in (mixture, vocals))
    found = {}
    for name, signal in zip(SIGNALS, (vocals, mixture - vocals, mixture), strict=True):
        with torch.no_grad():
            back = separator.reconstruct(signal)
        found[name] = snr(signal.flatten(1), (signal - back).flatten(1)).cpu()
    return found


if __name__ == "__main__":
    with one_line():
        typer.run(main)
