"""Every flag fires on a system (or an attack) that deserves it, and none on a clean one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.params import AttackParams
from stemproof.attacks.stored import Adversarials
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.auditing.auditable import auditable
from stemproof.auditing.bench import Bench
from stemproof.auditing.checks import Auditor
from stemproof.auditing.costs import REMEMBERED, held, remembered
from stemproof.auditing.flags import CHECKS, not_converged, raise_flags
from stemproof.auditing.gradients import gradient_health
from stemproof.auditing.material import Material
from stemproof.auditing.params import AuditParams, Suite
from stemproof.auditing.run import Audited, System, audit
from stemproof.core import room
from stemproof.core.errors import InputError
from stemproof.core.files import write_array
from stemproof.core.random import derive_seed
from stemproof.data.excerpts import Excerpts, Place
from stemproof.data.store import PreparedTrack
from stemproof.figures.si_sdr import snr
from stemproof.separators.protocol import Informed, Reconstructing, Separator, Side
from stemproof.separators.wrappers import FixedDraws, Memory, Watched

MakeParams = Callable[..., Any]
SUITE: dict[str, Any] = {"segments": 6, "steps": [1, 2, 5, 20], "queries": 60, "noise_draws": 3}
SUITE["minimal_drops"] = [1, 3, 6]
# Blind systems are audited as much as informed ones.
SETTINGS = {**SUITE, "excerpts": Suite(**SUITE).model_dump()}
PASSED: dict[str, Any] = {"passed": True, "checks": []}
# Ten steps are enough for these toys.
ATTACK = {"eps": 0.01, "pgd": {"steps": 10}}


class Plain:
    """A clean separator without any ability: low-pass filtering, then a mild saturation."""

    sample_rate = 4000

    def __init__(self, channels: int = 1) -> None:
        self.channels = channels

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        smooth = torch.nn.functional.avg_pool1d(mixture, 5, 1, 2)
        return torch.tanh(2 * smooth) / 2


class GradientKiller(Plain):
    """Rounds its input, whose gradient is zero almost everywhere."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return super().separate(torch.round(mixture * 500) / 500)


class Dropout(Plain):
    """Leaves dropout on at test time."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return torch.nn.functional.dropout(super().separate(mixture), 0.2)


class HonestDropout(Dropout):
    """The same, and says so: its draws can be fixed, which does not make it less random."""

    def redrawn(self, seeds: Sequence[int]) -> Separator:
        return FixedDraws(self, tuple(seeds))


class WrongGradient(Plain):
    """Backward pass through another function than the forward pass."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        true = super().separate(mixture)
        draw = torch.Generator().manual_seed(0)
        lie = mixture * torch.randn(mixture.shape, generator=draw)
        return lie + (true - lie).detach()


class NanOnSilence(Plain):
    """Normalizes by the input's level without a guard."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        level = mixture.square().mean(-1, keepdim=True).sqrt()
        return super().separate(mixture / level * 0.1)


class Backward(Plain):
    """Gives the song with the voice taken out in place of the voice."""

    twin = None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return vocals

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        return mixture - 0.99 * side


class Bounded(Plain):
    """Squashes what it adds to a fixed answer: no budget, however large, breaks it."""

    twin = None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return super().separate(mixture)

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        return side + 1e-3 * torch.tanh(30 * (super().separate(mixture) - side))


class BetterWhenPushed(Plain):
    """Switches to a better answer when the attack is strong: the sweep is not monotone."""

    twin = None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return torch.stack([mixture, vocals], dim=1)

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        plain = super().separate(mixture)
        pushed = (mixture - side[:, 0]).abs().amax(-1, keepdim=True) > 0.05
        return torch.where(pushed, 0.5 * plain + 0.5 * side[:, 1], plain)


def material(count: int = 6, samples: int = 400, channels: int = 1) -> Material:
    rng = np.random.default_rng(0)
    time = np.arange(samples) / samples
    vocals = np.stack(
        [0.2 * np.sin(2 * np.pi * rng.uniform(5, 15) * time + rng.uniform(0, 6)) for _ in range(6)]
    )[:count, None]
    vocals = np.concatenate([vocals * 0.8**channel for channel in range(channels)], axis=1)
    noise = 0.15 * rng.standard_normal(vocals.shape)
    mixture, vocals = (x.astype(np.float32) for x in (vocals + noise, vocals))
    # Two parts a track, as in prepared data.
    stems = np.stack([mixture, vocals]).reshape(2, -1, 2, channels, samples)
    whole = np.concatenate([stems[:, :, 0], stems[:, :, 1]], axis=-1)
    tracks = [PreparedTrack(f"track {n}", f"{n}.npy", whole[:, n]) for n in range(whole.shape[1])]
    places = [Place(n // 2, n % 2, n % 2 * samples, (n % 2 + 1) * samples) for n in range(count)]
    return Material(
        [f"track {number // 2}" for number in range(count)],
        torch.tensor(mixture),
        torch.tensor(vocals),
        tuple(derive_seed("test", number) for number in range(count)),
        excerpts=Excerpts(tracks, places, samples, channels),
    )


def stored_of(
    folder: Path,
    separator: Any,
    attack: AttackParams,
    budget_used: float = 1.0,
    gate: dict[str, Any] = PASSED,
) -> Adversarials:
    """What an attack found for a system, as the attack's own stage stores it."""
    found = material(channels=separator.channels)
    heard = Bench(separator, found, found, attack).own().reshape(found.mixture.shape).numpy()
    files = {}
    for number, track in enumerate(found.excerpts.tracks if found.excerpts else []):
        file = files[track.file] = folder / track.file
        write_array(file, np.concatenate(heard[2 * number : 2 * number + 2], axis=-1))
    return Adversarials(folder, files, folder / "model", "0" * 64, budget_used, gate)


@pytest.fixture
def settings(make_params: MakeParams) -> tuple[AttackParams, AuditParams]:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    return params.attack, params.audit


def flags_of(separator: Any, settings: tuple[AttackParams, AuditParams]) -> dict[str, bool]:
    attack, audit_params = settings
    figures = Auditor(bench(separator, attack), audit_params).figures()
    figures["gate"] = PASSED
    figures["transfer"] = {"self": {"self": {"drop": 1.0, "gain": 0.0, "parts": 6}}}
    figures["seeds"], figures["aim"] = 3, {}
    flags = raise_flags(figures, audit_params)
    assert all(flag.measured for flag in flags)
    return {flag.name: flag.raised for flag in flags}


def bench(separator: Any, attack: AttackParams, played: Tensor | None = None) -> Bench:
    found = material(channels=separator.channels)
    return Bench(separator, found, found, attack, played)


def model(
    name: str, seed: int, separator: Any, stored: Adversarials | None = None, **more: Any
) -> System:
    found = material(channels=separator.channels)
    return System(name, seed, separator, found, found, stored, **more)


def audited(params: Any, systems: Sequence[System]) -> dict[str, Audited]:
    return audit(params.audit, params.attack, systems)


def raised_of(result: Audited) -> dict[str, bool]:
    return {flag.name: flag.raised for flag in result.flags}


def test_an_audit_says_what_it_takes(
    make_params: MakeParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every pass is counted before: those of a system that is told nothing, exactly."""
    params = make_params(
        attack={**ATTACK, "batch": 4},
        audit={**SETTINGS, "excerpts": {**SUITE, "minimal_drops": []}},
    )
    failed = {"passed": False, "checks": [{"passed": False, "reason": "none"}]}
    stored = [stored_of(tmp_path / name, Plain(), params.attack) for name in "ab"]
    systems = [
        model("open", 1, Plain(), stored[0]),
        model("closed", 1, Plain(), replace(stored[1], gate=failed)),
    ]
    audited(params, systems)
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith("audit: at least ") and first.endswith(" MB of memory")
    for name in ("open", "closed"):
        ends = [line for line in lines if line.startswith(f"audit {name}-1: ")]
        done, total = map(int, re.findall(r"-1: (\d+) of (\d+) ", ends[-1])[0])
        assert 0.99 * total < done <= total and total > 100, ends
    monkeypatch.setattr(room, "memory", lambda: 1000)
    with pytest.raises(InputError, match="audit holds .* of signals at once, .*; lower audit.segm"):
        audited(params, systems)


def test_parts_and_what_is_found_of_them_are_held(make_params: MakeParams) -> None:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    one, suite = model("open", 1, Plain()), params.audit.of("blind")
    working = bench(Plain(), params.attack)
    Auditor(working, suite).figures()
    crafted = sum(
        found.adversarial.nbytes for of_cases in working._crafted.values() for found in of_cases
    )
    parts = [one.material, one.training, one.material]
    said = held(parts, [(suite, one.material)], params.attack)
    shared = 2 * one.material.mixture.nbytes
    assert 0.5 * crafted <= said - shared <= crafted
    assert held(parts, [], params.attack) == shared


@pytest.mark.slow
def test_answers_are_remembered_in_the_room_that_was_announced(make_params: MakeParams) -> None:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    suite, parts = params.audit.of("blind"), material()
    memory = Memory(REMEMBERED)
    Auditor(Bench(Plain(), parts, parts, params.attack, memory=memory), suite).figures()
    said = remembered(suite, parts, params.attack)
    # The search for the smallest perturbation asks as often as it has to.
    assert 0.5 * memory.held <= said <= 1.5 * memory.held
    many = make_params(attack=ATTACK, audit={**SETTINGS, "queries": 1_000}).audit
    few = replace(parts, mixture=parts.mixture.expand(-1, 400, -1))
    assert remembered(many, few, params.attack) == REMEMBERED


@pytest.mark.slow
@pytest.mark.parametrize("system", [Plain(), Backward(), Dropout(), HonestDropout()])
def test_what_is_remembered_changes_no_figure(make_params: MakeParams, system: Separator) -> None:
    """Not one bit; and of a system that draws nothing is remembered, so that it draws the same."""
    params = make_params(attack=ATTACK, audit=SETTINGS)
    suite, parts, found = params.audit.of("blind"), material(), []
    passes = []
    for memory in (Memory(REMEMBERED), None):
        asked: list[None] = []
        watched = Watched(system, partial(asked.append, None))
        bench = Bench(watched, parts, parts, params.attack, memory=memory)
        torch.manual_seed(0)
        if isinstance(system, Dropout) and not isinstance(system, HonestDropout) and memory:
            memory.repeats = False  # else the trial is one draw more
        found.append(Auditor(bench, suite).figures())
        passes.append(len(asked))
    assert found[0] == found[1]
    assert passes[0] == passes[1] if isinstance(system, Dropout) else passes[0] < 0.95 * passes[1]


def test_no_flag_on_a_clean_system(settings: tuple[AttackParams, AuditParams]) -> None:
    flags = flags_of(Plain(), settings)
    assert len(flags) == len(CHECKS)
    assert not any(flags.values()), flags


def test_a_blind_system_goes_through_everything(make_params: MakeParams) -> None:
    """No side information, no mask, no representation: nothing of these is asked for."""
    blind = Plain()
    assert isinstance(blind, Separator)
    assert not isinstance(blind, Informed | Reconstructing)
    params = make_params(attack=ATTACK, audit=SETTINGS)
    systems = [model("x", seed, blind) for seed in (1, 2, 3)]
    assert systems[0].twin is None
    for mask in ("fixed", "recomputed"):
        params = make_params(attack={**ATTACK, "mask": mask}, audit=SETTINGS)
        result = audited(params, systems)["x"]
        assert not any(flag.raised for flag in result.flags), result.flags
        assert "masks" not in result.figures
        (flag,) = (flag for flag in result.flags if flag.name == "weak mask gradient")
        assert flag.reason == "the system has no mask"


def test_a_system_of_two_channels_is_audited(make_params: MakeParams) -> None:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    systems = [model("x", seed, Plain(2)) for seed in (1, 2, 3)]
    result = audited(params, systems)["x"]
    assert not any(flag.raised for flag in result.flags), result.flags


def test_what_a_budget_costs_is_paired(settings: tuple[AttackParams, AuditParams]) -> None:
    """The median of differences, as in the transfer of what was crafted on the system itself."""
    attack, audit_params = settings
    made = bench(Plain(), attack)
    clean, attacked = made.outcome(made.mixture), made.outcome(made.pgd(10.0))
    found = Auditor(made, audit_params).eps_sweep(clean)
    assert found["eps_drop"].keys() == found["eps"].keys() == found["eps_snr"].keys()
    assert found["eps_drop"]["10"] == made.material.median(clean - attacked)
    assert found["eps"]["10"] == made.material.median(attacked)


def test_minimal_sparse_and_universal_figures(
    settings: tuple[AttackParams, AuditParams],
) -> None:
    attack, audit_params = settings
    figures = Auditor(bench(Plain(), attack), audit_params).figures()
    assert list(figures["minimal_snr"]) == ["linf"]
    levels = figures["minimal_snr"]["linf"]
    assert list(levels) == ["1", "3", "6"]
    # Costing more needs more: the SNR falls.
    assert levels["1"] > levels["3"] > levels["6"]
    # The smallest perturbation by energy is, by energy, no larger than the smallest by peak.
    working = bench(Plain(), attack)
    mixture = working.mixture
    by_energy = snr(mixture, working.run(MinimalPerturbation(1, "l2")) - mixture)
    assert material().median(by_energy.double().numpy()) > levels["1"]
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
        (HonestDropout(), "randomized"),
        (WrongGradient(), "wrong gradients"),
        (NanOnSilence(), "NaN on silence"),
        (Backward(), "separates worse than the mixture"),
        (Bounded(), "does not collapse"),
        (BetterWhenPushed(), "not monotone"),
    ],
)
def test_flags_fire_on_systems_that_deserve_them(
    settings: tuple[AttackParams, AuditParams], separator: Any, name: str
) -> None:
    assert flags_of(separator, settings)[name]


def test_an_attack_of_one_small_step_is_not_converged(make_params: MakeParams) -> None:
    params = make_params(
        attack={"eps": 0.01, "pgd": {"steps": 1, "step_size": 0.3}}, audit=SETTINGS
    )
    flags = flags_of(Plain(), (params.attack, params.audit))
    assert flags["not converged"]
    assert flags["weak step rule"]


def test_a_weak_loss_is_seen(make_params: MakeParams) -> None:
    class Deaf(Plain):
        """Its clean output is far from the vocals: moving away from it helps nobody."""

        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return 0.05 * super().separate(mixture)

    weak = {}
    for loss in ("si_sdr", "mse"):
        params = make_params(attack={**ATTACK, "loss": loss}, audit=SETTINGS)
        weak[loss] = flags_of(Deaf(), (params.attack, params.audit))["weak loss"]
    assert weak == {"si_sdr": False, "mse": True}


def test_a_violated_budget_and_a_stronger_transfer(make_params: MakeParams, tmp_path: Path) -> None:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    killer = GradientKiller()
    systems = [
        model("open", 1, Plain(), stored_of(tmp_path / "open", Plain(), params.attack)),
        model("masked", 1, killer, stored_of(tmp_path / "masked", killer, params.attack, 1.02)),
    ]
    results = audited(params, systems)
    flags = {name: raised_of(result) for name, result in results.items()}
    assert not flags["open"]["budget violated"]
    assert flags["masked"]["budget violated"]
    assert not flags["open"]["stronger from elsewhere"]
    assert flags["masked"]["stronger from elsewhere"]
    assert flags["open"]["few seeds"]
    summary = results["masked"].summary()
    assert summary["flags"]["budget violated"] == "RAISED"
    assert summary["flags_raised"] == sum(flags["masked"].values())


class Clipped(Plain):
    """With a mask that gates by sign, and (or not) a gradient through the gate."""

    def __init__(self, recomputed: bool, straight_through: bool = True) -> None:
        super().__init__()
        self.recomputed = recomputed
        self.straight_through = straight_through

    @property
    def twin(self) -> Clipped:
        return Clipped(not self.recomputed, self.straight_through)

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return vocals if self.recomputed else self.gate(mixture, vocals)

    def gate(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        excess = 0.3 - (mixture - vocals).abs()
        soft = torch.sigmoid(20 * excess)
        return (excess > 0).float() + (soft - soft.detach())

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        gate = side
        if self.recomputed:
            gate = self.gate(mixture, side)
            if not self.straight_through:
                # Hides the way: nothing that the attack does reaches the output.
                return super().separate(mixture * gate).detach() + 0 * mixture
        return super().separate(mixture * gate)


@pytest.mark.parametrize("honest", [True, False])
def test_a_mask_without_a_gradient_is_seen(make_params: MakeParams, honest: bool) -> None:
    attack = {"eps": 0.01, "mask": "recomputed", "pgd": {"steps": 10, "random_start": False}}
    params = make_params(attack=attack, audit=SETTINGS)
    system = model("x", 1, Clipped(True, honest))
    result = audited(params, [system])["x"]
    flags = {flag.name: flag for flag in result.flags}
    assert flags["weak mask gradient"].raised == (not honest)
    assert set(result.figures["masks"]) == {"fixed", "recomputed"}
    # In the threat model of the fixed mask the other one is reported and raises nothing.
    params = make_params(attack={**attack, "mask": "fixed"}, audit=SETTINGS)
    system = model("x", 1, Clipped(False, honest))
    result = audited(params, [system])["x"]
    flags = {flag.name: flag for flag in result.flags}
    assert not flags["weak mask gradient"].raised
    assert "not in use" in flags["weak mask gradient"].reason


def test_no_flag_on_three_seeds_of_a_system_that_recomputes_its_mask(
    make_params: MakeParams,
) -> None:
    attack = {"eps": 0.01, "mask": "recomputed", "pgd": {"steps": 20, "random_start": False}}
    params = make_params(attack=attack, audit={**SETTINGS, "tolerance_db": 0.2})
    systems = [model("x", seed, Clipped(True)) for seed in (1, 2, 3)]
    result = audited(params, systems)["x"]
    assert not any(flag.raised for flag in result.flags), result.flags
    assert result.summary()["attack"] == "pgd, linf"


def test_restarts_and_a_single_step_count_as_convergence(
    settings: tuple[AttackParams, AuditParams],
) -> None:
    attack, audit_params = settings
    figures = Auditor(bench(Plain(), attack), audit_params).figures()
    assert figures["default_steps"] == 10
    assert not not_converged(figures, audit_params).raised
    worse = {"1": figures["at_bs"], "2": figures["at_bs"] - 0.06}
    assert not_converged({**figures, "restarts": worse}, audit_params).raised
    fgsm = {**figures["steps"], "fgsm": figures["at_bs"] - 0.06}
    assert not_converged({**figures, "steps": fgsm}, audit_params).raised


def test_what_is_not_a_number_is_flagged(settings: tuple[AttackParams, AuditParams]) -> None:
    class Broken(Plain):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            clean = super().separate(mixture)
            return torch.where(mixture == mixture[..., :1], torch.nan, clean)

    attack, audit_params = settings
    auditor = Auditor(bench(Broken(), attack), audit_params)
    assert auditor.bench.repeat_difference() > 0
    health = auditor.gradient_health()
    assert health["zero_share"] > audit_params.zero_gradient_share
    assert health["finite_difference_error"] == 1.0


def test_silence_hides_no_way(settings: tuple[AttackParams, AuditParams]) -> None:
    """A system that hears a sample at a time, and recordings that begin with digital silence."""

    class Near(Plain):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return torch.tanh(mixture)

    attack, _ = settings
    sounds = torch.arange(400) >= 20
    cases = [
        replace(case, mixture=case.mixture * sounds, vocals=case.vocals * sounds)
        for case in bench(Near(), attack).cases
    ]
    assert gradient_health(cases, cases[0].mixture[:1], 1e-3)["zero_share"] == 0
    hidden = [replace(case, separator=GradientKiller()) for case in cases]
    assert gradient_health(hidden, cases[0].mixture[:1], 1e-3)["zero_share"] == 1


def test_the_universal_perturbation_uses_its_budget(
    settings: tuple[AttackParams, AuditParams],
) -> None:
    attack, audit_params = settings
    epochs = audit_params.universal_epochs
    learner = UniversalPerturbation(negative_si_sdr, attack.bound, epochs)
    delta = bench(Plain(), attack).learned(learner).delta
    assert delta.abs().max() == pytest.approx(attack.eps, rel=1e-5)


def test_what_was_played_to_all_is_what_is_audited(make_params: MakeParams) -> None:
    params = make_params(attack={**ATTACK, "method": "universal"}, audit=SETTINGS)
    played = torch.full((1, 400), 0.005)
    made = bench(Plain(), params.attack, played)
    assert torch.allclose(made.own() - made.mixture, played, atol=1e-6)


def test_passes_are_averaged_as_in_the_attack(make_params: MakeParams) -> None:
    params = make_params(attack={**ATTACK, "eot_samples": 5}, audit=SETTINGS)
    assert {case.passes for case in bench(HonestDropout(), params.attack).cases} == {5}


@pytest.mark.slow
def test_few_seeds_and_transfer_between_seeds(make_params: MakeParams, tmp_path: Path) -> None:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    kept = stored_of(tmp_path / "plain", Plain(), params.attack)

    def raised(systems: list[System]) -> dict[str, bool]:
        result = audited(params, systems)["x"]
        models = [system.model for system in systems]
        transfer = result.figures["transfer"]
        assert {played: list(cells) for played, cells in transfer.items()} == dict.fromkeys(
            models, models
        )
        return raised_of(result)

    seeds = [model("x", seed, Plain(), kept) for seed in (1, 2, 3)]
    assert raised(seeds[:1])["few seeds"]
    assert not raised(seeds)["few seeds"]
    untrained = model("x", 1, Plain(), kept, trained=False)
    assert not raised([untrained])["few seeds"]
    # The first seed is honest; the third hides its gradient and falls to what the others find.
    killer = GradientKiller()
    hidden = model("x", 3, killer, stored_of(tmp_path / "killer", killer, params.attack))
    flags = raised([*seeds[:2], hidden])
    assert flags["stronger from elsewhere"]
    assert not flags["zero gradients"]


@pytest.mark.parametrize("method", ["search", "noise", "universal"])
def test_a_weak_method_is_seen(make_params: MakeParams, method: str) -> None:
    """The audit compares what was stored with PGD, whatever it was made by."""
    attack = {**ATTACK, "method": method, "search": {"queries": 20}}
    params = make_params(attack=attack, audit=SETTINGS)
    system = model("x", 1, Plain())
    flags = raised_of(audited(params, [system])["x"])
    assert flags["weak step rule"]
    if method == "noise":
        assert flags["no better than noise"]


@pytest.mark.parametrize(("method", "norm"), [("minimal", "l2"), ("sparse", "l0")])
def test_beside_a_method_without_a_ball_pgd_is_audited(
    make_params: MakeParams, method: str, norm: str
) -> None:
    params = make_params(attack={**ATTACK, "method": method, "norm": norm}, audit=SETTINGS)
    system = model("x", 1, Plain())
    result = audited(params, [system])["x"]
    ball = "l2" if norm == "l2" else "linf"
    plain = make_params(attack={**ATTACK, "norm": ball}, audit=SETTINGS)
    expected = audited(plain, [system])["x"]
    assert result.figures["at_bs"] == expected.figures["at_bs"]
    assert result.attack == f"pgd, {ball}"
    assert auditable(plain.attack) is plain.attack
