"""PGD: its budget, its optimum where that is known, and foolbox's PGD on the same loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eagerpy
import foolbox
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rsvm.attacks.norms import L2Budget, LinfBudget, inside, make_budget
from rsvm.attacks.objectives import OBJECTIVES, mse, negative_si_sdr
from rsvm.attacks.pgd import PGD, constant, decaying
from rsvm.model.rsvm import build_model
from rsvm.params import Params
from rsvm.separator import Context, InformedRSVM, Separator


class Gain:
    """A linear separator: the mixture times a number."""

    def __init__(self, gain: float) -> None:
        self.gain = gain

    def context(self, mixture: Tensor, vocals: Tensor) -> Context:
        return None

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        return self.gain * mixture


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def signals(batch: int = 3, samples: int = 200) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    vocals = 0.1 * torch.randn(batch, samples, generator=draw)
    return vocals + 0.1 * torch.randn(batch, samples, generator=draw), vocals


def attack(objective: Any = mse, **changes: Any) -> PGD:
    return PGD(**{"objective": objective, "steps": 20, "step_size": 0.25, **changes})


def test_linf_reaches_the_closed_form_on_a_linear_system() -> None:
    mixture, vocals = signals()
    eps, gain = 0.01, -0.7
    budget = make_budget("linf", mixture, eps, 0)
    run = attack(random_start=False)
    found, curve = run(Gain(gain), mixture, vocals, None, budget, generator())
    residual = gain * mixture - vocals
    optimum = (residual.abs() + abs(gain) * eps).square().mean(-1)
    assert torch.allclose(curve[:, -1], optimum, rtol=1e-4)
    assert torch.allclose(found - mixture, eps * (gain * residual).sign(), atol=1e-6)


def test_l2_reaches_the_closed_form_on_a_linear_system() -> None:
    mixture, vocals = signals()
    gain = -0.7
    budget = make_budget("l2", mixture, 0, snr=20)
    run = attack(steps=100, random_start=False)
    _, curve = run(Gain(gain), mixture, vocals, None, budget, generator())
    residual = (gain * mixture - vocals).norm(dim=-1, keepdim=True)
    optimum = (residual + abs(gain) * budget.radius).square() / mixture.shape[-1]
    assert torch.allclose(curve[:, -1], optimum[:, 0], rtol=1e-3)
    assert torch.allclose(budget.radius, 0.1 * mixture.norm(dim=-1, keepdim=True))


@pytest.fixture
def separator(make_params: Callable[..., Params]) -> InformedRSVM:
    params = make_params()
    return InformedRSVM(build_model(params, params.variant("improved"), 0))


class Saturating(Gain):
    """A smooth non-linear separator whose output resembles the vocals."""

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        return torch.tanh(self.gain * mixture)


@pytest.mark.parametrize(("system", "objective"), [("rsvm", "mse"), ("tanh", "si_sdr")])
def test_agrees_with_foolbox(separator: InformedRSVM, system: str, objective: str) -> None:
    victim: Separator = separator if system == "rsvm" else Saturating(3.0)
    loss_of = OBJECTIVES[objective]
    mixture, vocals = signals(samples=1000)
    context = victim.context(mixture, vocals)
    eps, steps, step = 0.01, 4, 0.2

    class OnWaveforms(foolbox.attacks.LinfProjectedGradientDescentAttack):
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            def loss(x: Any) -> Any:
                estimate = victim.separate(x.raw, context)
                return eagerpy.astensor(loss_of(estimate, vocals, estimate).sum())

            return loss

    theirs = OnWaveforms(abs_stepsize=step * eps, steps=steps, random_start=False)
    model = foolbox.PyTorchModel(torch.nn.Identity().eval(), bounds=(-10, 10), device="cpu")
    labels = foolbox.criteria.Misclassification(torch.zeros(3, dtype=torch.long))
    expected = theirs.run(model, mixture, labels, epsilon=eps)
    ours = attack(loss_of, steps=steps, step_size=step, step_rule=constant, random_start=False)
    budget = make_budget("linf", mixture, eps, 0)
    found, curve = ours(victim, mixture, vocals, context, budget, generator())
    reached = loss_of(victim.separate(expected, context), vocals, vocals)
    # A sign may flip where a gradient is zero up to rounding; nothing else may differ.
    assert ((found - expected).abs() > 1e-6).float().mean() < 0.005
    assert torch.allclose(curve[:, -1], reached, rtol=1e-4)
    assert (curve[:, -1] > curve[:, 0]).all()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    eps=st.sampled_from([0.0, 1e-7, 1e-5, 0.003, 0.1]),
    norm=st.sampled_from(["linf", "l2"]),
    snr=st.sampled_from([0.0, 30.0, 120.0]),
)
def test_what_is_stored_keeps_the_budget(seed: int, eps: float, norm: str, snr: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    mixture = torch.randn(4, 64, generator=draw)
    mixture[0] = 0  # silence
    budget = make_budget(norm, mixture, eps, snr)
    delta = budget.project(torch.randn(4, 64, generator=draw))
    stored = inside(budget, mixture, mixture + delta)
    assert stored.dtype == torch.float32
    size = budget.size(stored.double() - mixture.double())
    assert (size <= budget.radius.double()).all()
    # Budgets that float32 can hold are used, not given up.
    radius = budget.radius.double()
    used = budget.size(delta) > 0.999 * radius
    assert (size > 0.99 * radius)[used & (radius > 1e-4)].all()


def test_random_starts_are_inside() -> None:
    like = torch.zeros(50, 400)
    for budget in (LinfBudget(torch.full((50, 1), 0.1)), L2Budget(torch.full((50, 1), 0.1))):
        start = budget.start(like, generator())
        assert (budget.size(start) <= 0.1 + 1e-6).all()
        assert budget.size(start).mean() > 0.09


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_worst_iterate_is_monotone_and_real(separator: InformedRSVM, name: str) -> None:
    mixture, vocals = signals(samples=500)
    context = separator.context(mixture, vocals)
    budget = make_budget("linf", mixture, 0.02, 0)
    run = attack(OBJECTIVES[name], steps=12, step_size=1.5, step_rule=constant)
    found, curve = run(separator, mixture, vocals, context, budget, generator())
    assert curve.shape == (3, 13)
    assert (curve.diff(dim=1) >= 0).all()
    clean = separator.separate(mixture, context)
    reached = OBJECTIVES[name](separator.separate(found, context), vocals, clean)
    assert torch.allclose(reached, curve[:, -1], rtol=1e-4)
    # Under a constant step, more steps go on where fewer stopped.
    short = attack(OBJECTIVES[name], steps=5, step_size=1.5, step_rule=constant)
    _, first = short(separator, mixture, vocals, context, budget, generator())
    assert torch.allclose(first, curve[:, :6])


def test_restarts_never_make_it_weaker(separator: InformedRSVM) -> None:
    mixture, vocals = signals(samples=500)
    context = separator.context(mixture, vocals)
    budget = make_budget("linf", mixture, 0.02, 0)
    runs = [
        attack(negative_si_sdr, steps=2, restarts=restarts)(
            separator, mixture, vocals, context, budget, generator()
        )[1][:, -1]
        for restarts in (1, 4)
    ]
    assert (runs[1] >= runs[0]).all()


def test_no_budget_means_no_change(separator: InformedRSVM) -> None:
    mixture, vocals = signals(samples=500)
    context = separator.context(mixture, vocals)
    found, _ = attack()(
        separator, mixture, vocals, context, make_budget("linf", mixture, 0, 0), generator()
    )
    assert torch.equal(found, mixture)


def test_weights_get_no_gradient_and_silence_no_nan(separator: InformedRSVM) -> None:
    mixture, vocals = torch.zeros(2, 500), torch.zeros(2, 500)
    context = separator.context(mixture, vocals)
    budget = make_budget("linf", mixture, 0.01, 0)
    found, curve = attack(negative_si_sdr)(separator, mixture, vocals, context, budget, generator())
    assert torch.isfinite(found).all()
    assert torch.isfinite(curve).all()
    assert all(weight.grad is None for weight in separator.model.parameters())


def test_decaying_steps_end_small() -> None:
    assert [decaying(step, 4) for step in range(4)] == [1, 0.75, 0.5, 0.25]
