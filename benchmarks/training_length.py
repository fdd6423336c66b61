"""What a training of RSVM is worth after so many epochs, on the validation split.

Figures and attack are those of params.yaml, on segments. A state is a copy of the file
`checkpoints/SYSTEM-SEED.ckpt` that a training keeps while it runs; prepared data are needed:

    python benchmarks/training_length.py --system improved --out length.csv kept/improved-*.ckpt
"""

from __future__ import annotations

import io
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
from stemproof.core.files import opened, write_csv
from stemproof.core.machine import ProcessParams
from stemproof.core.params import load_params
from stemproof.core.runtime import make_place
from stemproof.data.store import PreparedData
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import RSVM
from stemproof.separators.rsvm.params import RSVMSettings
from stemproof.separators.rsvm.separator import InformedRSVM, as_separator
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
    place = make_place(params.runtime, ProcessParams())
    data = PreparedData(PREPARED)
    rows = []
    for file in states:
        epoch, separator = of_state(file, system, params, place.device)
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
            rows.append((epoch, name, *shown))
            print(f"{system}, epoch {epoch}, {name}: {', '.join(shown)}", flush=True)
        write_csv(out, COLUMNS, [list(row) for row in sorted(rows)])


def of_state(
    file: Path, system: str, params: Params, device: torch.device
) -> tuple[int, InformedRSVM]:
    """Epochs of a training, and its model as a separator.

    Args:
        file: the state.
        system: a name under ``separators``.
        params: of the project.
        device: where to compute.

    Raises:
        InputError: the system is not of kind rsvm, or the state is not one of it.
    """
    _, variant = entry(params.separators, system)
    if not isinstance(variant, RSVMSettings):
        raise InputError(f"--system {system}: not of kind rsvm")
    model = RSVM(params.rsvm.sizes, variant, params.data.sample_rate, params.segment_samples)
    with opened(file) as stream:
        state = torch.load(io.BytesIO(stream.read()), map_location="cpu", weights_only=True)
    try:
        model.load_state_dict(state["model"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{file}: not a state of {system}: {error}") from None
    return len(state["curves"]), as_separator(model.to(device), params.attack.mask)


if __name__ == "__main__":
    with one_line():
        typer.run(main)
