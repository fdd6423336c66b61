"""Break points: what is known in closed form, what others find, and what breaks nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from attack_toys import Crosstalk, Gain, Noisy, Saturating, case_of, linf, signals, small_rsvm
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from stemproof.attacks.breakpoints import LEVELS, BreakPoints, Broken, ScaledBreakPoints
from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case, Found
from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.search import RandomSearch
from stemproof.figures.si_sdr import si_sdr, snr
from stemproof.separators.protocol import Separator, Side
from stemproof.separators.stft import STFT, InformedSTFT, STFTSettings

MakeParams = Callable[..., Any]
Signal = NDArray[np.float64]


def case(separator: Separator, items: int = 3, samples: int = 400, **more: Any) -> Case:
    return case_of(separator, *signals(items, samples), linf(0.01), **more)


def cost(of: Case, perturbations: Tensor) -> Tensor:
    """SI-SDR in dB that perturbations (levels x items x samples) cost, items x levels."""
    clean = negative_si_sdr.loss(of, of.mixture, of.vocals)
    with torch.no_grad():
        losses = [negative_si_sdr.loss(of, of.mixture + d, of.vocals) for d in perturbations]
    return torch.stack(losses, dim=1) - clean[:, None]


def holds(of: Case, found: Broken, slack: float = 1e-3) -> None:
    """What is said of the perturbations is true."""
    costs = cost(of, found.perturbations)
    for number, level in enumerate(LEVELS):
        reached = found.reached[:, number]
        assert (costs[reached, number] > level - slack).all()
        figures = snr(of.mixture, found.perturbations[number])[reached]
        torch.testing.assert_close(figures, found.snr[reached, number], rtol=0, atol=1e-2)
        assert not found.perturbations[number][~reached].any()
    assert (found.snr.diff(dim=1) <= 0).all()  # who costs more is no smaller


def known(mixture: Tensor, vocals: Tensor, level: float) -> Tensor:
    """The break point of a system that gives back what it hears.

    SI-SDR depends on the angle t between estimate and vocals alone: -20 log10 tan t. All
    estimates of one SI-SDR are a cone around the vocals, whose distance from an estimate inside
    is its length times the sine of the angle that is missing.
    """
    cosine = (mixture * vocals).sum(-1) / mixture.norm(dim=-1) / vocals.norm(dim=-1)
    angle = torch.acos(cosine)
    further = torch.atan(torch.tan(angle) * 10 ** (level / 20)) - angle
    return -20 * torch.log10(torch.sin(further))


@pytest.mark.parametrize("gain", [1.0, -0.3])
def test_of_a_linear_system_break_points_are_known(gain: float) -> None:
    of = case(Gain(gain), items=4)
    found = BreakPoints(10)(of)
    holds(of, found)
    assert found.reached.all()
    torch.testing.assert_close(found.clean, -si_sdr(of.vocals, gain * of.mixture))
    for number, level in enumerate(LEVELS):
        exact = known(of.mixture.double(), of.vocals.double(), level)
        figures = found.snr[:, number].double()
        assert (figures < exact + 1e-3).all()  # nothing is smaller than the smallest
        assert (figures > exact - 0.05).all()


@pytest.mark.parametrize("channels", [1, 2])
def test_several_items_are_searched_as_one_by_one(channels: int) -> None:
    system = Crosstalk(3.0, channels=channels)
    together = case(system, items=4)
    found = BreakPoints(6)(together)
    holds(together, found)
    mixture, vocals = signals(4, 400)
    for item in range(4):
        alone = BreakPoints(6)(case_of(system, mixture[[item]], vocals[[item]], linf(0.01)))
        torch.testing.assert_close(alone.snr[0], found.snr[item], rtol=0, atol=1e-3)
        assert torch.equal(alone.reached[0], found.reached[item])


def small(make_params: MakeParams, name: str) -> Any:
    if name == "rsvm":
        return small_rsvm(make_params)
    return InformedSTFT(STFT(STFTSettings(window=128, hop=32), 4000))


@pytest.mark.parametrize("name", ["rsvm", "stft"])
def test_no_worse_than_deepfool(make_params: MakeParams, name: str) -> None:
    of = case(small(make_params, name), samples=1000)
    found = BreakPoints(10)(of)
    holds(of, found)
    assert found.reached.all()
    for number, level in enumerate(LEVELS):
        other = MinimalPerturbation(level)(of).adversarial - of.mixture
        assert (found.snr[:, number] > snr(of.mixture, other) - 0.1).all()


def test_another_solver_finds_the_same() -> None:
    """32 samples, SciPy's SLSQP in double precision, and everything written down once more."""
    mixture, vocals = signals(2, 32)

    class Bent(Gain):
        def separate(self, heard: Tensor, side: Side = None) -> Tensor:
            return torch.tanh(4 * heard - 1.5 * heard.roll(1, -1))

    def system(heard: Signal) -> Signal:
        return np.asarray(np.tanh(4 * heard - 1.5 * np.roll(heard, 1)))

    def loss(heard: Signal, s: Signal) -> float:
        e = system(heard)
        target = (e @ s) / (s @ s) * s
        return float(-10 * np.log10((target @ target) / ((e - target) @ (e - target))))

    of = case_of(Bent(1.0), mixture, vocals, linf(0.01))
    found = BreakPoints(20)(of)
    holds(of, found)
    assert found.reached.all()
    for item in range(2):
        x, s = (z[item].double().numpy() for z in (mixture, vocals))
        clean = loss(x, s)
        for number, level in enumerate(LEVELS):
            best = math.inf
            for draw in range(2):
                begin = np.random.default_rng(draw).standard_normal(32)
                result = minimize(
                    lambda d: d @ d,
                    begin * 0.1 * np.linalg.norm(x) / np.linalg.norm(begin),
                    jac=lambda d: 2 * d,
                    constraints={"type": "ineq", "fun": lambda d: loss(x + d, s) - clean - level},  # noqa: B023
                    method="SLSQP",
                    options={"maxiter": 150, "ftol": 1e-12},
                )
                if loss(x + result.x, s) - clean > level - 1e-5:
                    best = min(best, float(np.linalg.norm(result.x)))
            exact = 20 * math.log10(np.linalg.norm(x) / best)
            assert abs(float(found.snr[item, number]) - exact) < 0.2, (item, level)


class Bounded(Saturating):
    """Loses a little under any perturbation, and never much."""

    def __init__(self, answer: Tensor, most: float) -> None:
        super().__init__(1.0)
        self.answer, self.most = answer, most

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return self.answer + self.most * torch.tanh(3 * mixture)


@pytest.mark.parametrize("loudest", [0.0, 12.0])
def test_what_is_not_reached_counts_as_the_loudest(loudest: float) -> None:
    mixture, vocals = signals(3, 200)
    answer = (vocals + 0.3 * mixture.roll(3, -1))[:, None]
    deaf = case_of(Bounded(answer, 0.0), mixture, vocals, linf(0.01))
    found = BreakPoints(4, loudest=loudest)(deaf)
    assert not found.reached.any() and not found.perturbations.any()
    assert (found.snr == loudest).all()
    # One level is reached, and others are not.
    limited = case_of(Bounded(answer, 0.02), mixture, vocals, linf(0.01))
    found = BreakPoints(10)(limited)
    holds(limited, found)
    assert found.reached[:, 0].all() and not found.reached[:, 2].any()
    assert (found.snr[:, 2] == 0).all() and (found.snr[:, 0] > 0).all()
    # No perturbation is louder than allowed.
    edge = float(found.snr[:, 0].max())
    quiet = BreakPoints(10, loudest=edge + 1)(limited)
    assert not quiet.reached.any() and (quiet.snr == edge + 1).all()


class Mute(Saturating):
    """Falls silent where what it hears is further from a recording than its ear allows."""

    def __init__(self, heard: Tensor, ear: float) -> None:
        super().__init__(2.0)
        self.heard, self.ear = heard, ear

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        far = (mixture - self.heard).norm(dim=-1, keepdim=True) > self.ear
        return torch.where(far, 0.0, super().separate(mixture))


@pytest.mark.parametrize("scaled", [False, True])
def test_who_falls_silent_is_broken(scaled: bool) -> None:
    mixture, vocals = signals(3, 200)
    ear = 0.05 * float(mixture.norm(dim=-1).min())
    of = case_of(Mute(mixture[:, None], ear), mixture, vocals, linf(0.01))
    search: Any = BreakPoints(10)
    if scaled:
        search = ScaledBreakPoints(RandomSearch(negative_si_sdr, 10), Bound("l2", snr=30))
    found = search(of)
    assert found.reached.all()
    lengths = found.perturbations.norm(dim=-1)
    # 3 and 6 dB cost more than the ear allows: they are those of silence.
    assert (lengths[1:] > ear).all() and (lengths[1:] < ear * 1.05).all()
    assert (cost(of, found.perturbations)[:, 1:] > 50).all()


def test_draws_are_those_of_the_item() -> None:
    """A random system is searched with its mean over passes, in any batch the same way."""
    found = BreakPoints(4)(case(Noisy(30.0), items=3, passes=4))
    again = BreakPoints(4)(case(Noisy(30.0), items=3, passes=4))
    assert torch.equal(found.snr, again.snr)
    one = case(Noisy(30.0), items=3, passes=4)
    mixture, vocals = one.mixture[[0]], one.vocals[[0]]
    alone = BreakPoints(4)(case_of(Noisy(30.0), mixture, vocals, linf(0.01), passes=4))
    torch.testing.assert_close(alone.snr[0], found.snr[0], rtol=0, atol=1e-3)


def test_what_is_not_a_number_is_an_error() -> None:
    class Broken(Saturating):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return super().separate(mixture).sqrt()

    with pytest.raises(ValueError, match="not a number"):
        BreakPoints(2)(case(Broken(3.0)))


class Along:
    """An attack that gives the same direction, and takes no gradient."""

    def __init__(self, direction: Tensor) -> None:
        self.direction = direction

    def __call__(self, of: Case) -> Found:
        adversarial = of.mixture + of.budget.project(self.direction)
        return Found(adversarial, torch.zeros(len(adversarial), 1))


def test_the_scale_of_what_another_attack_finds_is_bisected() -> None:
    of = case(Gain(1.0))
    draw = torch.Generator().manual_seed(7)
    direction = torch.randn(of.mixture.shape, generator=draw)
    search = ScaledBreakPoints(Along(direction), Bound("l2", snr=20), loudest=-20)
    found = search(of)
    holds(of, found)
    assert found.reached.all()
    # Along a straight line the loss of this system rises: a little less costs too little.
    step = 120 / 2**search.bisections
    less = cost(of, found.perturbations * 10 ** (-1.01 * step / 20))
    assert (less < torch.tensor(LEVELS)).all()
    # Twice as many halvings say the same, with more digits.
    finer = replace(search, bisections=20)(of)
    assert ((finer.snr - found.snr).abs() <= 1.01 * step).all()
    assert (finer.snr >= found.snr - 1e-3).all()
    # No matter how large the first budget was.
    other = replace(search, bound=Bound("l2", snr=50))(of)
    torch.testing.assert_close(other.snr, found.snr, rtol=0, atol=1.01 * step)


def test_where_another_attack_finds_nothing_noise_is_scaled() -> None:
    """Nothing worse inside the first budget does not mean that nothing breaks the system."""
    of = case(Gain(1.0))
    found = ScaledBreakPoints(Along(0 * of.mixture), Bound("l2", snr=60), loudest=-20)(of)
    holds(of, found)
    assert found.reached.all()
    parts = [
        ScaledBreakPoints(Along(0 * x[None]), Bound("l2", snr=60), loudest=-20)(
            replace(case_of(Gain(1.0), x[None], s[None], linf(0.01)), seeds=(item,))
        )
        for item, (x, s) in enumerate(zip(of.mixture, of.vocals, strict=True))
    ]
    torch.testing.assert_close(torch.cat([p.snr for p in parts]), found.snr, rtol=0, atol=1e-3)


def test_without_a_gradient_perturbations_are_larger() -> None:
    """What is found is an upper bound, and takes forward passes alone."""

    class Opaque(Saturating):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            assert not mixture.requires_grad
            return super().separate(mixture)

    search = ScaledBreakPoints(RandomSearch(negative_si_sdr, 50), Bound("l2", snr=25))
    of = case(Opaque(3.0))
    found = search(of)
    holds(of, found)
    white = BreakPoints(10)(case(Saturating(3.0)))
    assert white.reached.all() and found.reached[:, :2].all()
    assert (found.snr < white.snr).all()
    deaf = case(Bounded(of.vocals[:, None] + 0.3 * of.mixture[:, None], 0.0))
    nothing = search(deaf)
    assert not nothing.reached.any() and (nothing.snr == 0).all()
    assert not nothing.perturbations.any()
