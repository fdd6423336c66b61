"""A loss, gradient or weight that is not a number stops a training and spoils nothing it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import AllParams
from small import make
from test_openunmix_training import made, write_data
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.core.finite import Watch
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.separators.kind import Made
from stemproof.separators.openunmix import train as openunmix
from stemproof.separators.rsvm import objective
from stemproof.separators.rsvm import train as rsvm

MakeParams = Callable[..., AllParams]
Train = Callable[[Path], Made]


@pytest.fixture
def train_rsvm(songs: Path, tmp_path: Path, make_params: MakeParams) -> Train:
    params = make_params(data={"root": str(songs)}, rsvm={"training": {"epochs": 3}})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    return lambda resume: make(params, data, resume, "improved")


@pytest.fixture
def train_openunmix(tmp_path: Path) -> Train:
    data = write_data(tmp_path / "prepared")
    return lambda resume: made(data, resume, training={"epochs": 3})


# Of each kind: fixture, module and name of a loss, steps an epoch, and the parameter to look at.
KINDS = {
    "rsvm": ("train_rsvm", objective, "neg_snr", 7, "rsvm.training.learning_rate"),
    "openunmix": (
        *("train_openunmix", openunmix.F, "mse_loss", 4),
        "separators.small.training.learning_rate",
    ),
}


def loss_is_none(loss: Tensor) -> Tensor:
    return loss * math.nan


def gradient_is_none(loss: Tensor) -> Tensor:
    """The same value; the root at zero has an infinite slope."""
    return loss + (0 * loss).sqrt()


def weight_is_none(optimizer: Any) -> None:
    with torch.no_grad():
        optimizer.param_groups[0]["params"][0].view(-1)[0] = math.inf


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[Train, Any, str, int, str]:
    fixture, *rest = KINDS[request.param]
    return (request.getfixturevalue(fixture), *rest)


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_the_step_and_the_last_good_state_are_named(
    kind: tuple[Train, Any, str, int, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    train, module, name, steps, parameter = kind
    whole = train(tmp_path / "whole.ckpt")
    honest = getattr(module, name)
    calls = 0

    def fails(*signals: Any, **options: Any) -> Tensor:
        nonlocal calls
        loss = honest(*signals, **options)
        if torch.is_grad_enabled():  # not of the validation
            calls += 1
            if calls == steps + 3:
                return loss_is_none(loss) if fault == "loss" else gradient_is_none(loss)
        return loss

    monkeypatch.setattr(module, name, fails)
    kept = tmp_path / "failed.ckpt"
    with pytest.raises(InputError) as error:
        train(kept)
    said = f"the {fault} of step 3 is not a number in epoch 2; lower {parameter}; "
    assert str(error.value) == f"{said}what epoch 1 left is kept in {kept}"
    state = torch.load(kept, weights_only=True)
    assert len(state["curves"]) == 1
    for values in (state["model"], *state["optimizer"]["state"].values()):
        assert all(bool(value.isfinite().all()) for value in values.values())
    # From there the training goes on, to the bits of one that never failed.
    monkeypatch.setattr(module, name, honest)
    resumed = train(kept)
    assert resumed.curves == whole.curves
    pairs = zip(resumed.model.parameters(), whole.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_weight_that_overflows_in_the_last_step_is_not_kept(
    kind: tuple[Train, Any, str, int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its losses and gradients were all numbers, and those of a validation may leave it out."""
    train, _, _, steps, parameter = kind
    honest, calls = torch.optim.Adam.step, 0

    def step(self: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        found = honest(self, *arguments, **options)
        if calls == steps:
            weight_is_none(self)
        return found

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    said = rf"a weight after step {steps} is not a number in epoch 1; lower {parameter}; nothing"
    with pytest.raises(InputError, match=said):
        train(tmp_path / "a.ckpt")
    assert not (tmp_path / "a.ckpt").exists()


def test_a_state_whose_weights_are_none_is_not_gone_on_with(
    kind: tuple[Train, Any, str, int, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, *_ = kind
    whole = train(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)
    next(iter(state["model"].values())).view(-1)[0] = math.nan
    torch.save(state, tmp_path / "a.ckpt")
    assert train(tmp_path / "a.ckpt").curves == whole.curves
    assert "damaged checkpoint, starting over" in capsys.readouterr().out


@pytest.mark.parametrize("module", [rsvm, openunmix])
def test_a_long_epoch_stops_before_its_end(module: Any) -> None:
    """A hundred steps are enough to tell, of however many an epoch has."""
    assert 1 <= module.CHECK_EVERY <= 1000


def test_steps_are_counted_over_all_looks() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    watch = Watch()
    for step in range(1, 8):
        loss = (weight * (math.inf if step == 6 else 1.0)).sum()
        weight.grad = torch.ones(3)
        watch.step(loss, [weight, torch.nn.Parameter(torch.ones(1))])
        if step == 4:
            assert watch.waiting == 4
            watch.check(1, str, Path("a"))
            assert watch.waiting == 0
    with pytest.raises(InputError, match="loss of step 6"):
        watch.check(1, str, Path("a"))


def test_scaled_gradients_may_overflow() -> None:
    """In 16-mixed the step is left out, and the scale lowered: that is no fault."""
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.full((3,), math.inf)
    for scaled in (True, False):
        watch = Watch(scaled)
        watch.step(torch.zeros(()), [weight])
        if scaled:
            watch.check(1, str, Path("a"))
            continue
        with pytest.raises(InputError, match="gradient of step 1"):
            watch.check(1, str, Path("a"))


def test_a_shorter_training_of_rsvm_is_the_beginning_of_a_longer_one(
    songs: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    """Nothing depends on how many epochs are to come: lengths are compared within one training."""
    found = []
    for epochs in (1, 2):
        params = make_params(data={"root": str(songs)}, rsvm={"training": {"epochs": epochs}})
        folder = tmp_path / f"prepared-{epochs}"
        prepare(params.data, params.segments, 1, folder)
        made_of = make(params, PreparedData(folder), tmp_path / f"{epochs}.ckpt", "improved")
        found.append(made_of.curves)
    (first,), (again, _) = found
    assert first == again
