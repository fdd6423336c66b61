"""Budgets: what is stored keeps them, and noise fills them."""

from __future__ import annotations

import pytest
import torch
from attack_toys import signals
from hypothesis import given, settings
from hypothesis import strategies as st

from stemproof.attacks.budgets import Bound, L0Budget, L2Budget, LinfBudget, matched, used
from stemproof.attacks.noise import NOISES
from stemproof.core.random import Draws


def draws(batch: int = 3, *purpose: str) -> Draws:
    return Draws.of(range(batch), *purpose)


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
    budget = Bound(norm, eps=eps, snr=snr).budget(mixture)  # type: ignore[arg-type]
    delta = budget.project(torch.randn(4, 64, generator=draw))
    stored = budget.keeper(mixture)(mixture + delta)
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
        start = budget.start(like, draws(50))
        assert (budget.size(start) <= 0.1 + 1e-6).all()
        assert budget.size(start).mean() > 0.09


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), count=st.integers(0, 70), amplitude=st.floats(1e-6, 1))
def test_the_l0_budget(seed: int, count: int, amplitude: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    mixture = torch.randn(3, 64, generator=draw)
    budget = L0Budget(torch.full((3, 1), float(count)), amplitude)
    for delta in (
        budget.project(torch.randn(3, 64, generator=draw)),
        budget.start(mixture, draws(3, str(seed))),
    ):
        assert ((delta != 0).sum(-1) <= count).all()
        stored = budget.keeper(mixture)(mixture + delta)
        assert (budget.size(stored.double() - mixture.double()) <= count).all()
    start = budget.start(mixture, draws(3, "start"))
    assert ((start != 0).sum(-1) == min(count, 64)).all()
    too_loud = torch.zeros(3, 64)
    too_loud[0, 5] = 1.01 * amplitude
    assert torch.isinf(budget.size(too_loud)[0])


def test_matched_noise_has_the_norm_of_the_perturbation() -> None:
    mixture, _ = signals()
    for bound in (Bound("linf", eps=0.01), Bound("l2", snr=30)):
        budget = bound.budget(mixture)
        stored = budget.keeper(mixture)(mixture + 0.3 * budget.start(mixture, draws()))
        same = matched(budget, mixture, stored)
        noise = NOISES["signs"](mixture, same, draws())
        size = budget.size(stored.double() - mixture.double())
        assert torch.allclose(budget.size(noise), size, rtol=1e-4)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", list(NOISES))
def test_noise_has_the_norm_of_the_attack(norm: str, name: str) -> None:
    mixture, _ = signals()
    budget = Bound(norm, eps=0.01, snr=30).budget(mixture)  # type: ignore[arg-type]
    noise = NOISES[name](mixture, budget, draws())
    assert torch.allclose(budget.size(noise).float(), budget.radius, rtol=1e-5)
    assert not torch.equal(noise, NOISES[name](mixture, budget, draws(3, "other")))


def test_a_bound_is_a_ball_around_every_item() -> None:
    mixture, _ = signals()
    budget = Bound("linf", eps=0.003).budget(mixture)
    assert isinstance(budget, LinfBudget)
    # The largest float32 that is not above eps.
    assert (budget.radius.double() <= 0.003).all()
    assert torch.allclose(budget.radius, torch.full((3, 1), 0.003))
    budget = Bound("l2", snr=20.0).budget(mixture)
    assert isinstance(budget, L2Budget)
    assert torch.allclose(budget.radius, 0.1 * mixture.norm(dim=-1, keepdim=True))
    sparse = Bound("l0", samples=7, amplitude=0.2).budget(mixture)
    assert isinstance(sparse, L0Budget)
    assert (sparse.radius == 7).all() and sparse.amplitude == 0.2
    for norm in ("linf", "l2", "l0"):
        free = Bound(norm, eps=0.1, samples=3, amplitude=0.1, bounded=False)  # type: ignore[arg-type]
        assert torch.isinf(free.budget(mixture).radius).all()


@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0, 100.0])
def test_a_multiple_of_a_bound_is_a_multiple_of_the_radius(factor: float) -> None:
    mixture, _ = signals()
    for bound in (
        Bound("linf", eps=0.01),
        Bound("l2", snr=30.0),
        Bound("l0", samples=20, amplitude=0.3),
    ):
        once, often = bound.budget(mixture), bound.times(factor).budget(mixture)
        assert type(once) is type(often)
        assert torch.allclose(often.radius, factor * once.radius, rtol=1e-5)
        if isinstance(often, L0Budget):
            assert often.amplitude == 0.3


def test_what_is_used_is_counted_over_all_items() -> None:
    mixture, _ = signals()
    budget = Bound("linf", eps=0.01).budget(mixture)
    adversarial = mixture.clone()
    assert used(budget, mixture, adversarial) == 0
    adversarial[2, 5] += 0.02
    assert used(budget, mixture, adversarial) == pytest.approx(2, rel=1e-4)
    nothing = Bound("linf", eps=0.0).budget(mixture)
    assert used(nothing, mixture, mixture) == 0
    assert used(nothing, mixture, adversarial) == float("inf")
