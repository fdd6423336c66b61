"""What the audit measures of one system: attacks of many kinds on the same segments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from stemproof.attacks.budgets import Bound, used
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case
from stemproof.attacks.fgsm import fgsm
from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.noise import NOISES
from stemproof.attacks.objectives import OBJECTIVES, negative_si_sdr
from stemproof.attacks.params import AttackParams
from stemproof.attacks.pgd import build_pgd
from stemproof.attacks.protocol import Attack
from stemproof.attacks.restarts import Restarts
from stemproof.attacks.search import RandomSearch
from stemproof.attacks.sparse import SparseSaliency
from stemproof.attacks.steps import STEP_RULES
from stemproof.attacks.universal import SamePerturbation, UniversalPerturbation
from stemproof.auditing.auditable import auditable
from stemproof.auditing.gradients import gradient_health
from stemproof.auditing.material import Material, Values
from stemproof.auditing.params import AuditParams
from stemproof.auditing.scores import figure, outcome
from stemproof.evaluation.evaluate import REACHED
from stemproof.figures.si_sdr import si_sdr, snr
from stemproof.separators.protocol import Separator


class Auditor:
    """Attacks of many kinds on one model; every figure is an SI-SDR in dB.

    An attack that silences the system is stronger than any other (see
    :mod:`stemproof.auditing.scores`): figures may be infinite, or NaN where nothing is left.
    """

    def __init__(
        self,
        separator: Separator,
        material: Material,
        training: Material,
        attack: AttackParams,
        settings: AuditParams,
        played: Tensor | None = None,
    ) -> None:
        """Prepare the audit of one model.

        Args:
            separator: the model.
            material: test segments.
            training: training segments, for a universal perturbation.
            attack: what the figures were made with.
            settings: how much is audited.
            played: the universal perturbation of those figures (1 x samples); without it, method
                universal learns one on the training segments at hand.
        """
        self.separator = separator
        self.material = material
        self.training = training
        self.attack = auditable(attack)
        self.settings = settings
        self.played = played
        self.case = self._case_of(material)
        self._crafted: dict[Any, Tensor] = {}

    def _case_of(self, material: Material) -> Case:
        return Case.of(
            self.separator,
            material.mixture,
            material.vocals,
            self.attack.bound,
            material.seeds,
            self.attack.eot_samples,
        )

    @property
    def default_steps(self) -> int:
        """Gradient steps of the audited PGD."""
        return build_pgd(self.attack).steps

    def figures(self) -> dict[str, Any]:
        """Everything that the flags are raised from."""
        attacked = self.own()
        own, clean = self.outcome(attacked), self.outcome(self.case.mixture)
        return {
            "collapsed": {
                "clean": int(np.isneginf(clean).sum()),
                "attacked": int(np.isneginf(own).sum()),
                "segments": len(own),
            },
            "bs": self.material.median(figure(clean)),
            "at_bs": self.material.median(own),
            "mixture_si_sdr": self.material.median(
                si_sdr(self.case.vocals, self.case.mixture).double().cpu().numpy()
            ),
            "noise": self.noise(),
            "steps": self.steps(),
            "restarts": self.restarts(),
            "rules": self.rules(),
            "objectives": self.objectives(),
            "eps": self.eps_sweep(),
            "black_box": self.black_box(own),
            "minimal_snr": self.minimal_snr(),
            "sparse": self.sparse(),
            "universal": self.universal(),
            "gradient": self.gradient_health(),
            "repeat_difference": self.repeat_difference(),
            "budget_used": self.budget_used(attacked),
        }

    def score(self, heard: Tensor) -> Values:
        """SI-SDR of the separated vocals, one a segment, when ``heard`` is played.

        NaN where what was put out has collapsed.
        """
        return figure(self.outcome(heard))

    def outcome(self, heard: Tensor) -> Values:
        """The same as what an attack reached: minus infinity where it has collapsed."""
        return outcome(self.case, heard)

    def own(self) -> Tensor:
        """Adversarial mixtures of the audited attack itself."""
        if self.attack.method == "pgd":
            return self.pgd()
        attack = build_attack(self.attack)
        if not isinstance(attack, UniversalPerturbation):
            return self.run(attack)
        if self.played is not None:
            return self.run(SamePerturbation(self.played, attack.objective))
        return self.run(self._learned(attack))

    def pgd(self, factor: float = 1.0, restarts: int | None = None, **changes: Any) -> Tensor:
        """Adversarial mixtures of PGD in a multiple of the budget, with some parts replaced.

        Several checks ask for the same attack; each is run once.
        """
        runs = self.attack.restarts if restarts is None else restarts
        attack: Attack = replace(build_pgd(self.attack), **changes)
        if runs > 1:
            attack = Restarts(attack, runs)
        key = (factor, attack)
        if key not in self._crafted:
            self._crafted[key] = self.run(attack, factor)
        return self._crafted[key]

    def run(self, attack: Attack, factor: float = 1.0) -> Tensor:
        """Adversarial mixtures of any attack in a multiple of the budget, batch x samples."""
        bound = self.attack.bound
        # The budget of the parameters itself is not computed from a multiple.
        return attack(self.case.within(bound if factor == 1 else bound.times(factor))).adversarial

    def median_at_bs(self, adversarial: Tensor) -> float:
        """Median AT-BS; minus infinity where most of what was put out has collapsed."""
        return self.material.median(self.outcome(adversarial))

    def noise(self) -> dict[str, dict[str, float]]:
        """Drop under random noise of the same norm: median, and worst over draws."""
        case = self.case
        clean = self.score(case.mixture)
        result = {}
        for name, draw in NOISES.items():
            draws = case.draws(f"audit {name}")
            drops = np.stack(
                [
                    clean - self.outcome(case.mixture + draw(case.mixture, case.budget, draws))
                    for _ in range(self.settings.noise_draws)
                ]
            )
            result[name] = {
                "mean": self.material.median(drops.mean(0)),
                "worst": self.material.median(drops.max(0)),
            }
        return result

    def steps(self) -> dict[str, float]:
        """AT-BS against the number of steps; FGSM is its own entry."""
        result = {"fgsm": self.median_at_bs(self.run(fgsm(negative_si_sdr)))}
        own = self.default_steps
        for steps in sorted({*self.settings.steps, own, 2 * own}):
            result[str(steps)] = self.median_at_bs(self.pgd(steps=steps))
        return result

    def restarts(self) -> dict[str, float]:
        """AT-BS with the default number of restarts, and twice as many."""
        return {
            str(count): self.median_at_bs(self.pgd(restarts=count, random_start=True))
            for count in (self.attack.restarts, 2 * self.attack.restarts)
        }

    def rules(self) -> dict[str, float]:
        """AT-BS of every step rule at the same number of steps."""
        return {name: self.median_at_bs(self.pgd(rule=rule)) for name, rule in STEP_RULES.items()}

    def objectives(self) -> dict[str, float]:
        """AT-BS of every loss, and of the worst loss per segment."""
        scores = {
            name: self.outcome(self.pgd(objective=objective, random_start=True))
            for name, objective in OBJECTIVES.items()
        }
        worst = np.min(np.stack(list(scores.values())), axis=0)
        result = {name: self.material.median(values) for name, values in scores.items()}
        return {**result, "worst": self.material.median(worst)}

    def eps_sweep(self) -> dict[str, float]:
        """AT-BS against the budget, from a tenth of it to where the separation collapses."""
        return {
            f"{factor:g}": self.median_at_bs(self.pgd(factor))
            for factor in self.settings.eps_factors
        }

    def black_box(self, white: Values) -> dict[str, float]:
        """The gradient-free attack on SI-SDR, and on which share of the segments it is stronger.

        Stronger by more than a fifth of the tolerance: less is rounding.
        """
        found = self.outcome(self.run(RandomSearch(negative_si_sdr, self.settings.queries)))
        return {
            "queries": self.settings.queries,
            "at_bs": self.material.median(found),
            "beats_white_box": float(np.mean(found < white - self.settings.tolerance_db / 5)),
        }

    def minimal_snr(self) -> dict[str, dict[str, float]]:
        """SNR in dB of the smallest perturbations that cost 1, 3, ... dB, for each norm.

        A higher SNR is a smaller perturbation, and a weaker system. A level that is not reached
        on every segment is left out. A system that is silenced has lost any number of dB; what is
        silent without an attack has nothing to lose, and is left out.
        """
        result: dict[str, dict[str, float]] = {"l2": {}, "linf": {}}
        norms: tuple[Literal["linf", "l2"], ...] = ("l2", "linf")
        clean = self.score(self.case.mixture)
        sound = ~np.isnan(clean)
        for norm in norms:
            for drop in self.settings.minimal_drops:
                found = self.run(MinimalPerturbation(drop, norm))
                lost = clean - self.outcome(found)
                if sound.any() and bool(np.all(lost[sound] > drop - REACHED)):
                    delta = found - self.case.mixture
                    figures = snr(self.case.mixture, delta).double().cpu().numpy()
                    median = self.material.median(np.where(sound, figures, np.nan))
                    result[norm][f"{drop:g}"] = median
        return result

    def sparse(self) -> dict[str, float]:
        """AT-BS when only a few samples change: a threat model of its own."""
        bound = Bound(
            "l0",
            samples=self.settings.sparse_samples,
            amplitude=self.settings.sparse_amplitude,
        )
        found = SparseSaliency(negative_si_sdr)(self.case.within(bound)).adversarial
        return {
            "samples": self.settings.sparse_samples,
            "amplitude": self.settings.sparse_amplitude,
            "at_bs": self.median_at_bs(found),
        }

    def universal(self) -> dict[str, float]:
        """AT-BS under one perturbation for all segments, learned on training segments (linf)."""
        bound = Bound("linf", eps=self.attack.eps)
        attack = UniversalPerturbation(negative_si_sdr, bound, self.settings.universal_epochs)
        training = self._case_of(self.training)
        delta = self._learned(attack).delta
        return {
            "at_bs_training": self.training.median(outcome(training, training.mixture + delta)),
            "bs_training": self.training.median(figure(outcome(training, training.mixture))),
            "at_bs": self.median_at_bs(self.case.mixture + delta),
        }

    def _learned(self, attack: UniversalPerturbation) -> SamePerturbation:
        return attack.learned([self._case_of(self.training)])

    def gradient_health(self) -> dict[str, float]:
        """Zero gradients, agreement with a finite difference, and silence."""
        length = max(self.attack.eps, 1e-4) / 20
        return gradient_health(self.case, self.material.mixture[:1], length)

    def repeat_difference(self) -> float:
        """Largest difference between two passes over the same input."""
        with torch.no_grad():
            first = self.separator.separate(self.material.mixture, self.case.side)
            second = self.separator.separate(self.material.mixture, self.case.side)
        return float(torch.nan_to_num((first - second).abs(), nan=1.0).max())

    def budget_used(self, adversarial: Tensor) -> float:
        """Largest perturbation as a fraction of the budget."""
        return used(self.case.budget, self.case.mixture, adversarial)
