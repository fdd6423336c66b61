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
from torch.utils._python_dispatch import TorchDispatchMode

from stemproof.attacks.build import build_attack
from stemproof.attacks.gradient import GradientAttack, fgsm
from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.noise import NOISES
from stemproof.attacks.norms import (
    L0Budget,
    L2Budget,
    LinfBudget,
    budget_of,
    make_budget,
    matched,
    used,
)
from stemproof.attacks.objectives import OBJECTIVES, Objective, mse, negative_si_sdr
from stemproof.attacks.search import RandomSearch
from stemproof.attacks.sparse import SparseSaliency
from stemproof.attacks.steps import STEP_RULES, Constant, Decaying
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.params import Params
from stemproof.separators.protocol import Context, InformedRSVM, Separator
from stemproof.separators.rsvm.model import build_model


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


def attack(objective: Any = mse, **changes: Any) -> GradientAttack:
    return GradientAttack(
        **{"objective": objective, "steps": 20, "step_size": 0.25, "rule": Decaying, **changes}
    )


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
    return InformedRSVM(build_model(params, params.variant("improved"), 0).freeze())


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
                return eagerpy.astensor(loss_of(estimate, vocals).sum())

            return loss

    theirs = OnWaveforms(abs_stepsize=step * eps, steps=steps, random_start=False)
    model = foolbox.PyTorchModel(torch.nn.Identity().eval(), bounds=(-10, 10), device="cpu")
    labels = foolbox.criteria.Misclassification(torch.zeros(3, dtype=torch.long))
    expected = theirs.run(model, mixture, labels, epsilon=eps)
    ours = attack(loss_of, steps=steps, step_size=step, rule=Constant, random_start=False)
    budget = make_budget("linf", mixture, eps, 0)
    found, curve = ours(victim, mixture, vocals, context, budget, generator())
    reached = loss_of(victim.separate(expected, context), vocals)
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
        start = budget.start(like, generator())
        assert (budget.size(start) <= 0.1 + 1e-6).all()
        assert budget.size(start).mean() > 0.09


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_worst_iterate_is_monotone_and_real(separator: InformedRSVM, name: str) -> None:
    mixture, vocals = signals(samples=500)
    context = separator.context(mixture, vocals)
    budget = make_budget("linf", mixture, 0.02, 0)
    run = attack(OBJECTIVES[name], steps=12, step_size=1.5, rule=Constant)
    found, curve = run(separator, mixture, vocals, context, budget, generator())
    assert curve.shape == (3, 13)
    assert (curve.diff(dim=1) >= 0).all()
    clean = separator.separate(mixture, context)
    target = clean if name == "output_distance" else vocals
    reached = OBJECTIVES[name](separator.separate(found, context), target)
    assert torch.allclose(reached, curve[:, -1], rtol=1e-4)
    # Under a constant step, more steps go on where fewer stopped.
    short = attack(OBJECTIVES[name], steps=5, step_size=1.5, rule=Constant)
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


def test_every_method_keeps_its_budget_and_never_helps(
    make_params: Callable[..., Params],
) -> None:
    """One interface: what `attack.method` names, built from parameters, on one batch."""
    mixture, vocals = signals(samples=500)
    separator, context = Saturating(3.0), None
    norms = {"sparse": ["l0"], "noise": ["linf", "l2", "l0"], "universal": ["linf"]}
    reached = {}
    for method in ("pgd", "fgsm", "search", "noise", "universal", "minimal", "sparse"):
        for norm in norms.get(method, ["linf", "l2"]):
            sizes = {"snr": 20.0, "samples": 20, "queries": 30, "drop": 0.5, "steps": 30}
            params = make_params(attack={"method": method, "norm": norm, "eps": 0.02, **sizes})
            attack = build_attack(params.attack)
            if isinstance(attack, UniversalPerturbation):
                one = make_budget("linf", mixture[:1], 0.02, 0)
                attack = attack.learn(separator, [(mixture, vocals, context)], one)
            budget = budget_of(params.attack, mixture)
            found, curve = attack(separator, mixture, vocals, context, budget, generator())
            assert found.dtype == torch.float32
            assert found.shape == mixture.shape
            assert used(budget, mixture, found) <= 1
            assert curve.shape[0] == len(mixture)
            assert (curve.diff(dim=1) >= 0).all()
            loss = negative_si_sdr(separator.separate(found, context), vocals)
            # Universal noise may help one segment or another; nothing else ever helps.
            if method != "universal":
                assert torch.allclose(loss, curve[:, -1], atol=0.05)
                assert (loss >= curve[:, 0] - 1e-4).all()
            reached[method, norm] = loss.mean().item()
    for norm in ("linf", "l2"):
        assert reached["pgd", norm] > reached["fgsm", norm] > reached["noise", norm]
        assert reached["pgd", norm] > reached["search", norm]
    assert reached["sparse", "l0"] > reached["noise", "l0"]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), count=st.integers(0, 70), amplitude=st.floats(1e-6, 1))
def test_the_l0_budget(seed: int, count: int, amplitude: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    mixture = torch.randn(3, 64, generator=draw)
    budget = L0Budget(torch.full((3, 1), float(count)), amplitude)
    for delta in (
        budget.project(torch.randn(3, 64, generator=draw)),
        budget.start(mixture, draw),
    ):
        assert ((delta != 0).sum(-1) <= count).all()
        stored = budget.keeper(mixture)(mixture + delta)
        assert (budget.size(stored.double() - mixture.double()) <= count).all()
    assert ((budget.start(mixture, draw) != 0).sum(-1) == min(count, 64)).all()
    too_loud = torch.zeros(3, 64)
    too_loud[0, 5] = 1.01 * amplitude
    assert torch.isinf(budget.size(too_loud)[0])


def test_matched_noise_has_the_norm_of_the_perturbation(separator: InformedRSVM) -> None:
    mixture, _ = signals()
    for kind in ("linf", "l2"):
        budget = make_budget(kind, mixture, 0.01, 30)
        stored = budget.keeper(mixture)(mixture + 0.3 * budget.start(mixture, generator()))
        same = matched(budget, mixture, stored)
        noise = NOISES["signs"](mixture, same, generator())
        size = budget.size(stored.double() - mixture.double())
        assert torch.allclose(budget.size(noise), size, rtol=1e-4)


def test_no_budget_means_no_change(separator: InformedRSVM) -> None:
    mixture, vocals = signals(samples=500)
    context = separator.context(mixture, vocals)
    found, _ = attack()(
        separator, mixture, vocals, context, make_budget("linf", mixture, 0, 0), generator()
    )
    assert torch.equal(found, mixture)


class Convolutions(TorchDispatchMode):
    """Records, for every backward pass through a convolution, what got a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[tuple[bool, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            self.wanted.append(tuple(args[-1]))  # input, weight, bias
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("frozen", [True, False])
def test_no_gradient_of_a_weight_is_computed(
    make_params: Callable[..., Params], frozen: bool
) -> None:
    params = make_params()
    model = build_model(params, params.variant("improved"), 0)
    separator = InformedRSVM(model.freeze() if frozen else model.eval())
    mixture, vocals = signals(samples=500)
    context = separator.context(mixture, vocals)
    budget = make_budget("linf", mixture, 0.01, 0)
    with Convolutions() as seen:
        attack(negative_si_sdr)(separator, mixture, vocals, context, budget, generator())
        assert seen.wanted
        assert set(seen.wanted) == {(True, False, False)}
        if not frozen:  # the recorder does see gradients of weights
            seen.wanted.clear()
            separator.separate(mixture, context).sum().backward()
            assert any(weight for _, weight, _ in seen.wanted)


def test_silence_gives_no_nan(separator: InformedRSVM) -> None:
    mixture, vocals = torch.zeros(2, 500), torch.zeros(2, 500)
    context = separator.context(mixture, vocals)
    budget = make_budget("linf", mixture, 0.01, 0)
    found, curve = attack(negative_si_sdr)(separator, mixture, vocals, context, budget, generator())
    assert torch.isfinite(found).all()
    assert torch.isfinite(curve).all()


def test_decaying_steps_end_small() -> None:
    assert [Decaying(0.5, 4).fraction(step) for step in range(4)] == [1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("name", list(STEP_RULES))
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_rule_finds_the_optimum_of_a_linear_system(name: str, norm: str) -> None:
    mixture, vocals = signals()
    gain = -0.7
    budget = make_budget(norm, mixture, 0.01, snr=20)
    run = attack(steps=60, random_start=False, rule=STEP_RULES[name])
    found, curve = run(Gain(gain), mixture, vocals, None, budget, generator())
    residual = gain * mixture - vocals
    if norm == "linf":
        optimum = (residual.abs() + abs(gain) * 0.01).square().mean(-1)
    else:
        longest = residual.norm(dim=-1) + abs(gain) * budget.radius[:, 0]
        optimum = longest.square() / mixture.shape[-1]
    # Adam evens out the samples' steps, which is not the steepest way in L2.
    tolerance = 0.03 if (name, norm) == ("adam", "l2") else 0.005
    assert torch.allclose(curve[:, -1], optimum, rtol=tolerance)
    assert (curve[:, -1] <= optimum * (1 + 1e-5)).all()
    assert (budget.size(found.double() - mixture.double()) <= budget.radius.double()).all()


def test_fgsm_is_one_signed_step_and_agrees_with_foolbox(separator: InformedRSVM) -> None:
    mixture, vocals = signals(samples=500)
    context = separator.context(mixture, vocals)
    budget = make_budget("linf", mixture, 0.01, 0)

    class OnWaveforms(foolbox.attacks.LinfFastGradientAttack):
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            def loss(x: Any) -> Any:
                estimate = separator.separate(x.raw, context)
                return eagerpy.astensor(mse(estimate, vocals).sum())

            return loss

    model = foolbox.PyTorchModel(torch.nn.Identity().eval(), bounds=(-10, 10), device="cpu")
    labels = foolbox.criteria.Misclassification(torch.zeros(3, dtype=torch.long))
    expected = OnWaveforms(random_start=False).run(model, mixture, labels, epsilon=0.01)
    found, _ = fgsm(mse)(separator, mixture, vocals, context, budget, generator())
    assert ((found - expected).abs() > 1e-6).float().mean() < 0.005


def test_fgsm_is_weaker_than_pgd(separator: InformedRSVM) -> None:
    mixture, vocals = signals(samples=500)
    context = separator.context(mixture, vocals)
    budget = make_budget("linf", mixture, 0.05, 0)
    reached = [
        run(separator, mixture, vocals, context, budget, generator())[1][:, -1].mean()
        for run in (
            fgsm(mse),
            attack(steps=5, step_size=0.5, random_start=False),
            attack(steps=20, step_size=0.5, random_start=False),
        )
    ]
    assert reached[0] < reached[1] <= reached[2] * (1 + 1e-4)


def test_auto_pgd_halves_its_step_on_a_plateau() -> None:
    """On a loss whose optimum is inside the ball, full steps overshoot for ever."""

    class Bowl:
        def context(self, mixture: Tensor, vocals: Tensor) -> Context:
            return None

        def separate(self, mixture: Tensor, context: Context) -> Tensor:
            return mixture

    inverted = Objective(lambda estimate, vocals: -(estimate - vocals).square().sum(-1))
    mixture = torch.zeros(2, 50)
    target = torch.full_like(mixture, 0.013)
    budget = make_budget("linf", mixture, 0.1, 0)
    losses = {
        name: attack(inverted, steps=100, step_size=1.0, rule=STEP_RULES[name], random_start=False)(
            Bowl(), mixture, target, None, budget, generator()
        )[1][:, -1]
        for name in ("constant", "auto")
    }
    assert (losses["auto"] > -1e-4).all()
    assert (losses["auto"] > losses["constant"]).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_minimal_perturbation_costs_exactly_what_was_asked(norm: Any) -> None:
    system = Saturating(3.0)
    mixture, vocals = signals(samples=400)
    for drop in (1.0, 3.0):
        unbounded = make_budget(norm, mixture, 1.0, 0.0)
        found, curve = MinimalPerturbation(drop, norm)(
            system, mixture, vocals, None, unbounded, generator()
        )
        delta = found - mixture
        assert curve.shape == (3, 31)
        before = negative_si_sdr(system.separate(mixture, None), vocals)
        after = negative_si_sdr(system.separate(mixture + delta, None), vocals)
        assert torch.allclose(after - before, torch.full_like(after, drop), atol=0.02)


def test_minimal_perturbation_is_close_to_the_smallest() -> None:
    """On a linear system PGD of the same L2 norm finds little more, and none of half the norm."""
    system = Gain(1.0)
    mixture, vocals = signals(samples=400)
    found, _ = MinimalPerturbation(1.0, "l2")(
        system, mixture, vocals, None, make_budget("l2", mixture, 0, 0), generator()
    )
    delta = found - mixture
    before = negative_si_sdr(mixture, vocals)
    for factor, low, high in ((1.0, 0.99, 1.1), (0.5, 0.0, 0.7)):
        budget = L2Budget(factor * delta.norm(dim=-1, keepdim=True))
        run = attack(negative_si_sdr, steps=200, random_start=False)
        _, curve = run(system, mixture, vocals, None, budget, generator())
        gained = curve[:, -1] - before
        assert (gained > low).all() and (gained < high).all()


def test_sparse_saliency_finds_the_best_samples_of_a_linear_system() -> None:
    mixture, vocals = signals()
    budget = L0Budget(torch.full((3, 1), 7.0), amplitude=0.5)
    found, curve = SparseSaliency(mse, rounds=3)(
        Gain(-0.7), mixture, vocals, None, budget, generator()
    )
    delta = found - mixture
    assert ((delta != 0).sum(-1) == 7).all()
    assert (budget.size(found.double() - mixture.double()) == 7).all()
    assert torch.allclose(delta[delta != 0].abs(), torch.tensor(0.5), atol=1e-6)
    residual = -0.7 * mixture - vocals
    gain = (residual.abs() + 0.7 * 0.5).square() - residual.square()
    optimum = (residual.square().sum(-1) + gain.topk(7).values.sum(-1)) / mixture.shape[-1]
    assert torch.allclose(curve[:, -1], optimum, rtol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_search_keeps_its_budget_and_uses_no_gradient(norm: str) -> None:
    class NoGradient(Saturating):
        def separate(self, mixture: Tensor, context: Context) -> Tensor:
            assert not torch.is_grad_enabled()
            return super().separate(mixture, context)

    mixture, vocals = signals(samples=400)
    budget = make_budget(norm, mixture, 0.02, 20)
    run = RandomSearch(mse, queries=150)
    found, curve = run(NoGradient(3.0), mixture, vocals, None, budget, generator())
    assert curve.shape == (3, 151)
    assert (curve.diff(dim=1) >= 0).all()
    assert (curve[:, -1] > curve[:, 0]).all()
    assert (budget.size(found.double() - mixture.double()) <= budget.radius.double()).all()
    white = attack(mse)(Saturating(3.0), mixture, vocals, None, budget, generator())[1]
    assert (white[:, -1] > curve[:, -1]).all()


def test_a_universal_perturbation_costs_segments_it_never_saw(separator: InformedRSVM) -> None:
    mixture, vocals = signals(batch=24, samples=200)
    # All segments share a direction: the same offset hurts every one of them.
    system = Gain(1.0)
    vocals = mixture - 0.05
    budget = LinfBudget(torch.full((1, 1), 0.01))
    seen = [(mixture[:16], vocals[:16], None)]
    played = UniversalPerturbation(mse, epochs=10).learn(system, seen, budget)
    delta = played.delta
    assert delta.shape == (1, 200)
    assert torch.allclose(delta, torch.full_like(delta, 0.01), atol=1e-6)
    before = mse(mixture[16:], vocals[16:])
    after = mse(mixture[16:] + delta, vocals[16:])
    assert torch.allclose(after, torch.full_like(after, 0.06**2), rtol=1e-3)
    assert (after > before).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", list(NOISES))
def test_noise_has_the_norm_of_the_attack(norm: str, name: str) -> None:
    mixture, _ = signals()
    budget = make_budget(norm, mixture, 0.01, 30)
    noise = NOISES[name](mixture, budget, generator())
    assert torch.allclose(budget.size(noise).float(), budget.radius, rtol=1e-5)
    assert not torch.equal(noise, NOISES[name](mixture, budget, generator().manual_seed(1)))


def test_eot_attacks_a_random_system_better() -> None:
    class Noisy(Gain):
        """A fresh random gain per sample and pass hides the gradient's signs in noise."""

        def separate(self, mixture: Tensor, context: Context) -> Tensor:
            return mixture * (self.gain + 4 * torch.randn_like(mixture))

    torch.manual_seed(0)
    mixture, vocals = signals(samples=400)
    budget = make_budget("linf", mixture, 0.05, 0)
    # The mean loss is (0.5 x - v)^2 + 16 x^2: the second part is what the randomness adds.
    residual = 0.5 * (0.5 * mixture - vocals) + 16 * mixture
    agreement = []
    for samples in (1, 64):
        run = attack(steps=1, step_size=1.0, rule=Constant, random_start=False, samples=samples)
        found, _ = run(Noisy(0.5), mixture, vocals, None, budget, generator())
        agreement.append(((found - mixture).sign() == residual.sign()).float().mean())
    assert agreement[1] > agreement[0] + 0.02
