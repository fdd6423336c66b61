"""Sweep eps and the number of steps on the validation split.

How the default of `attack.eps` and `attack.steps` was found; see docs/attack-budget.md. Needs
prepared data and a trained model:

    python benchmarks/attack_budget.py --eps 0.001 0.002 --steps 10 20
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stemproof.attacks.build import build_pgd
from stemproof.attacks.norms import make_budget
from stemproof.core.runtime import make_fabric
from stemproof.data.store import PreparedData, loud_mask
from stemproof.figures.medians import median_of_medians
from stemproof.figures.si_sdr import si_sdr
from stemproof.params import load_params
from stemproof.separators.protocol import batches
from stemproof.separators.systems import load_separator


def main() -> None:
    """Print BS, AT-BS, RB and the paired drop for every pair of eps and steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="baseline")
    parser.add_argument("--eps", type=float, nargs="+", required=True)
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    options = parser.parse_args()
    params = load_params()
    device = make_fabric(params.runtime).device
    seed = params.seeds_of(options.variant)[0]
    path = Path("models") / options.variant / f"{seed}.safetensors"
    separator = load_separator(path, params, options.variant, seed, device)
    names, mixtures, vocals = [], [], []
    for track in PreparedData(Path("data/prepared")).tracks("valid"):
        x, s = track.segments(params.segment_samples)
        loud = torch.from_numpy(loud_mask(s.numpy(), params.segments.loud_db))
        mixtures.append(x[loud])
        vocals.append(s[loud])
        names += [track.name] * int(loud.sum())
    mixture, voice = torch.cat(mixtures), torch.cat(vocals)
    print("| eps | steps | BS | AT-BS | RB | paired drop |\n|---|---|---|---|---|---|")
    for eps in options.eps:
        for steps in options.steps:
            attack = params.attack.model_copy(update={"eps": eps, "steps": steps})
            clean, attacked = [], []
            for part in batches(len(mixture), attack.batch):
                x, s = mixture[part].to(device), voice[part].to(device)
                context = separator.context(x, s)
                budget = make_budget("linf", x, eps, attack.snr)
                generator = torch.Generator().manual_seed(attack.seed)
                found, _ = build_pgd(attack)(separator, x, s, context, budget, generator)
                with torch.no_grad():
                    clean.append(si_sdr(s, separator.separate(x, context)).cpu())
                    attacked.append(si_sdr(s, separator.separate(found, context)).cpu())
            bs, at_bs = torch.cat(clean).numpy(), torch.cat(attacked).numpy()
            figures = [
                median_of_medians((n, [v]) for n, v in zip(names, values, strict=True))
                for values in (bs, at_bs, bs - at_bs)
            ]
            row = f"{figures[0]:.3f} | {figures[1]:.3f} | {figures[0] - figures[1]:.3f}"
            print(f"| {eps:g} | {steps} | {row} | {figures[2]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
