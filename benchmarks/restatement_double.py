"""The attack on Spleeter by the pipeline and by restated.py, both in double precision.

In single precision two codes that do the same end apart: sums that are added in another order
flip signs of a gradient, and after some steps an attack is somewhere else. Here rounding is too
small for that, and what is left is a difference of the codes. Needs prepared data and Spleeter's
model file:

    python benchmarks/restatement_double.py --steps 20
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from typer import Option

import restated_protocol
from project import PREPARED, Params
from restated import Task, load_spleeter, worst_in_box
from stemproof.attacks.case import Case
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.steps import Decaying
from stemproof.attacks.threat import excerpts_for, fitted, played_to
from stemproof.core.ending import one_line
from stemproof.core.params import TrainParams, load_params
from stemproof.data.store import PreparedData
from stemproof.separators.checkpoint import load
from stemproof.separators.protocol import Precise

SYSTEM = "spleeter"
CPU = torch.device("cpu")
app = typer.Typer(add_completion=False)


class Needs(Params):
    """Parameters: eps, the seed of the starts, and how recordings are cut."""

    train: TrainParams


@app.command()
def main(
    tracks: Annotated[list[int] | None, Option(help="numbers in the test split")] = None,
    steps: Annotated[int, Option(min=1, help="gradient steps")] = 20,
    threads: Annotated[int, Option(min=1, help="CPU threads")] = 2,
) -> None:
    """Attack every fifth test recording twice, and print a row for each."""
    torch.set_num_threads(threads)
    params = load_params(Needs)
    data, seed = PreparedData(PREPARED), params.train.seeds[0]
    file = Path("models") / SYSTEM / f"{seed}.safetensors"
    separator = fitted(load(file, params.attack.mask, CPU, False, (SYSTEM, seed)), data)
    assert isinstance(separator, Precise)
    doubled, restated = separator.doubled(), load_spleeter(CPU, torch.float64)
    played = played_to(separator, data.tracks("test"), params.attack)
    parts = excerpts_for(separator, played, params.segments, params.attack, data.sample_rate)
    attack = GradientAttack(negative_si_sdr, steps, 0.5, Decaying)
    eps = params.attack.eps
    print("| track | attacked: here, pipeline, off |\n|---|---|")
    for number in sorted(set(tracks or range(0, len(parts), 5))):
        mixture, vocals = (part.double() for part in parts.read([number]))
        seeds = [parts.seed(number, "attack", params.attack.seed)]
        found = attack(Case.of(doubled, mixture, vocals, params.attack.bound, seeds))
        there = -float(found.losses[0, -1])
        task = Task(restated, mixture[0], vocals[0])
        start = restated_protocol.start(task, eps, parts.track(number), params.attack.seed)
        here = worst_in_box(task, eps, steps, start)
        row = f"{here:.3f}, {there:.3f}, {here - there:+.3f}"
        print(f"| {parts.track(number)} | {row} |", flush=True)


if __name__ == "__main__":
    with one_line():
        app()
