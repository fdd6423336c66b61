"""Every method: its budget, its optimum where that is known, and what it asks of a system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from attack_toys import Counting, Gain, Saturating, case_of, linf, signals
from torch import Tensor

from stemproof.attacks.budgets import Bound, L2Budget, used
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case, Found
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.nes import NES
from stemproof.attacks.noise import RandomNoise
from stemproof.attacks.objectives import mse, negative_si_sdr, output_distance
from stemproof.attacks.registry import METHODS
from stemproof.attacks.restarts import Restarts
from stemproof.attacks.search import RandomSearch
from stemproof.attacks.sparse import SparseSaliency
from stemproof.attacks.steps import Decaying
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.separators.protocol import Separator, Side

MakeParams = Callable[..., Any]
QUICK = {
    "snr": 20.0,
    "eps": 0.02,
    "samples": 20,
    "pgd": {"steps": 30},
    "search": {"queries": 30},
    "nes": {"queries": 60, "population": 4, "cutoff": 1e6},
    "universal": {"epochs": 30},
    "minimal": {"drop": 0.5},
}
EVERY = [(name, norm) for name, method in METHODS.items() for norm in method.norms]


def pgd(objective: Any = mse, steps: int = 20) -> GradientAttack:
    return GradientAttack(objective, steps, 0.25, Decaying, random_start=False)


def played(make_params: MakeParams, case_with: Callable[[Bound], Case], **attack: Any) -> Found:
    """What the attack of some parameters finds for a case that is made with their bound."""
    params = make_params(attack={**QUICK, **attack}).attack
    return build_attack(params)(case_with(params.bound))


def test_every_method_keeps_its_budget_and_never_helps(make_params: MakeParams) -> None:
    """One interface: what `attack.method` names, built from parameters, on one batch."""
    mixture, vocals = signals(samples=500)
    separator = Saturating(3.0)
    reached = {}
    for method, norm in EVERY:
        params = make_params(attack={**QUICK, "method": method, "norm": norm}).attack
        case = case_of(separator, mixture, vocals, params.bound)
        found = build_attack(params)(case)
        assert found.adversarial.dtype == torch.float32
        assert found.adversarial.shape == mixture.shape
        assert used(case.budget, mixture, found.adversarial) <= 1
        assert found.losses.shape[0] == len(mixture)
        loss = negative_si_sdr.measure(case.separate(found.adversarial), vocals)
        # Universal noise may help one segment or another; nothing else ever helps.
        if method != "universal":
            assert (found.losses.diff(dim=1) >= 0).all()
            assert torch.allclose(loss, found.losses[:, -1], atol=0.05)
            assert (loss >= found.losses[:, 0] - 1e-4).all()
        reached[method, norm] = loss.mean().item()
    for norm in ("linf", "l2"):
        assert reached["pgd", norm] > reached["fgsm", norm] > reached["noise", norm]
        assert reached["pgd", norm] > reached["search", norm]
    assert reached["sparse", "l0"] > reached["noise", "l0"]


@pytest.mark.parametrize(("method", "norm"), EVERY)
def test_the_budget_is_over_all_channels(make_params: MakeParams, method: str, norm: str) -> None:
    """Two channels, of which one is silent: its share of the budget is the other's to use."""
    mixture, vocals = signals(samples=400)
    mixture[:, 200:], vocals[:, 200:] = 0, 0
    system = Saturating(3.0, channels=2)
    params = make_params(attack={**QUICK, "method": method, "norm": norm, "snr": 10.0}).attack
    case = case_of(system, mixture, vocals, params.bound)
    assert case.shaped(mixture).shape == (3, 2, 200)
    found = build_attack(params)(case).adversarial
    assert used(case.budget, mixture, found) <= 1
    if norm == "l2":
        whole = params.bound.budget(mixture).radius
        assert torch.equal(case.budget.radius, whole)
    if norm == "l0":
        changed = (found != mixture).sum(-1)
        assert (changed <= 20).all()
        if method == "sparse":
            assert (changed == 20).all()


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_averages_over_the_passes(make_params: MakeParams, method: str) -> None:
    mixture, vocals = signals()
    passes = []
    for count in (1, 3):
        system = Counting(3.0)
        norm = METHODS[method].norms[0]
        attack = {**QUICK, "method": method, "norm": norm, "eot_samples": count}
        params = make_params(attack=attack).attack
        build_attack(params)(case_of(system, mixture, vocals, params.bound, params.eot_samples))
        passes.append(system.passes)
    assert passes[1] == 3 * passes[0]


class BrokenWhenPushed(Saturating):
    """Gives NaN for the second item as soon as it is perturbed."""

    def __init__(self, clean: Tensor) -> None:
        super().__init__(3.0)
        self.clean = clean[1]

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        mine = torch.arange(len(mixture))[:, None, None] == 1
        pushed = mine & ((mixture - self.clean).abs().amax(-1, keepdim=True) > 1e-6)
        return torch.where(pushed, torch.nan, 1.0) * super().separate(mixture, side)


@pytest.mark.parametrize("method", list(METHODS))
def test_what_is_not_a_number_does_not_pass_for_robust(
    make_params: MakeParams, method: str
) -> None:
    mixture, vocals = signals()
    system = BrokenWhenPushed(mixture)
    found = played(
        make_params,
        lambda bound: case_of(system, mixture, vocals, bound),
        method=method,
        norm=METHODS[method].norms[0],
    )
    finite = torch.isfinite(found.losses).all(-1) & torch.isfinite(found.adversarial).all(-1)
    assert not finite[1]
    if method != "universal":  # one perturbation for all
        assert finite[0] and finite[2]


@pytest.mark.parametrize("method", ["pgd", "noise", "search", "nes"])
def test_restarts_keep_the_worst_of_every_item(make_params: MakeParams, method: str) -> None:
    mixture, vocals = signals(batch=6, samples=300)
    attack = {**QUICK, "method": method, "pgd": {"steps": 2}, "search": {"queries": 5}}
    attack["nes"] = {"queries": 14, "population": 2}
    once = build_attack(make_params(attack=attack).attack)
    params = make_params(attack={**attack, "restarts": 4}).attack
    often = build_attack(params)
    assert often == Restarts(once, 4)
    case = case_of(Saturating(3.0), mixture, vocals, params.bound)
    runs = [once(case.restarted(run)) for run in range(4)]
    # Other random numbers find something else.
    assert not torch.equal(runs[0].adversarial, runs[1].adversarial)
    found = often(case)
    losses = torch.stack([run.losses[:, -1] for run in runs])
    worst = losses.argmax(0)
    assert len(set(worst.tolist())) > 1  # the test sees who is kept
    assert torch.equal(found.losses[:, -1], losses.max(0).values)
    assert (found.losses[:, -1] >= once(case).losses[:, -1]).all()
    for item, run in enumerate(worst.tolist()):
        assert torch.equal(found.adversarial[item], runs[run].adversarial[item])
    assert used(case.budget, mixture, found.adversarial) <= 1


def test_restarts_do_not_hide_what_is_not_a_number() -> None:
    number, broken = torch.ones(1, 2), torch.full((1, 2), torch.nan)
    for losses in ([number, broken], [broken, number]):
        queue = iter(losses)
        attack = Restarts(lambda case: Found(case.mixture, next(queue)), 2)  # noqa: B023
        mixture, vocals = signals(batch=1)
        assert torch.isnan(attack(case_of(Gain(1.0), mixture, vocals, linf(0.1))).losses).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_minimal_perturbation_costs_exactly_what_was_asked(norm: Any) -> None:
    mixture, vocals = signals(samples=400)
    for drop in (1.0, 3.0):
        case = case_of(Saturating(3.0), mixture, vocals, Bound(norm, bounded=False))
        found = MinimalPerturbation(drop, norm)(case)
        assert found.losses.shape == (3, 31)
        before = negative_si_sdr.measure(case.separate(mixture), vocals)
        after = negative_si_sdr.measure(case.separate(found.adversarial), vocals)
        assert torch.allclose(after - before, torch.full_like(after, drop), atol=0.02)


def test_minimal_perturbation_is_close_to_the_smallest() -> None:
    """On a linear system PGD of the same L2 norm finds little more, and none of half the norm."""
    mixture, vocals = signals(samples=400)
    case = case_of(Gain(1.0), mixture, vocals, Bound("l2", bounded=False))
    delta = MinimalPerturbation(1.0, "l2")(case).adversarial - mixture
    before = negative_si_sdr.measure(mixture, vocals)
    for factor, low, high in ((1.0, 0.99, 1.1), (0.5, 0.0, 0.7)):
        budget = L2Budget(factor * delta.norm(dim=-1, keepdim=True))
        same = Case(case.separator, mixture, vocals, None, budget, case.seeds)
        gained = pgd(negative_si_sdr, steps=200)(same).losses[:, -1] - before
        assert (gained > low).all() and (gained < high).all()


def test_sparse_saliency_finds_the_best_samples_of_a_linear_system() -> None:
    mixture, vocals = signals()
    case = case_of(Gain(-0.7), mixture, vocals, Bound("l0", samples=7, amplitude=0.5))
    found = SparseSaliency(mse, rounds=3)(case)
    delta = found.adversarial - mixture
    assert ((delta != 0).sum(-1) == 7).all()
    assert (case.budget.size(found.adversarial.double() - mixture.double()) == 7).all()
    assert torch.allclose(delta[delta != 0].abs(), torch.tensor(0.5), atol=1e-6)
    residual = -0.7 * mixture - vocals
    gain = (residual.abs() + 0.7 * 0.5).square() - residual.square()
    optimum = (residual.square().sum(-1) + gain.topk(7).values.sum(-1)) / mixture.shape[-1]
    assert torch.allclose(found.losses[:, -1], optimum, rtol=1e-5)


def test_more_samples_than_there_are_may_all_change() -> None:
    mixture, vocals = signals(samples=50)
    case = case_of(Gain(-0.7), mixture, vocals, Bound("l0", samples=5000, amplitude=0.5))
    found = SparseSaliency(mse)(case).adversarial
    assert (found != mixture).all()


def test_sparse_saliency_needs_its_budget() -> None:
    mixture, vocals = signals()
    with pytest.raises(TypeError, match="needs an L0 budget"):
        SparseSaliency(mse)(case_of(Gain(1.0), mixture, vocals, linf(0.1)))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_search_keeps_its_budget_and_uses_no_gradient(norm: Any) -> None:
    class NoGradient(Saturating):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            assert not torch.is_grad_enabled()
            return super().separate(mixture, side)

    mixture, vocals = signals(samples=400)
    bound = Bound(norm, eps=0.02, snr=20)
    case = case_of(NoGradient(3.0), mixture, vocals, bound)
    found = RandomSearch(mse, queries=150)(case)
    assert found.losses.shape == (3, 151)
    assert (found.losses.diff(dim=1) >= 0).all()
    assert (found.losses[:, -1] > found.losses[:, 0]).all()
    assert used(case.budget, mixture, found.adversarial) <= 1
    white = pgd()(case_of(Saturating(3.0), mixture, vocals, bound))
    assert (white.losses[:, -1] > found.losses[:, -1]).all()


class Outputs(Counting):
    """Gives numbers and no gradient: they come from outside of PyTorch."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert not torch.is_grad_enabled()
        assert not mixture.requires_grad
        out = super().separate(mixture, side)
        return torch.from_numpy(out.numpy().copy())


@pytest.mark.parametrize("objective", [mse, negative_si_sdr])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_nes_works_on_outputs_alone_and_finds_more_than_noise(norm: Any, objective: Any) -> None:
    mixture, vocals = signals(samples=400)
    bound = Bound(norm, eps=0.02, snr=20)
    case = case_of(Outputs(3.0), mixture, vocals, bound)
    found = NES(objective, 401, 40, cutoff=1e6)(case)
    assert (found.losses.diff(dim=1) >= 0).all()
    assert used(case.budget, mixture, found.adversarial) <= 1
    target = objective.target(case)
    with torch.no_grad():
        assert torch.equal(objective.loss(case, found.adversarial, target), found.losses[:, -1])
    # As many passes spent on random signs of the whole budget find less.
    noise = Restarts(RandomNoise(objective), 200)(case_of(Outputs(3.0), mixture, vocals, bound))
    assert (found.losses[:, -1] > noise.losses[:, -1]).all()
    white = pgd(objective)(case_of(Saturating(3.0), mixture, vocals, bound))
    assert (white.losses[:, -1] > found.losses[:, -1]).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_nes_finds_the_direction_of_a_linear_system(norm: Any) -> None:
    """With many pairs the estimate is the gradient: one step is nearly that of FGSM."""
    mixture, vocals = signals(samples=50)
    case = case_of(Gain(0.5), mixture, vocals, Bound(norm, eps=0.01, snr=30))
    found = NES(mse, queries=6002, population=3000, sigma=0.1, step_size=1.0, cutoff=1e6)(case)
    gradient = 0.5 * mixture - vocals
    best = case.budget.steepest(gradient)
    delta = (found.adversarial - mixture) / case.budget.radius
    gained = (delta * gradient).sum(-1) / (best * gradient).sum(-1)
    assert (gained > 0.97).all() and (gained <= 1.0001).all()


def test_nes_moves_the_distance_to_the_clean_output_from_a_random_start() -> None:
    """At the mixture both points of every pair are equally far from it."""
    mixture, vocals = signals(samples=300)
    found = NES(output_distance, 100)(case_of(Outputs(3.0), mixture, vocals, linf(0.01)))
    assert (found.losses[:, 0] == 0).all()
    assert (found.losses[:, -1] > 0).all()


@pytest.mark.parametrize("channels", [1, 2])
def test_directions_below_the_cutoff_find_what_lies_there(channels: int) -> None:
    """A system that lets low frequencies through: few pairs see more of it without the others."""

    class Low(Outputs):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            spectrum = torch.fft.rfft(super().separate(mixture, side))
            return torch.fft.irfft(spectrum[..., : mixture.shape[-1] // 40], mixture.shape[-1])

    mixture, vocals = signals(samples=4000)
    bound = linf(0.005)
    gained, moved = {}, {}
    for cutoff in (100.0, 1e6):
        case = case_of(Low(3.0, channels), mixture, vocals, bound)
        found = NES(negative_si_sdr, 120, cutoff=cutoff)(case)
        gained[cutoff] = found.losses[:, -1] - found.losses[:, 0]
        direction = NES(mse, 9, cutoff=cutoff)._direction(case, case.draws("x"))
        assert direction.square().mean(-1).sub(1).abs().max() < 0.1
        spectrum = torch.fft.rfft(case.shaped(direction)).abs().square()
        hertz = torch.fft.rfftfreq(4000 // channels, 1 / 4000)
        moved[cutoff] = (spectrum[..., hertz > 110].sum() / spectrum.sum()).item()
    assert (gained[100.0] > 2 * gained[1e6]).all()
    assert moved[100.0] < 1e-6 and moved[1e6] > 0.9


@pytest.mark.parametrize("queries", [4, 5, 6, 17, 30, 41, 42, 100, 101, 1000])
@pytest.mark.parametrize("population", [1, 4, 20])
def test_nes_spends_its_queries_and_no_more(queries: int, population: int) -> None:
    mixture, vocals = signals(batch=2, samples=20)
    system = Counting(3.0)
    attack = NES(mse, queries, population)
    found = attack(case_of(system, mixture, vocals, linf(0.01)))
    left_over = int(len(attack.pairs) == 1 and queries % 2)
    assert system.passes == queries - left_over
    assert found.losses.shape == (2, len(attack.pairs) + 1)
    enough = queries > 2 * population + 1
    assert all(pairs >= (population if enough else 1) for pairs in attack.pairs)


def test_a_universal_perturbation_sees_other_draws_in_every_epoch() -> None:
    drawn: list[tuple[int, ...]] = []

    class Recording(Saturating):
        def redrawn(self, seeds: Sequence[int]) -> Separator:
            drawn.append(tuple(seeds))
            return self

    class Cases(list[Any]):
        def __iter__(self) -> Iterator[Case]:  # made anew, as those of a whole data set
            mixture, vocals = signals()
            yield case_of(Recording(3.0), mixture, vocals, linf(0.01))

    UniversalPerturbation(mse, linf(0.01), epochs=4).learned(Cases([0]))
    assert len(drawn) == 4
    assert len(set(drawn)) == 4


def test_a_universal_perturbation_costs_segments_it_never_saw() -> None:
    mixture, _ = signals(batch=24, samples=200)
    # All segments share a direction: the same offset hurts every one of them.
    vocals = mixture - 0.05
    seen = case_of(Gain(1.0), mixture[:16], vocals[:16], linf(0.01))
    fresh = case_of(Gain(1.0), mixture[16:], vocals[16:], linf(0.01))
    learned = UniversalPerturbation(mse, linf(0.01), epochs=10).learned([seen])
    assert learned.delta.shape == (1, 200)
    assert torch.allclose(learned.delta, torch.full_like(learned.delta, 0.01), atol=1e-6)
    found = learned(fresh)
    before, after = found.losses.unbind(1)
    assert torch.allclose(before, mse.measure(mixture[16:], vocals[16:]))
    assert torch.allclose(after, torch.full_like(after, 0.06**2), rtol=1e-3)
    assert (after > before).all()
    assert used(fresh.budget, mixture[16:], found.adversarial) <= 1
