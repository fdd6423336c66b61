"""What was crafted on one system, played to all others, on every test track, with intervals.

The audit asks that of a few parts; this is the same of all of them, which takes minutes where the
attacks are stored (`generate-pgd-adversarials`) and hours where they are not. Run it in a project.

    python benchmarks/transfer_matrix.py baseline spleeter unmix --csv transfer.csv
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from typer import Argument, Option

from project import PREPARED, Params
from stemproof.attacks.noise import signs
from stemproof.attacks.stored import open_adversarials
from stemproof.attacks.threat import fitted, threat_of
from stemproof.auditing.bench import Bench
from stemproof.auditing.material import choose_material
from stemproof.auditing.params import AuditParams
from stemproof.auditing.scores import figure
from stemproof.auditing.transfer import as_heard
from stemproof.core.ending import one_line
from stemproof.core.files import write_text
from stemproof.core.machine import ProcessParams
from stemproof.core.params import TrainParams, load_params
from stemproof.core.runtime import make_place
from stemproof.data.store import PreparedData
from stemproof.figures.medians import track_medians
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import bootstrap, median
from stemproof.separators.checkpoint import load

NOISE = "random signs"
EVERY = AuditParams(segments=100_000, sparse_samples=0)
ADVERSARIAL = Path("data/adversarial")


class Needs(Params):
    """Parameters of this command."""

    train: TrainParams


def main(
    systems: Annotated[list[str], Argument(help="names under `systems`, with a stored attack")],
    csv: Annotated[Path | None, Option(help="where losses per track are written")] = None,
) -> None:
    """Print the median loss of SI-SDR in dB: a row a system that hears, a column a source."""
    params = load_params(Needs)
    device = make_place(params.runtime, ProcessParams()).device
    data, seed = PreparedData(PREPARED), params.train.seeds[0]
    stored = {
        name: open_adversarials(
            ADVERSARIAL / name / str(seed), params.attack, params.segments, data
        )
        for name in systems
    }
    tables = []
    print(f"| played to | crafted on {' | crafted on '.join(systems)} | {NOISE} |")
    print(f"|---{'|---' * (len(systems) + 1)}|")
    for name in systems:
        file = stored[name].model
        compiled = params.runtime.compile
        system = load(file, params.attack.mask, device, compiled, (name, seed))
        separator = fitted(system, data)
        sections = (EVERY, params.attack, params.segments, data, "test")
        material = choose_material(*sections, separator, device)
        bench = Bench(separator, material, material, params.attack)
        clean = figure(bench.outcome(bench.mixture))
        losses: dict[str, dict[str, float]] = {}
        for source, adversarials in stored.items():
            heard, known = as_heard(adversarials, material)
            reached = bench.outcome(heard)
            # What has collapsed lost more than any number; where nothing was crafted, nothing is.
            lost = np.where(known, clean - reached, np.nan)
            losses[source] = track_medians(material.tracks, lost, ordered=True)
        noisy = bench.under_noise(NOISE, signs, 1)[0]
        losses[NOISE] = track_medians(material.tracks, clean - noisy, ordered=True)
        cells = [_shown(list(of.values())) for of in losses.values()]
        print(f"| {name} ({threat_of(separator)}) | {' | '.join(cells)} |", flush=True)
        table = pd.DataFrame(losses).rename_axis("track")
        tables.append(table.assign(played_to=name).set_index("played_to", append=True))
    if csv is not None:
        write_text(csv, pd.concat(tables).to_csv(float_format="%.6g"))


def _shown(lost: list[float]) -> str:
    own = StatisticsParams()
    found = bootstrap(
        median,
        np.array(lost),
        resamples=own.bootstrap,
        confidence=own.confidence,
        seed=own.seed,
    )
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    with one_line():
        typer.run(main)
