"""The pipeline's protocol in other words: the same start, attack and break points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from blind_cases import Crosstalk, stereo_data
from conftest import ROOT
from torch import Tensor

from stemproof.attacks.breakpoints import BreakPoints
from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.steps import Decaying
from stemproof.data.excerpts import Excerpts

EPS = 0.01


@pytest.fixture(scope="module")
def excerpts(tmp_path_factory: pytest.TempPathFactory) -> Excerpts:
    data = stereo_data(tmp_path_factory.mktemp("stereo") / "prepared")
    return Excerpts.recordings(data.tracks("test")[:3], 1000)


@pytest.fixture
def restated(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import restated

    return restated


@pytest.fixture
def protocol(restated: Any) -> Any:
    import restated_protocol

    return restated_protocol


def sides(restated: Any, excerpts: Excerpts, number: int, seed: int, dtype: torch.dtype) -> Any:
    """A recording as the pipeline's case and as the benchmark's task, with one system."""
    mixture, vocals = (part.to(dtype) for part in excerpts.read([number]))
    seeds = [excerpts.seed(number, "attack", seed)]
    case = Case.of(Crosstalk(), mixture, vocals, Bound("linf", eps=EPS), seeds)

    def separate(heard: Tensor) -> Tensor:
        return Crosstalk().separate(heard[None])[0]

    return case, restated.Task(separate, mixture[0], vocals[0])


@pytest.mark.parametrize("number", range(3))
def test_the_start_is_the_pipelines(
    restated: Any, protocol: Any, excerpts: Excerpts, number: int
) -> None:
    case, task = sides(restated, excerpts, number, 7, torch.float32)
    theirs = case.shaped(case.budget.start(case.mixture, case.draws("start")))[0]
    ours = protocol.start(task, EPS, excerpts.track(number), 7)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    other = protocol.start(task, EPS, excerpts.track(number), 8)
    assert float((other - theirs).abs().max()) > EPS / 2


@pytest.mark.parametrize("number", range(3))
def test_the_attack_ends_where_the_pipelines_does(
    restated: Any, protocol: Any, excerpts: Excerpts, number: int
) -> None:
    case, task = sides(restated, excerpts, number, 0, torch.float32)
    found = GradientAttack(negative_si_sdr, 6, 0.5, Decaying)(case)
    start = protocol.start(task, EPS, excerpts.track(number), 0)
    ours = restated.worst_in_box(task, EPS, 6, start)
    assert ours == pytest.approx(-float(found.losses[0, -1]), abs=1e-3)
    assert ours < -float(found.losses[0, 0]) - 0.1  # there was something to find


@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.parametrize("number", range(3))
def test_break_points_are_those_of_the_pipeline(
    restated: Any, protocol: Any, excerpts: Excerpts, number: int, steps: int
) -> None:
    """In double precision nothing is left but the code."""
    case, task = sides(restated, excerpts, number, 0, torch.float64)
    theirs = BreakPoints(steps)(case)
    ours = protocol.break_points(task, steps)
    for column, level in enumerate((1, 3, 6)):
        found = ours[f"break_{level}db"]
        if not bool(theirs.reached[0, column]):
            assert found is None
        else:
            assert found == pytest.approx(float(theirs.snr[0, column]), abs=1e-6)


def test_what_nothing_reaches_has_no_break_point(restated: Any, protocol: Any) -> None:
    truth, error = torch.randn(2, 2, 500, generator=torch.Generator().manual_seed(0)).double()
    estimate = truth + 0.3 * error
    task = restated.Task(lambda heard: estimate + 1e-6 * heard, estimate, truth)
    assert set(protocol.break_points(task, 2).values()) == {None}


def test_words_and_numbers_of_a_seed_are_told_apart(protocol: Any, tmp_path: Path) -> None:
    assert protocol.seed_of("a", 1) != protocol.seed_of("a", "1")
    assert protocol.seed_of("ab") != protocol.seed_of("a", "b")
    assert 0 <= protocol.seed_of("a") < 2**63
