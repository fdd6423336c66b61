"""The attack without gradients: its order, what it keeps, and that nothing asks for a gradient."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from attack_toys import Saturating, case_of, linf, signals
from blind_cases import stereo_data
from conftest import AllParams
from small import CPU, attack
from torch import Tensor

from stemproof.attacks import score_based as module
from stemproof.attacks.case import Case, Found
from stemproof.attacks.noise import RandomNoise
from stemproof.attacks.params import AttackSection
from stemproof.attacks.score_based import OneAfterTheOther, score_based
from stemproof.attacks.search import RandomSearch
from stemproof.attacks.stored import CURVE, INDEX
from stemproof.auditing.flags import CHECKS
from stemproof.auditing.material import choose_material
from stemproof.auditing.run import System, audit
from stemproof.core.errors import InputError
from stemproof.data.store import PreparedData
from stemproof.separators.protocol import Side

MakeParams = Callable[..., AllParams]


@dataclass
class Fixed:
    """Finds what it was told to, and says in which order it was asked."""

    losses: list[list[float]]
    mark: float
    asked: list[tuple[float, int]]

    def __call__(self, case: Case) -> Found:
        self.asked.append((self.mark, case.run))
        return Found(torch.full_like(case.mixture, self.mark), torch.tensor(self.losses))


def case(run: int = 0) -> Case:
    return case_of(Saturating(3.0), *signals(2, 50), linf(0.01)).restarted(run)


@pytest.mark.parametrize("run", [0, 3])
def test_each_in_its_turn_and_the_worst_is_kept(run: int) -> None:
    asked: list[tuple[float, int]] = []
    attacks = [
        Fixed([[-5, -4], [-5, -1]], 1.0, asked),
        Fixed([[-5, -3, -2], [-5, -4, -3]], 2.0, asked),
        Fixed([[-5, -3], [-5, 0]], 3.0, asked),
    ]
    found = OneAfterTheOther(attacks)(case(run))
    assert asked == [(1.0, run), (2.0, run + 1), (3.0, run + 2)]  # draws of their own
    # 1 + 1 + 2 + 1 entries: the clean loss stands there once.
    assert found.losses.tolist() == [[-5, -4, -3, -2, -2], [-5, -1, -1, -1, 0]]
    assert found.adversarial[:, 0].tolist() == [2.0, 3.0]
    assert OneAfterTheOther(attacks[:1])(case()).losses.tolist() == [[-5, -4], [-5, -1]]


def test_of_two_that_are_as_strong_the_first_stays() -> None:
    attacks = [Fixed([[-5, -2]], 1.0, []), Fixed([[-5, -2]], 2.0, [])]
    assert OneAfterTheOther(attacks)(case()).adversarial[0, 0] == 1.0


def test_what_is_not_a_number_stays_so() -> None:
    nan = float("nan")
    for losses in ([[-5, nan]], [[-5, -1]]), ([[-5, -1]], [[-5, nan]]):
        attacks = [Fixed(list(loss), 1.0, []) for loss in losses]
        found = OneAfterTheOther(attacks)(case())
        assert found.losses[:, -1].isnan().all()


def test_methods_that_are_named_are_used() -> None:
    params = AttackSection(
        eps=0.02, without_gradient=["noise", "search"], restarts=2, search={"queries": 7}
    )
    made = score_based(params)
    assert [type(one) for one in made.attacks] == [RandomNoise, RandomSearch]
    found = made(case())
    by_themselves = [one(case(run)) for run, one in enumerate(made.attacks)]
    assert found.losses.shape[1] == 1 + sum(x.losses.shape[1] - 1 for x in by_themselves)
    last = torch.stack([x.losses[:, -1] for x in by_themselves])
    assert torch.equal(found.losses[:, -1], last.amax(0))
    assert (found.losses.diff(dim=1) >= 0).all()
    for item, chosen in enumerate(last.argmax(0).tolist()):
        assert torch.equal(found.adversarial[item], by_themselves[chosen].adversarial[item])
    delta = found.adversarial - case().mixture
    assert 0 < delta.abs().max() <= 0.02


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_a_budget_there_is_nothing_to_search_in(norm: str) -> None:
    params = AttackSection(method="minimal", norm=norm)
    with pytest.raises(InputError, match=r"attack.method = minimal seeks the smallest .* choose"):
        score_based(params)


class Opaque(Saturating):
    """Says that no gradient comes back, and is never asked for one."""

    why_no_gradient = "a program of its own computes the vocals"

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert not torch.is_grad_enabled() or not mixture.requires_grad
        return super().separate(mixture).detach()


class Lying(Saturating):
    """Half of the gradient is detached."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        output = super().separate(mixture)
        return 0.5 * output + 0.5 * output.detach()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return stereo_data(tmp_path_factory.mktemp("stereo") / "prepared")


@pytest.mark.parametrize("kind", [Opaque, Lying])
@pytest.mark.parametrize("method", ["pgd", "fgsm", "universal"])
def test_who_fails_the_gate_is_attacked_without_a_gradient(
    data: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: type[Saturating],
    method: str,
) -> None:
    quick = {"method": method, "eps": 0.02, "batch": 4, "search": {"queries": 12}}
    params = make_params(
        attack={**quick, "pgd": {"steps": 2}},
        segments={"loud_db": 0.0},
        audit={"seeds": 1, "excerpts": {"segments": 2, "queries": 5}},
    )
    separator = kind(3.0, channels=2)
    # The gate itself asks for a gradient, where it is not told that there is none.
    with monkeypatch.context() as patch:
        gated = module.score_based

        def forbidden(*_: Any, **__: Any) -> Any:
            raise AssertionError("a gradient is asked for")

        def after_the_gate(own: Any) -> Any:
            patch.setattr(torch.autograd, "grad", forbidden)
            patch.setattr(torch.Tensor, "backward", forbidden)
            return gated(own)

        patch.setattr("stemproof.attacks.store.score_based", after_the_gate)
        stored = attack(params, separator, data, tmp_path)
        assert torch.autograd.grad is forbidden
    said = capsys.readouterr().out
    assert "x: no white-box attack: " in said
    index = json.loads((stored.folder / INDEX).read_text())
    assert index["gate"]["passed"] is False and stored.gate["passed"] is False
    assert [c["name"] for c in index["gate"]["checks"] if not c["passed"]] == ["gradient"]
    assert 0.5 < stored.budget_used <= 1
    curve = (stored.folder / CURVE).read_text().splitlines()
    assert len(curve) == 1 + 1 + 12  # a header, the clean loss, and one a query
    losses = [float(line.split(",")[1]) for line in curve[1:]]
    assert losses == sorted(losses) and losses[-1] > losses[0]

    # The audit of it: no white box, and nothing that would need one.
    sections = params.attack, params.segments, data
    suite = params.audit.of("blind")
    parts = [
        choose_material(suite, *sections, split, separator, CPU) for split in ("test", "train")
    ]
    with monkeypatch.context() as patch:
        patch.setattr(torch.autograd, "grad", forbidden)
        system = System("x", 1, separator, *parts, stored)
        (found,) = audit(params.audit, params.attack, [system]).values()
    flags = {flag.name: flag for flag in found.flags}
    assert list(flags) == list(CHECKS)
    assert flags["no white box"].raised
    assert "attacks without gradients, and say less" in flags["no white box"].reason
    needed = {"gradient", "steps", "restarts", "rules", "objectives", "eps"}
    unmeasured = {name for name, (_, needs) in CHECKS.items() if needed & set(needs)}
    assert {name for name, flag in flags.items() if flag.word == "not measured"} == unmeasured
    assert len(unmeasured) == 9 and not any(flags[name].raised for name in unmeasured)
    assert not needed & set(found.figures)
    # What is audited is what was stored.
    transfer = found.figures["transfer"]["x-1"]["x-1"]
    assert found.figures["bs"] - found.figures["at_bs"] == pytest.approx(transfer["drop"], abs=0.3)
    assert transfer["gain"] == 0 and transfer["drop"] > 0
    assert found.figures["budget_used"] >= stored.budget_used


@pytest.mark.parametrize("method", ["noise", "search"])
def test_who_needs_no_gradient_is_what_was_chosen(
    data: PreparedData, tmp_path: Path, make_params: MakeParams, method: str
) -> None:
    """The parameters of the attack hold, whatever the gate says."""
    own = {"method": method, "eps": 0.02, "without_gradient": ["noise"], "search": {"queries": 9}}
    params = make_params(attack=own, segments={"loud_db": 0.0})
    stored = attack(params, Opaque(3.0, channels=2), data, tmp_path)
    assert not stored.gate["passed"]
    curve = (stored.folder / CURVE).read_text().splitlines()
    assert len(curve) == 2 + {"noise": 1, "search": 9}[method]


def test_a_method_without_a_budget_is_refused(
    data: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params(attack={"method": "minimal"}, segments={"loud_db": 0.0})
    with pytest.raises(InputError, match=r"attack.method = minimal seeks"):
        attack(params, Opaque(3.0, channels=2), data, tmp_path)
