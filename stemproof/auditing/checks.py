"""What the audit measures of one model: attacks of many kinds on the same parts of recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from stemproof.attacks.budgets import Bound
from stemproof.attacks.fgsm import fgsm
from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.noise import NOISES
from stemproof.attacks.objectives import OBJECTIVES, negative_si_sdr
from stemproof.attacks.protocol import REACHED
from stemproof.attacks.search import RandomSearch
from stemproof.attacks.sparse import SparseSaliency
from stemproof.attacks.steps import STEP_RULES
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.auditing.bench import Bench
from stemproof.auditing.gradients import gradient_health
from stemproof.auditing.material import Values
from stemproof.auditing.params import AuditParams
from stemproof.auditing.scores import figure, lost
from stemproof.figures.si_sdr import snr


class Auditor:
    """Everything that the flags of one model are raised from.

    An attack that silences the system is stronger than any other (see
    :mod:`stemproof.auditing.scores`): figures may be infinite, or NaN where nothing is left.
    """

    def __init__(self, bench: Bench, settings: AuditParams, white_box: bool = True) -> None:
        """Prepare the audit of one model.

        Args:
            bench: the model and what it is attacked on.
            settings: how much is audited.
            white_box: whether the system's gradient is of use; checks that need one are left out
                where it is not.
        """
        self.bench = bench
        self.material = bench.material
        self.settings = settings
        self.white_box = white_box
        self.attacked = bench.own()

    def figures(self) -> dict[str, Any]:
        """Everything that is measured; a check that is switched off has no figure."""
        bench, material = self.bench, self.material
        own, clean = bench.own_outcome(), bench.outcome(bench.mixture)
        found: dict[str, Any] = {
            "collapsed": {
                "clean": int(np.isneginf(clean).sum()),
                "attacked": int(np.isneginf(own).sum()),
                "segments": len(own),
            },
            "bs": material.median(figure(clean)),
            "at_bs": material.median(own),
            "mixture_si_sdr": material.median(bench.mixture_as_estimate()),
            "noise": self.noise(figure(clean)),
            "black_box": self.black_box(own),
            "repeat_difference": bench.repeat_difference(),
            "budget_used": bench.budget_used(self.attacked),
        }
        if self.white_box:
            found |= {
                "default_steps": bench.steps,
                "steps": self.steps(),
                "restarts": self.restarts(),
                "rules": self.rules(),
                "objectives": self.objectives(),
                **self.eps_sweep(clean),
                "minimal_snr": self.minimal_snr(figure(clean)),
                "gradient": self.gradient_health(),
            }
            if self.settings.sparse_samples:
                found["sparse"] = self.sparse()
            if self.settings.universal_epochs:
                found["universal"] = self.universal()
            found["strongest"] = material.median(np.minimum(own, bench.worst()))
        return found

    def median_at_bs(self, adversarial: Tensor) -> float:
        """Median AT-BS; minus infinity where most of what was put out has collapsed."""
        return self.material.median(self.bench.outcome(adversarial))

    def noise(self, clean: Values) -> dict[str, dict[str, float]]:
        """Drop under random noise of the same norm: median, and worst over draws."""
        result = {}
        for name, draw in NOISES.items():
            drops = clean - self.bench.under_noise(name, draw, self.settings.noise_draws)
            result[name] = {
                "mean": self.material.median(drops.mean(0)),
                "worst": self.material.median(drops.max(0)),
            }
        return result

    def steps(self) -> dict[str, float]:
        """AT-BS against the number of steps; FGSM is its own entry."""
        result = {"fgsm": self.median_at_bs(self.bench.run(fgsm(negative_si_sdr)))}
        own = self.bench.steps
        for steps in sorted({*self.settings.steps, own, 2 * own}):
            result[str(steps)] = self.material.median(self.bench.reached(steps=steps))
        return result

    def restarts(self) -> dict[str, float]:
        """AT-BS with the default number of restarts, and twice as many."""
        own = self.bench.attack.restarts
        return {
            str(count): self.material.median(self.bench.reached(restarts=count, random_start=True))
            for count in (own, 2 * own)
        }

    def rules(self) -> dict[str, float]:
        """AT-BS of every step rule at the same number of steps."""
        return {
            name: self.material.median(self.bench.reached(rule=STEP_RULES[name]))
            for name in self.settings.rules
        }

    def objectives(self) -> dict[str, float]:
        """AT-BS of every loss, and of the worst loss per part."""
        scores = {
            name: self.bench.reached(objective=OBJECTIVES[name], random_start=True)
            for name in self.settings.losses
        }
        worst = np.min(np.stack(list(scores.values())), axis=0)
        result = {name: self.material.median(values) for name, values in scores.items()}
        return {**result, "worst": self.material.median(worst)}

    def eps_sweep(self, clean: Values) -> dict[str, dict[str, float]]:
        """AT-BS against the budget, from a tenth of it to where the separation collapses.

        Returns:
            ``eps``: AT-BS by factor; ``eps_drop``: what it costs, a median of differences;
            ``eps_snr``: mixture over perturbation.
        """
        found: dict[str, dict[str, float]] = {"eps": {}, "eps_drop": {}, "eps_snr": {}}
        for factor in self.settings.eps_factors:
            adversarial = self.bench.pgd(factor)
            reached = self.bench.reached(factor)
            found["eps"][f"{factor:g}"] = self.material.median(reached)
            found["eps_drop"][f"{factor:g}"] = self.material.median(lost(clean, reached))
            level = snr(self.bench.mixture, adversarial - self.bench.mixture)
            found["eps_snr"][f"{factor:g}"] = self.material.median(level.double().cpu().numpy())
        return found

    def black_box(self, white: Values) -> dict[str, float]:
        """The gradient-free attack on SI-SDR, and on which share of the parts it is stronger.

        Stronger by more than a fifth of the tolerance: less is rounding.
        """
        search = RandomSearch(negative_si_sdr, self.settings.queries)
        found = self.bench.outcome(self.bench.run(search))
        return {
            "queries": self.settings.queries,
            "at_bs": self.material.median(found),
            "beats_white_box": float(np.mean(found < white - self.settings.tolerance_db / 5)),
        }

    def minimal_snr(self, clean: Values) -> dict[str, dict[str, float]]:
        """SNR in dB of the perturbations with the smallest peak that cost 1, 3, ... dB.

        By energy, in L2, break points say it of every track. A higher SNR is a smaller
        perturbation, and a weaker system. A level that is not reached on every part is left out. A
        system that is silenced has lost any number of dB; what is silent without an attack has
        nothing to lose, and is left out.
        """
        result: dict[str, float] = {}
        sound = ~np.isnan(clean)
        for drop in self.settings.minimal_drops:
            found = self.bench.run(MinimalPerturbation(drop, "linf"))
            lost = clean - self.bench.outcome(found)
            if sound.any() and bool(np.all(lost[sound] > drop - REACHED)):
                delta = found - self.bench.mixture
                figures = snr(self.bench.mixture, delta).double().cpu().numpy()
                result[f"{drop:g}"] = self.material.median(np.where(sound, figures, np.nan))
        return {"linf": result}

    def sparse(self) -> dict[str, float]:
        """AT-BS when only a few samples change: a threat model of its own."""
        samples, amplitude = self.settings.sparse_samples, self.settings.sparse_amplitude
        bound = Bound("l0", samples=samples, amplitude=amplitude)
        found = self.bench.run(SparseSaliency(negative_si_sdr), bound)
        return {"samples": samples, "amplitude": amplitude, "at_bs": self.median_at_bs(found)}

    def universal(self) -> dict[str, float]:
        """AT-BS under one perturbation for all parts, learned on training parts (linf)."""
        bench, training = self.bench, self.bench.training
        bound = Bound("linf", eps=bench.attack.eps)
        attack = UniversalPerturbation(negative_si_sdr, bound, self.settings.universal_epochs)
        delta = bench.learned(attack).delta
        cases, mixture = bench.cases_of(training), training.mixture.flatten(1)
        attacked, clean = bench.outcome(mixture + delta, cases), bench.outcome(mixture, cases)
        return {
            "at_bs_training": training.median(attacked),
            "bs_training": training.median(figure(clean)),
            "at_bs": self.median_at_bs(bench.mixture + delta),
        }

    def gradient_health(self) -> dict[str, float]:
        """Zero gradients, agreement with a finite difference, and silence."""
        length = max(self.bench.attack.eps, 1e-4) / 20
        return gradient_health(self.bench.cases, self.material.mixture[:1], length)
