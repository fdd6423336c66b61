"""Sweep eps and the number of steps on the validation split.

How the default of `attack.eps` and `attack.pgd.steps` was found; see docs/attack-budget.md. Needs
prepared data and a trained model:

    python benchmarks/attack_budget.py --eps 0.001 0.002 --steps 10 20
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from project import PREPARED, Params
from stemproof.attacks.build import build_attack
from stemproof.attacks.craft import case_of
from stemproof.attacks.params import AttackParams, AttackSection
from stemproof.core.batches import batches
from stemproof.core.machine import ProcessParams
from stemproof.core.params import TrainParams, load_params, validate
from stemproof.core.runtime import make_fabric
from stemproof.data.excerpts import Excerpts
from stemproof.data.store import PreparedData
from stemproof.figures.medians import median_of_medians
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.checkpoint import load
from stemproof.separators.protocol import Separator


class Needs(Params):
    """Parameters of the sweep."""

    train: TrainParams


def main() -> None:
    """Print BS, AT-BS, RB and the paired drop for every pair of eps and steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", default="baseline")
    parser.add_argument("--eps", type=float, nargs="+", required=True)
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    options = parser.parse_args()
    params = load_params(Needs)
    device = make_fabric(params.runtime, ProcessParams()).device
    seed = params.train.seeds[0]
    file = Path("models") / options.system / f"{seed}.safetensors"
    identity = options.system, seed
    separator = load(file, params.attack.mask, device, params.runtime.compile, identity)
    data = PreparedData(PREPARED)
    segments = Excerpts.segments(data.tracks("valid"), params.segments.samples(data.sample_rate))
    loud = segments.loud(params.segments.loud_db)
    names = [segments.track(number) for number in loud]
    print("| eps | steps | BS | AT-BS | RB | paired drop |\n|---|---|---|---|---|---|")
    for eps in options.eps:
        for steps in options.steps:
            attack = changed(params.attack, eps, steps)
            bs, at_bs = attacked(attack, separator, segments, loud, device)
            figures = [
                median_of_medians((name, [v]) for name, v in zip(names, values, strict=True))
                for values in (bs, at_bs, bs - at_bs)
            ]
            row = f"{figures[0]:.3f} | {figures[1]:.3f} | {figures[0] - figures[1]:.3f}"
            print(f"| {eps:g} | {steps} | {row} | {figures[2]:.3f} |", flush=True)


def changed(attack: AttackParams, eps: float, steps: int) -> AttackParams:
    """PGD with another budget and another number of steps."""
    tree = attack.model_dump(mode="json")
    tree |= {"method": "pgd", "norm": "linf", "eps": eps, "pgd": {**tree["pgd"], "steps": steps}}
    return validate(AttackSection, tree, "--eps and --steps: attack")


def attacked(
    attack: AttackParams,
    separator: Separator,
    segments: Excerpts,
    numbers: list[int],
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """SI-SDR in dB of some segments, clean and attacked."""
    method = build_attack(attack)
    clean, worst = [], []
    for part in batches(len(numbers), attack.batch):
        case = case_of(attack, separator, segments, numbers[part], device)
        found = method(case)
        with torch.no_grad():
            clean.append(si_sdr(case.vocals, case.separate(case.mixture)).cpu())
            worst.append(si_sdr(case.vocals, case.separate(found.adversarial)).cpu())
    return torch.cat(clean).numpy(), torch.cat(worst).numpy()


if __name__ == "__main__":
    main()
