"""Is PGD as fast as foolbox's, and does a batch pay?"""

from __future__ import annotations

from typing import Any

import eagerpy
import foolbox
import torch
from torch import Tensor

from harness import Row, Sizes, race
from project import baseline, parameters
from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.steps import Constant
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.rsvm.separator import as_separator

EPS, STEP_SIZE = 0.003, 0.25


def rows(sizes: Sizes) -> list[Row]:
    """PGD with the same loss, budget and steps, and its AT-BS; and segment by segment."""
    params = parameters(sizes)
    segments, steps = sizes.of(16, 2), sizes.of(10, 2)
    separator = as_separator(baseline(params))
    mixture, voice = (0.1 * torch.randn(segments, 1, params.segment_samples) for _ in range(2))
    bound = Bound("linf", eps=EPS)
    case = Case.of(separator, mixture, voice, bound, range(segments))
    cases = [
        Case.of(separator, x, s, bound, [number])
        for number, (x, s) in enumerate(zip(mixture[:, None], voice[:, None], strict=True))
    ]
    ours = GradientAttack(negative_si_sdr, steps, STEP_SIZE, Constant, random_start=False)

    class OnWaveforms(foolbox.attacks.LinfProjectedGradientDescentAttack):  # type: ignore[misc]
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            def loss(x: Any) -> Any:
                estimate = case.separate(x.raw)
                return eagerpy.astensor(negative_si_sdr.measure(estimate, case.vocals).sum())

            return loss

    theirs = OnWaveforms(abs_stepsize=STEP_SIZE * EPS, steps=steps, random_start=False)
    model = foolbox.PyTorchModel(torch.nn.Identity().eval(), bounds=(-10, 10), device="cpu")
    labels = foolbox.criteria.Misclassification(torch.zeros(segments, dtype=torch.long))

    def together() -> Tensor:
        return -ours(case.within(bound)).losses[:, -1]

    def one_by_one() -> None:
        for one in cases:
            ours(one.within(bound))

    def by_foolbox() -> Tensor:
        found = theirs.run(model, case.mixture, labels, epsilon=EPS)
        with torch.no_grad():
            return si_sdr(case.vocals, case.separate(found))

    sides = {"ours": together, "foolbox": by_foolbox, "one by one": one_by_one}
    times = race(sides, sizes.rounds)
    detail = f"{steps} steps and the AT-BS of what was found"
    return [
        times.row("PGD: times foolbox", "foolbox", "ours", 1.0, detail),
        times.row("PGD: times segment by segment", "one by one", "ours", 1.0),
    ]
