"""Every flag fires on a system (or an attack) that deserves it, and none on a clean one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.audit.checks import Auditor, Material
from stemproof.audit.flags import CHECKS, not_converged, raise_flags
from stemproof.audit.run import System, audit
from stemproof.params import AttackParams, AuditParams, Params
from stemproof.separators.protocol import Context

MakeParams = Callable[..., Params]
SETTINGS = {"segments": 6, "steps": [1, 2, 5, 20], "queries": 60, "noise_draws": 3}


class Masked:
    """A clean separator: low-pass filtering, then a mild saturation."""

    def context(self, mixture: Tensor, vocals: Tensor) -> Context:
        return None

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        smooth = torch.nn.functional.avg_pool1d(mixture[:, None], 5, 1, 2)[:, 0]
        return torch.tanh(2 * smooth) / 2


class GradientKiller(Masked):
    """Rounds its input, whose gradient is zero almost everywhere."""

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        return super().separate(torch.round(mixture * 500) / 500, context)


class Dropout(Masked):
    """Leaves dropout on at test time."""

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        return torch.nn.functional.dropout(super().separate(mixture, context), 0.2)


class WrongGradient(Masked):
    """Backward pass through another function than the forward pass."""

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        true = super().separate(mixture, context)
        draw = torch.Generator().manual_seed(0)
        lie = mixture * torch.randn(mixture.shape, generator=draw)
        return lie + (true - lie).detach()


class NanOnSilence(Masked):
    """Normalizes by the input's level without a guard."""

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        level = mixture.square().mean(-1, keepdim=True).sqrt()
        return super().separate(mixture / level * 0.1, context)


class Bounded(Masked):
    """Squashes what it adds to a fixed answer: no budget, however large, breaks it."""

    def context(self, mixture: Tensor, vocals: Tensor) -> Context:
        return super().separate(mixture, None)

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        if context is None:
            return super().separate(mixture, context)
        return context + 1e-3 * torch.tanh(30 * (super().separate(mixture, None) - context))


class BetterWhenPushed(Masked):
    """Switches to a better answer when the attack is strong: the sweep is not monotone."""

    def context(self, mixture: Tensor, vocals: Tensor) -> Context:
        return torch.stack([mixture, vocals], dim=1)

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        plain = super().separate(mixture, None)
        if context is None:
            return plain
        pushed = (mixture - context[:, 0]).abs().amax(-1, keepdim=True) > 0.05
        return torch.where(pushed, 0.5 * plain + 0.5 * context[:, 1], plain)


def material(count: int = 6, samples: int = 400) -> Material:
    rng = np.random.default_rng(0)
    time = np.arange(samples) / samples
    vocals = np.stack(
        [0.2 * np.sin(2 * np.pi * rng.uniform(5, 15) * time + rng.uniform(0, 6)) for _ in range(6)]
    )[:count]
    noise = 0.15 * rng.standard_normal(vocals.shape)
    return Material(
        [f"track {number // 2}" for number in range(count)],
        torch.tensor(vocals + noise, dtype=torch.float32),
        torch.tensor(vocals, dtype=torch.float32),
    )


@pytest.fixture
def settings(make_params: MakeParams) -> tuple[AttackParams, AuditParams]:
    params = make_params(attack={"eps": 0.01, "steps": 10}, audit=SETTINGS)
    return params.attack, params.audit


def flags_of(
    separator: Any, settings: tuple[AttackParams, AuditParams], **changed: Any
) -> dict[str, bool]:
    attack, audit_params = settings
    attack = attack.model_copy(update=changed)
    figures = Auditor(separator, material(), material(), attack, audit_params).figures()
    figures["default_steps"] = attack.steps
    figures["transfer"] = {"self": {"self": figures["at_bs"]}}
    figures["crafted_on"] = {"self": "self"}
    figures["seeds"] = 3
    return {flag.name: flag.raised for flag in raise_flags(figures, audit_params)}


def test_no_flag_on_a_clean_system(settings: tuple[AttackParams, AuditParams]) -> None:
    flags = flags_of(Masked(), settings)
    assert len(flags) == len(CHECKS)
    assert not any(flags.values()), flags


def test_minimal_sparse_and_universal_figures(
    settings: tuple[AttackParams, AuditParams],
) -> None:
    attack, audit_params = settings
    figures = Auditor(Masked(), material(), material(), attack, audit_params).figures()
    for norm in ("l2", "linf"):
        levels = figures["minimal_snr"][norm]
        assert list(levels) == ["1", "3", "6"]
        # Costing more needs more: the SNR falls.
        assert levels["1"] > levels["3"] > levels["6"]
    # The smallest perturbation by energy is, by energy, no larger than the smallest by peak.
    assert figures["minimal_snr"]["l2"]["1"] > figures["minimal_snr"]["linf"]["1"]
    assert figures["sparse"]["at_bs"] < figures["bs"]
    universal = figures["universal"]
    assert universal["at_bs_training"] < universal["bs_training"]
    assert universal["at_bs"] >= figures["at_bs"]


@pytest.mark.parametrize(
    ("separator", "name"),
    [
        (GradientKiller(), "zero gradients"),
        (GradientKiller(), "black box beats white box"),
        (GradientKiller(), "no better than noise"),
        (Dropout(), "randomized"),
        (WrongGradient(), "wrong gradients"),
        (NanOnSilence(), "NaN on silence"),
        (Bounded(), "does not collapse"),
        (BetterWhenPushed(), "not monotone"),
    ],
)
def test_flags_fire_on_systems_that_deserve_them(
    settings: tuple[AttackParams, AuditParams], separator: Any, name: str
) -> None:
    assert flags_of(separator, settings)[name]


def test_an_attack_of_one_small_step_is_not_converged(
    settings: tuple[AttackParams, AuditParams],
) -> None:
    flags = flags_of(Masked(), settings, steps=1, step_size=0.3)
    assert flags["not converged"]
    assert flags["weak step rule"]


def test_a_weak_loss_is_seen(settings: tuple[AttackParams, AuditParams]) -> None:
    class Deaf(Masked):
        """Its clean output is far from the vocals: moving away from it helps nobody."""

        def separate(self, mixture: Tensor, context: Context) -> Tensor:
            return 0.05 * super().separate(mixture, context)

    strong = flags_of(Deaf(), settings)
    weak = flags_of(Deaf(), settings, loss="mse")
    assert not strong["weak loss"]
    assert weak["weak loss"]


def test_a_violated_budget_and_a_stronger_transfer(
    settings: tuple[AttackParams, AuditParams], make_params: MakeParams
) -> None:
    params = make_params(attack={"eps": 0.01, "steps": 10}, audit=SETTINGS)
    systems = [
        System("open", 1, Masked(), None, stored_budget=1.0),
        System("masked", 1, GradientKiller(), None, stored_budget=1.02),
    ]
    results = audit(params, systems, material(), material())
    flags = {
        name: {flag.name: flag.raised for flag in result.flags} for name, result in results.items()
    }
    assert not flags["open"]["budget violated"]
    assert flags["masked"]["budget violated"]
    assert not flags["open"]["stronger from elsewhere"]
    assert flags["masked"]["stronger from elsewhere"]
    assert flags["open"]["few seeds"]
    summary = results["masked"].summary()
    assert summary["flags"]["budget violated"] == "RAISED"
    assert summary["flags_raised"] == sum(flags["masked"].values())


class Clipped(Masked):
    """With a recomputed mask that gates by sign, and (or not) a gradient through the gate."""

    def __init__(self, recomputed: bool, straight_through: bool = True) -> None:
        self.recomputed = recomputed
        self.straight_through = straight_through

    def context(self, mixture: Tensor, vocals: Tensor) -> Context:
        return vocals if self.recomputed else self.gate(mixture, vocals)

    def gate(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        excess = 0.3 - (mixture - vocals).abs()
        soft = torch.sigmoid(20 * excess)
        return (excess > 0).float() + (soft - soft.detach())

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        assert context is not None
        gate = context
        if self.recomputed:
            gate = self.gate(mixture, context)
            if not self.straight_through:
                # Hides the way: nothing that the attack does reaches the output.
                return super().separate(mixture * gate, None).detach() + 0 * mixture
        return super().separate(mixture * gate, None)


@pytest.mark.parametrize("honest", [True, False])
def test_a_mask_without_a_gradient_is_seen(make_params: MakeParams, honest: bool) -> None:
    attack = {"eps": 0.01, "steps": 10, "mask": "recomputed", "random_start": False}
    params = make_params(attack=attack, audit=SETTINGS)
    system = System("x", 1, Clipped(True, honest), Clipped(False), stored_budget=1.0)
    result = audit(params, [system], material(), material())["x"]
    flags = {flag.name: flag for flag in result.flags}
    assert flags["weak mask gradient"].raised == (not honest)
    assert set(result.figures["masks"]) == {"fixed", "recomputed"}
    # In the threat model of the fixed mask the other one is reported and raises nothing.
    params = make_params(attack={**attack, "mask": "fixed"}, audit=SETTINGS)
    system = System("x", 1, Clipped(False), Clipped(True, honest), stored_budget=1.0)
    result = audit(params, [system], material(), material())["x"]
    flags = {flag.name: flag for flag in result.flags}
    assert not flags["weak mask gradient"].raised
    assert "not in use" in flags["weak mask gradient"].reason


def test_no_flag_on_three_seeds_of_a_system_that_recomputes_its_mask(
    make_params: MakeParams,
) -> None:
    attack = {"eps": 0.01, "steps": 20, "mask": "recomputed", "random_start": False}
    params = make_params(attack=attack, audit={**SETTINGS, "tolerance_db": 0.2})
    systems = [
        System("x", seed, Clipped(True), Clipped(False), stored_budget=1.0) for seed in (1, 2, 3)
    ]
    result = audit(params, systems, material(), material())["x"]
    assert not any(flag.raised for flag in result.flags), result.flags
    assert result.summary()["attack"] == "pgd, linf"


def test_restarts_and_a_single_step_count_as_convergence(
    settings: tuple[AttackParams, AuditParams],
) -> None:
    attack, audit_params = settings
    figures = Auditor(Masked(), material(), material(), attack, audit_params).figures()
    figures["default_steps"] = attack.steps
    assert not not_converged(figures, audit_params).raised
    worse = {"1": figures["at_bs"], "2": figures["at_bs"] - 0.06}
    assert not_converged({**figures, "restarts": worse}, audit_params).raised
    fgsm = {**figures["steps"], "fgsm": figures["at_bs"] - 0.06}
    assert not_converged({**figures, "steps": fgsm}, audit_params).raised


def test_what_was_crafted_elsewhere_is_what_is_audited(make_params: MakeParams) -> None:
    """Adversarials by transfer from a system that hides its gradient are weak, and flagged."""
    params = make_params(attack={"eps": 0.01, "steps": 10}, audit=SETTINGS)
    systems = [
        System("open", 1, Masked(), None, 1.0, crafted_on="hidden-1"),
        System("hidden", 1, GradientKiller(), None, 1.0),
    ]
    result = audit(params, systems, material(), material())["open"]
    flags = {flag.name: flag.raised for flag in result.flags}
    assert flags["stronger from elsewhere"]
    assert flags["weak step rule"]
    assert result.figures["at_bs"] == result.figures["transfer"]["open-1"]["hidden-1"]


def test_what_is_not_a_number_is_flagged(settings: tuple[AttackParams, AuditParams]) -> None:
    class Broken(Masked):
        def separate(self, mixture: Tensor, context: Context) -> Tensor:
            clean = super().separate(mixture, context)
            return torch.where(mixture == mixture[:, :1], torch.nan, clean)

    attack, audit_params = settings
    auditor = Auditor(Broken(), material(), material(), attack, audit_params)
    assert auditor.repeat_difference() > 0
    health = auditor.gradient_health()
    assert health["zero_share"] > audit_params.zero_gradient_share
    assert health["finite_difference_error"] == 1.0


def test_the_universal_perturbation_uses_its_budget(
    settings: tuple[AttackParams, AuditParams],
) -> None:
    attack, audit_params = settings
    auditor = Auditor(Masked(), material(), material(), attack, audit_params)
    learner = UniversalPerturbation(negative_si_sdr, audit_params.universal_epochs)
    delta = auditor._learn(learner).delta
    assert delta.abs().max() == pytest.approx(attack.eps, rel=1e-5)


def test_few_seeds_and_transfer_between_seeds(make_params: MakeParams) -> None:
    params = make_params(attack={"eps": 0.01, "steps": 10}, audit=SETTINGS)

    def raised(systems: list[System]) -> dict[str, bool]:
        result = audit(params, systems, material(), material())["x"]
        assert [list(scores) for scores in result.figures["transfer"].values()] == [
            [system.name for system in systems]
        ] * len(systems)
        return {flag.name: flag.raised for flag in result.flags}

    seeds = [System("x", seed, Masked(), None, stored_budget=1.0) for seed in (1, 2, 3)]
    assert raised(seeds[:1])["few seeds"]
    assert not raised(seeds)["few seeds"]
    untrained = System("x", 1, Masked(), None, stored_budget=1.0, trained=False)
    assert not raised([untrained])["few seeds"]
    # The first seed is honest; the third hides its gradient and falls to what the others find.
    hidden = System("x", 3, GradientKiller(), None, stored_budget=1.0)
    flags = raised([*seeds[:2], hidden])
    assert flags["stronger from elsewhere"]
    assert not flags["zero gradients"]


@pytest.mark.parametrize("method", ["search", "noise", "universal"])
def test_a_weak_method_is_seen(make_params: MakeParams, method: str) -> None:
    """The audit compares what was stored with PGD, whatever it was made by."""
    attack = {"eps": 0.01, "steps": 10, "method": method, "queries": 20}
    params = make_params(attack=attack, audit=SETTINGS)
    system = System("x", 1, Masked(), None, stored_budget=1.0)
    flags = {
        flag.name: flag.raised
        for flag in audit(params, [system], material(), material())["x"].flags
    }
    assert flags["weak step rule"]
    if method == "noise":
        assert flags["no better than noise"]


@pytest.mark.parametrize(("method", "norm"), [("minimal", "l2"), ("sparse", "l0")])
def test_beside_a_method_without_a_ball_pgd_is_audited(
    make_params: MakeParams, method: str, norm: str
) -> None:
    params = make_params(
        attack={"eps": 0.01, "steps": 10, "method": method, "norm": norm}, audit=SETTINGS
    )
    system = System("x", 1, Masked(), None, stored_budget=1.0)
    result = audit(params, [system], material(), material())["x"]
    ball = "l2" if norm == "l2" else "linf"
    plain = make_params(attack={"eps": 0.01, "steps": 10, "norm": ball}, audit=SETTINGS)
    expected = audit(plain, [system], material(), material())["x"]
    assert result.figures["at_bs"] == expected.figures["at_bs"]
