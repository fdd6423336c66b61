"""One model and the parts of recordings that it is attacked on, a batch after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemproof.attacks.budgets import Bound, used
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case, Found, worse
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.noise import Noise
from stemproof.attacks.params import AttackParams
from stemproof.attacks.pgd import build_pgd
from stemproof.attacks.protocol import Attack
from stemproof.attacks.universal import SamePerturbation, UniversalPerturbation
from stemproof.auditing.auditable import auditable
from stemproof.auditing.material import Material, Values
from stemproof.auditing.scores import outcome
from stemproof.core.batches import batches
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.protocol import Separator
from stemproof.separators.wrappers import Memory, Remembered, Watched

# (multiple of the budget, attack, runs) of PGD
Run = tuple[float, GradientAttack, int]


class Bench:
    """Attacks on one model; what they reach is an SI-SDR in dB for each part."""

    def __init__(
        self,
        separator: Separator,
        material: Material,
        training: Material,
        attack: AttackParams,
        played: Tensor | None = None,
        found: Tensor | None = None,
        memory: Memory | None = None,
        tell: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare a model.

        Args:
            separator: the model.
            material: parts of test recordings.
            training: parts of training recordings, for a universal perturbation.
            attack: what the figures were made with; ``batch`` segments are attacked at once.
            played: the universal perturbation of those figures (1 x samples); without it, method
                universal learns one on the training parts at hand.
            found: what the audited attack found on these very parts (parts x samples), where that
                is known; without it the attack is run.
            memory: of what this very system was asked before; without it, every pass is made.
            tell: called whenever the system was asked, also when it was remembered what it said.
        """
        self.separator = Watched(separator, tell)
        remembered = separator if memory is None else Remembered(separator, memory)
        self.asked = Watched(remembered, tell)
        self.material = material
        self.training = training
        self.attack = auditable(attack)
        self.played = played
        self.cases = self.cases_of(material)
        self.found = found
        self._crafted: dict[Run, list[Found]] = {}
        self._reached: dict[Run, Values] = {}
        if found is not None and self.attack.method == "pgd":
            self._crafted[1.0, build_pgd(self.attack), self.attack.restarts] = self._known(found)

    def cases_of(self, material: Material) -> list[Case]:
        """Some parts as cases of the audited attack."""
        size = max(self.attack.batch // material.segments, 1)
        return [
            Case.of(
                self.asked,
                material.mixture[part],
                material.vocals[part],
                self.attack.bound,
                material.seeds[part],
                self.attack.eot_samples,
            )
            for part in batches(len(material.tracks), size)
        ]

    @property
    def mixture(self) -> Tensor:
        """Clean mixtures, parts x samples."""
        return self.material.mixture.flatten(1)

    @property
    def steps(self) -> int:
        """Gradient steps of the audited PGD."""
        return build_pgd(self.attack).steps

    def outcome(self, heard: Tensor, cases: list[Case] | None = None) -> Values:
        """What an attack reached: SI-SDR of the vocals when ``heard`` is played.

        Args:
            heard: parts x samples.
            cases: of other parts than those that are audited.

        Returns:
            One value a part, minus infinity where what was put out has collapsed.
        """
        cases = self.cases if cases is None else cases
        pieces = heard.split([len(case.mixture) for case in cases])  # type: ignore[no-untyped-call]
        return np.concatenate([outcome(c, piece) for c, piece in zip(cases, pieces, strict=True)])

    def own(self) -> Tensor:
        """Adversarial mixtures of the audited attack itself, parts x samples."""
        if self.found is None:
            self.found = self.pgd() if self.attack.method == "pgd" else self._own()
        return self.found

    def own_outcome(self) -> Values:
        """The outcome of :meth:`own`, one value a part."""
        return self.reached() if self.attack.method == "pgd" else self.outcome(self.own())

    def _own(self) -> Tensor:
        attack = build_attack(self.attack)
        if not isinstance(attack, UniversalPerturbation):
            return self.run(attack)
        if self.played is not None:
            return self.run(SamePerturbation(self.played, attack.objective))
        return self.run(self.learned(attack))

    def pgd(self, factor: float = 1.0, restarts: int | None = None, **changes: Any) -> Tensor:
        """Adversarial mixtures of PGD in a multiple of the budget, with some parts replaced.

        Several checks ask for the same attack; each of its runs is made once.
        """
        return _adversarial(self._made(self._run_of(factor, restarts, changes)))

    def reached(self, factor: float = 1.0, restarts: int | None = None, **changes: Any) -> Values:
        """The outcome of :meth:`pgd`, one value a part."""
        return self._outcome_of(self._run_of(factor, restarts, changes))

    def _outcome_of(self, run: Run) -> Values:
        if run not in self._reached:
            self._reached[run] = self.outcome(_adversarial(self._made(run)))
        return self._reached[run]

    def _run_of(self, factor: float, restarts: int | None, changes: dict[str, Any]) -> Run:
        runs = self.attack.restarts if restarts is None else restarts
        return factor, replace(build_pgd(self.attack), **changes), runs

    def _made(self, run: Run) -> list[Found]:
        """What PGD finds, one a case; fewer restarts that were made are the first of more."""
        factor, attack, runs = run
        before = [n for n in range(1, runs + 1) if (factor, attack, n) in self._crafted]
        done = max(before, default=0)
        found = self._crafted.get((factor, attack, done), [])
        bound = self.attack.bound
        # The budget of the parameters itself is not computed from a multiple.
        inside = [case.within(bound if factor == 1 else bound.times(factor)) for case in self.cases]
        for number in range(done, runs):
            fresh = [attack(case.restarted(number)) for case in inside]
            pairs = zip(found, fresh, strict=True)
            found = [worse(*pair) for pair in pairs] if found else fresh
        self._crafted[run] = found
        return found

    def _known(self, found: Tensor) -> list[Found]:
        """What the audited PGD found, with the loss that it reached."""
        objective = build_pgd(self.attack).objective
        pieces = found.split([len(case.mixture) for case in self.cases])  # type: ignore[no-untyped-call]
        reached = []
        for case, piece in zip(self.cases, pieces, strict=True):
            with torch.no_grad():
                loss = objective.loss(case, piece, objective.target(case))
            reached.append(Found(piece, loss[:, None]))
        return reached

    def run(self, attack: Attack, bound: Bound | None = None) -> Tensor:
        """Adversarial mixtures of any attack, parts x samples; by default in the budget."""
        bound = bound or self.attack.bound
        return torch.cat([attack(case.within(bound)).adversarial for case in self.cases])

    def learned(self, attack: UniversalPerturbation) -> SamePerturbation:
        """A universal perturbation of the training parts."""
        return attack.learned(self.cases_of(self.training))

    def under_noise(self, name: str, draw: Noise, times: int) -> Values:
        """Outcomes under random noise of the budget's size, draws x parts."""
        found = []
        for case in self.cases:
            draws = case.draws(f"audit {name}")
            heard = (case.mixture + draw(case.mixture, case.budget, draws) for _ in range(times))
            found.append(np.stack([outcome(case, noisy) for noisy in heard]))
        return np.concatenate(found, axis=1)

    def mixture_as_estimate(self) -> Values:
        """SI-SDR of the clean mixture itself, one a part."""
        vocals = self.material.vocals.flatten(1)
        return si_sdr(vocals, self.mixture).double().cpu().numpy()

    def worst(self) -> Values:
        """The worst of all PGD that was run in the budget itself, one value a part."""
        inside = [run for run in self._crafted if run[0] == 1]
        return np.min(np.stack([self._outcome_of(run) for run in inside]), axis=0)

    def repeat_difference(self) -> float:
        """Largest difference between two passes over the same input."""
        largest = 0.0
        for case in self.cases:
            shaped = case.shaped(case.mixture)
            with torch.no_grad():
                first = self.separator.separate(shaped, case.side)
                second = self.separator.separate(shaped, case.side)
            difference = torch.nan_to_num((first - second).abs(), nan=1.0).max()
            largest = max(largest, float(difference))
        return largest

    def budget_used(self, adversarial: Tensor) -> float:
        """Largest perturbation as a fraction of the budget."""
        return used(self.attack.bound.budget(self.mixture), self.mixture, adversarial)


def _adversarial(found: list[Found]) -> Tensor:
    """What was found case by case, parts x samples."""
    return torch.cat([of_case.adversarial for of_case in found])
