"""Sweep eps and the number of steps, on the validation split unless --split says otherwise.

How the defaults of `attack.eps`, `attack.pgd.steps` and `breaks.steps` were found; see
docs/attack-budget.md. Needs prepared data and a model:

    python benchmarks/attack_budget.py --eps 0.001 0.002 --steps 10 20
    python benchmarks/attack_budget.py --system spleeter --parts 4 --break-steps 5 10 20 40
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from project import PREPARED, Params
from stemproof.attacks.breakpoints import BreakPoints
from stemproof.attacks.build import build_attack
from stemproof.attacks.craft import case_of
from stemproof.attacks.params import AttackParams, AttackSection
from stemproof.attacks.threat import excerpts_for, fitted, played_to
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
    parser.add_argument("--eps", type=float, nargs="+", default=[])
    parser.add_argument("--steps", type=int, nargs="+", default=[])
    parser.add_argument("--break-steps", type=int, nargs="+", default=[])
    parser.add_argument("--parts", type=int, help="spread over the split; all by default")
    parser.add_argument("--split", default="valid", choices=("valid", "test"))
    parser.add_argument("--track", help="its name; all of the split by default")
    options = parser.parse_args()
    params = load_params(Needs)
    device = make_fabric(params.runtime, ProcessParams()).device
    seed = params.train.seeds[0]
    file = Path("models") / options.system / f"{seed}.safetensors"
    identity = options.system, seed
    data = PreparedData(PREPARED)
    separator = load(file, params.attack.mask, device, params.runtime.compile, identity)
    separator = fitted(separator, data)
    tracks = played_to(separator, data.tracks(options.split), params.attack)
    parts = excerpts_for(separator, tracks, params.segments, params.attack, data.sample_rate)
    loud = parts.loud(params.segments.loud_db)
    if options.track:
        loud = [number for number in loud if parts.track(number) == options.track]
    if options.parts:
        loud = [
            loud[round(n)] for n in np.linspace(0, len(loud) - 1, min(options.parts, len(loud)))
        ]
    names = [parts.track(number) for number in loud]
    if options.break_steps:
        print("| steps | break point 1 dB | 3 dB | 6 dB |\n|---|---|---|---|")
    for steps in options.break_steps:
        snr = broken(params.attack, separator, parts, loud, device, steps)
        row = " | ".join(f"{median(names, level):.2f}" for level in snr.T)
        print(f"| {steps} | {row} |", flush=True)
    if options.eps:
        print("| eps | steps | BS | AT-BS | RB | paired drop |\n|---|---|---|---|---|---|")
    for eps in options.eps:
        for steps in options.steps:
            attack = changed(params.attack, eps, steps)
            bs, at_bs = attacked(attack, separator, parts, loud, device)
            figures = [median(names, values) for values in (bs, at_bs, bs - at_bs)]
            row = f"{figures[0]:.3f} | {figures[1]:.3f} | {figures[0] - figures[1]:.3f}"
            print(f"| {eps:g} | {steps} | {row} | {figures[2]:.3f} |", flush=True)


def changed(attack: AttackParams, eps: float, steps: int) -> AttackParams:
    """PGD with another budget and another number of steps."""
    tree = attack.model_dump(mode="json")
    tree |= {"method": "pgd", "norm": "linf", "eps": eps, "pgd": {**tree["pgd"], "steps": steps}}
    return validate(AttackSection, tree, "--eps and --steps: attack")


def median(names: list[str], values: np.ndarray) -> float:
    """Median over tracks of the medians over parts."""
    return median_of_medians((name, [v]) for name, v in zip(names, values, strict=True))


def attacked(
    attack: AttackParams,
    separator: Separator,
    parts: Excerpts,
    numbers: list[int],
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """SI-SDR in dB of some parts of recordings, clean and attacked."""
    method = build_attack(attack)
    clean, worst = [], []
    for chosen in parts.batches(numbers, attack.batch):
        case = case_of(attack, separator, parts, chosen, device)
        found = method(case)
        with torch.no_grad():
            clean.append(si_sdr(case.vocals, case.separate(case.mixture)).cpu())
            worst.append(si_sdr(case.vocals, case.separate(found.adversarial)).cpu())
    return torch.cat(clean).numpy(), torch.cat(worst).numpy()


def broken(
    attack: AttackParams,
    separator: Separator,
    parts: Excerpts,
    numbers: list[int],
    device: torch.device,
    steps: int,
) -> np.ndarray:
    """Break points in dB, parts x levels."""
    search = BreakPoints(steps)
    found = [
        search(case_of(attack, separator, parts, chosen, device)).snr.cpu()
        for chosen in parts.batches(numbers, attack.batch)
    ]
    return torch.cat(found).numpy()


if __name__ == "__main__":
    main()
