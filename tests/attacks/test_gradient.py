"""PGD: its budget, its optimum where that is known, and foolbox's PGD on the same loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import eagerpy
import foolbox
import pytest
import torch
from attack_toys import Gain, Noisy, Saturating, case_of, linf, signals, small_rsvm
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case
from stemproof.attacks.fgsm import fgsm
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import OBJECTIVES, Objective, mse, negative_si_sdr
from stemproof.attacks.steps import STEP_RULES, Constant, Decaying
from stemproof.separators.protocol import Separator
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.separator import InformedRSVM, as_separator


def attack(objective: Any = mse, **changes: Any) -> GradientAttack:
    return GradientAttack(
        **{"objective": objective, "steps": 20, "step_size": 0.25, "rule": Decaying, **changes}
    )


@pytest.fixture
def separator(make_params: Callable[..., Any]) -> InformedRSVM:
    return small_rsvm(make_params)


def test_linf_reaches_the_closed_form_on_a_linear_system() -> None:
    mixture, vocals = signals()
    eps, gain = 0.01, -0.7
    run = attack(random_start=False)
    found = run(case_of(Gain(gain), mixture, vocals, linf(eps)))
    residual = gain * mixture - vocals
    optimum = (residual.abs() + abs(gain) * eps).square().mean(-1)
    assert torch.allclose(found.losses[:, -1], optimum, rtol=1e-4)
    step = eps * (gain * residual).sign()
    assert torch.allclose(found.adversarial - mixture, step, atol=1e-6)


def test_l2_reaches_the_closed_form_on_a_linear_system() -> None:
    mixture, vocals = signals()
    gain = -0.7
    case = case_of(Gain(gain), mixture, vocals, Bound("l2", snr=20))
    losses = attack(steps=100, random_start=False)(case).losses
    residual = (gain * mixture - vocals).norm(dim=-1, keepdim=True)
    optimum = (residual + abs(gain) * case.budget.radius).square() / mixture.shape[-1]
    assert torch.allclose(losses[:, -1], optimum[:, 0], rtol=1e-3)
    assert torch.allclose(case.budget.radius, 0.1 * mixture.norm(dim=-1, keepdim=True))


def theirs(base: Any, victim: Separator, objective: Objective, mixture: Tensor, **how: Any) -> Any:
    """An attack of foolbox on the same loss."""
    mixture, vocals = mixture[:, None], how.pop("vocals")[:, None]
    case = case_of(victim, mixture.flatten(1), vocals.flatten(1), linf(0.01))

    class OnWaveforms(base):  # type: ignore[misc]
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            def loss(x: Any) -> Any:
                estimate = victim.separate(x.raw, case.side)
                return eagerpy.astensor(objective.measure(estimate, vocals).sum())

            return loss

    model = foolbox.PyTorchModel(torch.nn.Identity().eval(), bounds=(-10, 10), device="cpu")
    labels = foolbox.criteria.Misclassification(torch.zeros(3, dtype=torch.long))
    found = OnWaveforms(random_start=False, **how).run(model, mixture, labels, epsilon=0.01)
    return found[:, 0], case


@pytest.mark.parametrize(("system", "objective"), [("rsvm", "mse"), ("tanh", "si_sdr")])
def test_agrees_with_foolbox(separator: InformedRSVM, system: str, objective: str) -> None:
    victim: Separator = separator if system == "rsvm" else Saturating(3.0)
    loss_of = OBJECTIVES[objective]
    mixture, vocals = signals(samples=1000)
    steps, step = 4, 0.2
    expected, case = theirs(
        foolbox.attacks.LinfProjectedGradientDescentAttack,
        victim,
        loss_of,
        mixture,
        vocals=vocals,
        abs_stepsize=step * 0.01,
        steps=steps,
    )
    ours = attack(loss_of, steps=steps, step_size=step, rule=Constant, random_start=False)
    found = ours(case)
    reached = loss_of.measure(case.separate(expected), vocals)
    # A sign may flip where a gradient is zero up to rounding; nothing else may differ.
    assert ((found.adversarial - expected).abs() > 1e-6).float().mean() < 0.005
    assert torch.allclose(found.losses[:, -1], reached, rtol=1e-4)
    assert (found.losses[:, -1] > found.losses[:, 0]).all()


def test_fgsm_is_one_signed_step_and_agrees_with_foolbox(separator: InformedRSVM) -> None:
    mixture, vocals = signals(samples=500)
    expected, case = theirs(
        foolbox.attacks.LinfFastGradientAttack, separator, mse, mixture, vocals=vocals
    )
    found = fgsm(mse)(case).adversarial
    assert ((found - expected).abs() > 1e-6).float().mean() < 0.005


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_worst_iterate_is_monotone_and_real(separator: InformedRSVM, name: str) -> None:
    mixture, vocals = signals(samples=500)
    case = case_of(separator, mixture, vocals, linf(0.02))
    found = attack(OBJECTIVES[name], steps=12, step_size=1.5, rule=Constant)(case)
    assert found.losses.shape == (3, 13)
    assert (found.losses.diff(dim=1) >= 0).all()
    target = case.separate(mixture) if name == "output_distance" else vocals
    reached = OBJECTIVES[name].measure(case.separate(found.adversarial), target)
    assert torch.allclose(reached, found.losses[:, -1], rtol=1e-4)
    # Under a constant step, more steps go on where fewer stopped.
    short = attack(OBJECTIVES[name], steps=5, step_size=1.5, rule=Constant)(case)
    assert torch.allclose(short.losses, found.losses[:, :6])


def test_no_budget_means_no_change(separator: InformedRSVM) -> None:
    mixture, vocals = signals(samples=500)
    found = attack()(case_of(separator, mixture, vocals, linf(0.0)))
    assert torch.equal(found.adversarial, mixture)


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
def test_no_gradient_of_a_weight_is_computed(make_params: Callable[..., Any], frozen: bool) -> None:
    params = make_params()
    _, variant = entry(params.separators, "improved")
    samples = params.segment_samples
    model: Any = build_model(params.rsvm.sizes, variant, 4000, samples, 0)  # type: ignore[arg-type]
    separator = as_separator(model) if frozen else InformedRSVM(model.eval())
    mixture, vocals = signals(samples=500)
    case = case_of(separator, mixture, vocals, linf(0.01))
    with Convolutions() as seen:
        attack(negative_si_sdr)(case)
        assert seen.wanted
        assert set(seen.wanted) == {(True, False, False)}
        if not frozen:  # the recorder does see gradients of weights
            seen.wanted.clear()
            case.separate(mixture).sum().backward()
            assert any(weight for _, weight, _ in seen.wanted)


def test_silence_gives_no_nan(separator: InformedRSVM) -> None:
    silence = torch.zeros(2, 500)
    found = attack(negative_si_sdr)(case_of(separator, silence, silence, linf(0.01)))
    assert torch.isfinite(found.adversarial).all()
    assert torch.isfinite(found.losses).all()


def test_decaying_steps_end_small() -> None:
    assert [Decaying(0.5, 4).fraction(step) for step in range(4)] == [1, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("name", list(STEP_RULES))
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_rule_finds_the_optimum_of_a_linear_system(name: str, norm: Any) -> None:
    mixture, vocals = signals()
    gain = -0.7
    case = case_of(Gain(gain), mixture, vocals, Bound(norm, eps=0.01, snr=20))
    budget = case.budget
    found = attack(steps=60, random_start=False, rule=STEP_RULES[name])(case)
    residual = gain * mixture - vocals
    if norm == "linf":
        optimum = (residual.abs() + abs(gain) * 0.01).square().mean(-1)
    else:
        longest = residual.norm(dim=-1) + abs(gain) * budget.radius[:, 0]
        optimum = longest.square() / mixture.shape[-1]
    # Adam evens out the samples' steps, which is not the steepest way in L2.
    tolerance = 0.03 if (name, norm) == ("adam", "l2") else 0.005
    assert torch.allclose(found.losses[:, -1], optimum, rtol=tolerance)
    assert (found.losses[:, -1] <= optimum * (1 + 1e-5)).all()
    size = budget.size(found.adversarial.double() - mixture.double())
    assert (size <= budget.radius.double()).all()


def test_fgsm_is_weaker_than_pgd(separator: InformedRSVM) -> None:
    mixture, vocals = signals(samples=500)
    case = case_of(separator, mixture, vocals, linf(0.05))
    reached = [
        run(case).losses[:, -1].mean()
        for run in (
            fgsm(mse),
            attack(steps=5, step_size=0.5, random_start=False),
            attack(steps=20, step_size=0.5, random_start=False),
        )
    ]
    assert reached[0] < reached[1] <= reached[2] * (1 + 1e-4)


def test_auto_pgd_halves_its_step_on_a_plateau() -> None:
    """On a loss whose optimum is inside the ball, full steps overshoot for ever."""
    inverted = Objective(lambda estimate, vocals: -(estimate - vocals).square().sum(-1))
    mixture = torch.zeros(2, 50)
    target = torch.full_like(mixture, 0.013)
    case = case_of(Gain(1.0), mixture, target, linf(0.1))
    losses = {
        name: attack(inverted, steps=100, step_size=1.0, rule=STEP_RULES[name], random_start=False)(
            case
        ).losses[:, -1]
        for name in ("constant", "auto")
    }
    assert (losses["auto"] > -1e-4).all()
    assert (losses["auto"] > losses["constant"]).all()


def test_eot_attacks_a_random_system_better() -> None:
    mixture, vocals = signals(samples=400)
    # The mean loss is (0.5 x - v)^2 + 16 x^2: the second part is what the randomness adds.
    residual = 0.5 * (0.5 * mixture - vocals) + 16 * mixture
    agreement = []
    for passes in (1, 64):
        run = attack(steps=1, step_size=1.0, rule=Constant, random_start=False)
        found = run(case_of(Noisy(0.5), mixture, vocals, linf(0.05), passes)).adversarial
        agreement.append(((found - mixture).sign() == residual.sign()).float().mean())
    assert agreement[1] > agreement[0] + 0.02


def test_the_loss_is_the_mean_over_passes_that_draw_anew() -> None:
    seen: list[Tensor] = []

    def measure(estimate: Tensor, vocals: Tensor) -> Tensor:
        seen.append((estimate - vocals).square().mean(-1))
        return seen[-1]

    mixture, vocals = signals()
    case = case_of(Noisy(0.5), mixture, vocals, linf(0.05), passes=5)
    loss = Objective(measure).loss(case, mixture, vocals)
    assert len(seen) == 5
    assert torch.allclose(loss, torch.stack(seen).mean(0))
    assert len({float(one[0]) for one in seen}) == 5
    # The same numbers in another run of the same case, and others in another restart.
    first = [tensor.clone() for tensor in seen]
    seen.clear()
    Objective(measure).loss(case.restarted(0), mixture, vocals)
    assert all(torch.equal(a, b) for a, b in zip(first, seen, strict=True))
    seen.clear()
    Objective(measure).loss(case.restarted(1), mixture, vocals)
    assert not any(torch.equal(a, b) for a, b in zip(first, seen, strict=True))


def test_a_case_refuses_recordings_of_other_channels() -> None:
    recording = torch.zeros(2, 3, 50)
    with pytest.raises(ValueError, match="of 3 channels for a separator of 1"):
        Case.of(Gain(1.0), recording, recording, linf(0.1), range(2))
