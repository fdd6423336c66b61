"""What a training of RSVM is worth after so many epochs, on the validation split.

Figures and attack are those of params.yaml, on segments. A state is a copy of the file
`checkpoints/SYSTEM-SEED.ckpt` that a training keeps while it runs; prepared data are needed:

    python benchmarks/training_length.py --system improved --out length.csv kept/improved-*.ckpt
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from typer import Argument, Option

from attack_budget import attacked, median
from project import PREPARED, Params
from stemproof.attacks.threat import excerpts_for
from stemproof.core.ending import one_line
from stemproof.core.errors import InputError
from stemproof.core.files import write_csv
from stemproof.core.machine import ProcessParams
from stemproof.core.params import load_params
from stemproof.core.runtime import make_place
from stemproof.data.store import PreparedData
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import RSVM
from stemproof.separators.rsvm.params import RSVMSettings
from stemproof.separators.rsvm.separator import as_separator
from stemproof.separators.validation import validate

COLUMNS = ["epoch", "split", "si_sdr", "bs", "at_bs", "rb", "drop"]


def main(
    states: Annotated[list[Path], Argument(help="states of one training")],
    system: Annotated[str, Option(help="a name under `separators`")],
    out: Annotated[Path, Option(help="a table; one row a state and split")],
    split: Annotated[list[str] | None, Option(help="valid, train; valid by default")] = None,
) -> None:
    """Measure BS, AT-BS, RB, the paired drop and the reconstruction of every state."""
    params = load_params(Params)
    _, variant = entry(params.separators, system)
    if not isinstance(variant, RSVMSettings):
        raise InputError(f"--system {system}: not of kind rsvm")
    place = make_place(params.runtime, ProcessParams())
    data = PreparedData(PREPARED)
    rows = []
    for file in states:
        state = torch.load(file, map_location="cpu", weights_only=True)
        model = RSVM(params.rsvm.sizes, variant, data.sample_rate, params.segment_samples)
        model.load_state_dict(state["model"])
        separator = as_separator(model.to(place.device), params.attack.mask)
        for name in split or ["valid"]:
            tracks = data.tracks(name)
            held = validate(separator, tracks, params.segments, place.device)["valid_si_sdr"]
            parts = excerpts_for(
                separator, tracks, params.segments, params.attack, data.sample_rate
            )
            loud = parts.loud(params.segments.loud_db)
            names = [parts.track(number) for number in loud]
            clean, worst = attacked(params.attack, separator, parts, loud, place.device)
            bs, at_bs = median(names, clean), median(names, worst)
            figures = [held, bs, at_bs, bs - at_bs, median(names, clean - worst)]
            shown = [f"{figure:.4f}" for figure in figures]
            epoch = len(state["curves"])
            rows.append((epoch, name, *shown))
            print(f"{system}, epoch {epoch}, {name}: {', '.join(shown)}", flush=True)
        write_csv(out, COLUMNS, [list(row) for row in sorted(rows)])


if __name__ == "__main__":
    with one_line():
        typer.run(main)
