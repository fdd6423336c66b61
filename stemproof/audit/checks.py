"""What the audit measures of one system: attacks of many kinds on the same segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stemproof.attacks.build import build_attack, build_pgd
from stemproof.attacks.gradient import fgsm
from stemproof.attacks.protocol import Attack
from stemproof.attacks.minimal import REACHED, MinimalPerturbation
from stemproof.attacks.noise import NOISES
from stemproof.attacks.norms import Budget, L0Budget, Norm, make_budget, used
from stemproof.attacks.objectives import OBJECTIVES, negative_si_sdr
from stemproof.attacks.search import RandomSearch
from stemproof.attacks.sparse import SparseSaliency
from stemproof.attacks.steps import STEP_RULES
from stemproof.attacks.universal import SamePerturbation, UniversalPerturbation
from stemproof.figures.medians import median_of_medians
from stemproof.figures.si_sdr import si_sdr, snr
from stemproof.params import AttackParams, AuditParams
from stemproof.separators.protocol import Context, Separator

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """The segments that are audited.

    Attributes:
        tracks: name of the track of each segment.
        mixture: segments x samples.
        vocals: segments x samples.
    """

    tracks: list[str]
    mixture: Tensor
    vocals: Tensor

    def median(self, values: Values) -> float:
        """Median over tracks of the medians over segments."""
        return median_of_medians((t, [v]) for t, v in zip(self.tracks, values, strict=True))


def auditable(attack: AttackParams) -> AttackParams:
    """The attack that the audit is about: in a ball, L-inf or L2.

    Methods without such a ball (sparse, minimal) are threat models of their own; what is audited
    beside them is PGD in L2 when they are measured in L2, else in L-inf.
    """
    if attack.method in ("sparse", "minimal") or attack.norm == "l0":
        norm = "l2" if attack.norm == "l2" else "linf"
        return attack.model_copy(update={"method": "pgd", "norm": norm})
    return attack


class Auditor:
    """Attacks of many kinds on one model; every figure is an SI-SDR in dB."""

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
        self.context = separator.context(material.mixture, material.vocals)
        self._crafted: dict[Any, Tensor] = {}

    def figures(self, attacked: Tensor | None = None) -> dict[str, Any]:
        """Everything that the flags are raised from.

        Args:
            attacked: mixtures that were crafted elsewhere; by default on the model itself.
        """
        attacked = self.own() if attacked is None else attacked
        own = self.score(attacked)
        clean = self.score(self.material.mixture)
        return {
            "bs": self.material.median(clean),
            "at_bs": self.material.median(own),
            "mixture_si_sdr": self.material.median(
                si_sdr(self.material.vocals, self.material.mixture).double().cpu().numpy()
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

    def score(self, mixture: Tensor) -> Values:
        """SI-SDR of the separated vocals, one a segment."""
        return self._score(mixture, self.material.vocals, self.context)

    def _score(self, mixture: Tensor, vocals: Tensor, context: Context) -> Values:
        with torch.no_grad():
            estimate = self.separator.separate(mixture, context)
        return si_sdr(vocals, estimate).double().cpu().numpy()

    def own(self) -> Tensor:
        """Adversarial mixtures of the audited attack itself."""
        if self.attack.method == "pgd":
            return self.pgd()
        attack = build_attack(self.attack)
        if not isinstance(attack, UniversalPerturbation):
            return self.run(attack)
        if self.played is not None:
            return self.run(SamePerturbation(self.played, attack.objective))
        return self.run(self._learn(attack))

    def pgd(self, factor: float = 1.0, **changes: Any) -> Tensor:
        """Adversarial mixtures of PGD in a multiple of the budget, with some parts replaced.

        Several checks ask for the same attack; each is run once.
        """
        attack = replace(build_pgd(self.attack), **changes)
        key = (factor, attack)
        if key not in self._crafted:
            self._crafted[key] = self.run(attack, factor)
        return self._crafted[key]

    def run(self, attack: Attack, factor: float = 1.0) -> Tensor:
        """Adversarial mixtures of any attack in a multiple of the budget."""
        return self._run(attack, self.budget(factor))

    def _run(self, attack: Attack, budget: Budget) -> Tensor:
        found, _ = attack(
            self.separator,
            self.material.mixture,
            self.material.vocals,
            self.context,
            budget,
            self.generator(),
        )
        return found

    def budget(self, factor: float = 1.0) -> Any:
        """A multiple of the budget of the parameters."""
        snr = self.attack.snr - 20 * float(np.log10(factor))
        return make_budget(self.attack.norm, self.material.mixture, self.attack.eps * factor, snr)

    def generator(self) -> torch.Generator:
        """The same random numbers for every attack."""
        return torch.Generator().manual_seed(self.attack.seed)

    def median_at_bs(self, adversarial: Tensor) -> float:
        """Median AT-BS."""
        return self.material.median(self.score(adversarial))

    def noise(self) -> dict[str, dict[str, float]]:
        """Drop under random noise of the same norm: median, and worst over draws."""
        clean = self.score(self.material.mixture)
        result = {}
        generator = self.generator()
        for name, draw in NOISES.items():
            drops = np.stack(
                [
                    clean
                    - self.score(
                        self.material.mixture
                        + draw(self.material.mixture, self.budget(), generator)
                    )
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
        result = {
            "fgsm": self.median_at_bs(self.run(fgsm(negative_si_sdr, self.attack.eot_samples)))
        }
        for steps in sorted({*self.settings.steps, self.attack.steps, 2 * self.attack.steps}):
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
            name: self.score(self.pgd(objective=objective, random_start=True))
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
        found = self.score(self.run(RandomSearch(negative_si_sdr, self.settings.queries)))
        return {
            "queries": self.settings.queries,
            "at_bs": self.material.median(found),
            "beats_white_box": float(np.mean(found < white - self.settings.tolerance_db / 5)),
        }

    def minimal_snr(self) -> dict[str, dict[str, float]]:
        """SNR in dB of the smallest perturbations that cost 1, 3, ... dB, for each norm.

        A higher SNR is a smaller perturbation, and a weaker system. A level that is not reached
        on every segment is left out.
        """
        result: dict[str, dict[str, float]] = {"l2": {}, "linf": {}}
        norms: tuple[Norm, Norm] = ("l2", "linf")
        clean = self.score(self.material.mixture)
        for norm in norms:
            for drop in self.settings.minimal_drops:
                found = self.run(MinimalPerturbation(drop, norm))
                if bool(np.all(clean - self.score(found) > drop - REACHED)):
                    delta = found - self.material.mixture
                    figures = snr(self.material.mixture, delta).double().cpu().numpy()
                    result[norm][f"{drop:g}"] = self.material.median(figures)
        return result

    def sparse(self) -> dict[str, float]:
        """AT-BS when only a few samples change: a threat model of its own."""
        count = self.material.mixture.new_full(
            (len(self.material.tracks), 1), self.settings.sparse_samples
        )
        budget = L0Budget(count, self.settings.sparse_amplitude)
        found = self._run(SparseSaliency(negative_si_sdr), budget)
        return {
            "samples": self.settings.sparse_samples,
            "amplitude": self.settings.sparse_amplitude,
            "at_bs": self.median_at_bs(found),
        }

    def universal(self) -> dict[str, float]:
        """AT-BS under one perturbation for all segments, learned on training segments (linf)."""
        context = self.separator.context(self.training.mixture, self.training.vocals)
        played = self._learn(UniversalPerturbation(negative_si_sdr, self.settings.universal_epochs))
        delta = played.delta
        return {
            "at_bs_training": self.training.median(
                self._score(self.training.mixture + delta, self.training.vocals, context)
            ),
            "bs_training": self.training.median(
                self._score(self.training.mixture, self.training.vocals, context)
            ),
            "at_bs": self.median_at_bs(self.material.mixture + delta),
        }

    def _learn(self, attack: UniversalPerturbation) -> SamePerturbation:
        budget = make_budget("linf", self.training.mixture[:1], self.attack.eps, 0.0)
        context = self.separator.context(self.training.mixture, self.training.vocals)
        seen = [(self.training.mixture, self.training.vocals, context)]
        return attack.learn(self.separator, seen, budget)

    def gradient_health(self) -> dict[str, float]:
        """Zero gradients, agreement with a finite difference, and silence."""
        mixture = self.material.mixture.clone().requires_grad_(True)
        estimate = self.separator.separate(mixture, self.context)
        loss = negative_si_sdr(estimate, self.material.vocals)
        (gradient,) = torch.autograd.grad(loss.sum(), mixture, allow_unused=True)
        if gradient is None:
            gradient = torch.zeros_like(mixture)
        return {
            "zero_share": float(((gradient == 0) | ~torch.isfinite(gradient)).double().mean()),
            "finite_difference_error": self._finite_difference_error(gradient),
            "nan_on_silence": float(self._nan_on_silence()),
        }

    def _finite_difference_error(self, gradient: Tensor) -> float:
        """Median relative error of the slope along the signs of the gradient.

        Along the attack's own direction the slope is far above rounding, unless the gradient
        lies: then nothing much happens there, and the error is near 1.
        """
        signs = torch.where(gradient >= 0, 1.0, -1.0).to(gradient)
        predicted = (gradient * signs).sum(-1).double().cpu().numpy()
        length = max(self.attack.eps, 1e-4) / 20
        ahead = self.score(self.material.mixture + length * signs)
        behind = self.score(self.material.mixture - length * signs)
        measured = -(ahead - behind) / (2 * length)
        scale = np.maximum(np.abs(predicted), np.abs(measured)) + 1e-12
        # A difference that is not a number is as wrong as it can be.
        return float(np.median(np.nan_to_num(np.abs(predicted - measured) / scale, nan=1.0)))

    def _nan_on_silence(self) -> bool:
        silence = torch.zeros_like(self.material.mixture[:1]).requires_grad_(True)
        context = self.separator.context(silence.detach(), silence.detach())
        estimate = self.separator.separate(silence, context)
        loss = negative_si_sdr(estimate, silence.detach())
        (gradient,) = torch.autograd.grad(loss.sum(), silence, allow_unused=True)
        finite = bool(torch.isfinite(estimate).all())
        return not finite or (gradient is not None and not bool(torch.isfinite(gradient).all()))

    def repeat_difference(self) -> float:
        """Largest difference between two passes over the same input."""
        with torch.no_grad():
            first = self.separator.separate(self.material.mixture, self.context)
            second = self.separator.separate(self.material.mixture, self.context)
        return float(torch.nan_to_num((first - second).abs(), nan=1.0).max())

    def budget_used(self, adversarial: Tensor) -> float:
        """Largest perturbation as a fraction of the budget."""
        return used(self.budget(), self.material.mixture, adversarial)


def transfer(auditors: Mapping[str, Auditor]) -> dict[str, dict[str, float]]:
    """AT-BS of every model (inner key) under what was crafted on every model (outer key)."""
    crafted = {name: auditor.own() for name, auditor in auditors.items()}
    return {
        source: {name: auditor.median_at_bs(found) for name, auditor in auditors.items()}
        for source, found in crafted.items()
    }


def other_mask(fixed: Auditor, recomputed: Auditor) -> dict[str, dict[str, float]]:
    """AT-BS of a model with either kind of mask (inner key) under the attack on either.

    The recomputed mask is attacked through a straight-through gradient. The fixed one needs none:
    it is the undefended twin, and what is crafted on it is played to the other.
    """
    return transfer({"fixed": fixed, "recomputed": recomputed})
