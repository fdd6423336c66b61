"""An audit makes no run twice: of restarts, nor of the attack whose result is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from blind_cases import Crosstalk, stereo_data
from conftest import AllParams
from small import CPU, attack
from test_audit import ATTACK, SETTINGS, Plain, material
from test_transfer import Attacked

from stemproof.attacks.objectives import OBJECTIVES
from stemproof.attacks.params import AttackParams
from stemproof.attacks.pgd import build_pgd
from stemproof.attacks.restarts import Restarts
from stemproof.auditing import run as running
from stemproof.auditing.bench import Bench
from stemproof.auditing.checks import Auditor
from stemproof.auditing.material import choose_material
from stemproof.auditing.run import System
from stemproof.data.store import PreparedData
from stemproof.separators.wrappers import Watched

MakeParams = Callable[..., AllParams]
Counted = Callable[..., tuple[Bench, list[int]]]


@pytest.fixture
def counted() -> Counted:
    """A bench whose passes are counted."""

    def make(attack: AttackParams, found: Any = None) -> tuple[Bench, list[int]]:
        passes = [0]

        def tell() -> None:
            passes[0] += 1

        parts = material()
        return Bench(Watched(Plain(), tell), parts, parts, attack, found=found), passes

    return make


@pytest.mark.parametrize("loss", ["si_sdr", "output_distance"])
def test_twice_as_many_restarts_begin_with_those_that_were_made(
    counted: Counted, make_params: MakeParams, loss: str
) -> None:
    own = make_params(attack={**ATTACK, "restarts": 2, "loss": loss}).attack
    bench, passes = counted(own)
    bench.own()
    once = passes[0]
    more = bench.pgd(restarts=4)
    assert passes[0] == 2 * once
    # As the attack by itself makes them, one after the other.
    alone, _ = counted(own)
    assert torch.equal(more, alone.run(Restarts(build_pgd(own), 4)))
    assert bench.pgd(restarts=4) is not None and passes[0] == 2 * once
    assert not torch.equal(more, bench.own())  # another restart was the worse one somewhere


def test_what_is_known_of_the_attack_is_not_sought_again(
    counted: Counted, make_params: MakeParams
) -> None:
    params = make_params(attack=ATTACK, audit=SETTINGS)
    fresh, without = counted(params.attack)
    alone = Auditor(fresh, params.audit).figures()
    told, passes = counted(params.attack, found=fresh.own())
    assert Auditor(told, params.audit).figures() == alone
    batches, steps = len(told.cases), build_pgd(params.attack).steps
    # Its steps and the pass behind the last one, but for one that asks what it reached.
    assert without[0] - passes[0] == batches * steps


def test_another_loss_or_rule_is_another_attack(counted: Counted, make_params: MakeParams) -> None:
    own = make_params(attack=ATTACK).attack
    bench, _ = counted(own)
    known, _ = counted(own, found=bench.own())
    assert torch.equal(known.pgd(), bench.pgd())
    for changes in ({"steps": 3}, {"objective": OBJECTIVES["mse"]}):
        assert torch.equal(known.pgd(**changes), bench.pgd(**changes))
        assert not torch.equal(known.pgd(**changes), known.pgd())


@pytest.fixture
def stored(make_params: MakeParams, tmp_path: Path) -> Callable[..., Attacked]:
    """A blind system, what an attack on it stored, and the parts that are audited."""

    def make(samples: tuple[int, ...], **changes: Any) -> Attacked:
        lengths = {"train": (3005,), "valid": (2000,), "test": samples}
        data: PreparedData = stereo_data(tmp_path / "data" / "prepared", lengths)
        params = make_params(
            attack={**ATTACK, **changes}, audit=SETTINGS, segments={"loud_db": -50.0}
        )
        separator = Crosstalk()
        adversarials = attack(params, separator, data, tmp_path / "stored")
        sections = params.attack, params.segments, data
        parts = choose_material(params.audit.of("blind"), *sections, "test", separator, CPU)
        return Attacked(separator, adversarials, parts, params)

    return make


def found_of(made: Attacked) -> torch.Tensor | None:
    system = System("x", 1, made.separator, made.material, made.material, made.stored)
    return running._found(made.params.attack, system)


def test_what_was_stored_is_what_the_audit_would_find(stored: Callable[..., Attacked]) -> None:
    made = stored((4000, 4000, 4000))
    found = found_of(made)
    assert found is not None
    own = Bench(made.separator, made.material, made.material, made.params.attack).own()
    torch.testing.assert_close(found, own, rtol=0, atol=1e-6)


def test_what_was_cut_is_attacked_anew(stored: Callable[..., Attacked]) -> None:
    """A perturbation of a whole recording is no attack on its beginning."""
    made = stored((4000, 3000, 2300))
    assert made.material.cut
    assert found_of(made) is None


def test_an_attack_without_a_ball_is_no_result_of_pgd(stored: Callable[..., Attacked]) -> None:
    made = stored((4000, 4000, 4000), method="minimal")
    assert not made.material.cut
    assert found_of(made) is None


def test_of_a_system_without_a_gradient_all_is_known(stored: Callable[..., Attacked]) -> None:
    made = stored((4000, 3000, 2300))
    refused = replace(made.stored, gate={"passed": False, "checks": []})
    assert found_of(replace(made, stored=refused)) is not None
