"""The opponent who trains: he learns what he is taught, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.protecting.aims import Aim
from stemproof.protecting.fine_tuning import (
    Lesson,
    keep_weights,
    tuned,
    weights_of,
    with_kept_weights,
)
from stemproof.protecting.section import FineTuningParams
from stemproof.protecting.stored import write_raw
from stemproof.separators.protocol import Side
from stemproof.separators.repeating import Repeating
from stemproof.separators.wrappers import with_channels, with_sample_rate

RATE, CPU = 8000, torch.device("cpu")


class Gain(nn.Module):
    """So much of the song is taken for the vocals; a system that is its own model."""

    sample_rate, channels = RATE, 2

    def __init__(self, gain: float = 0.5) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor([gain]), requires_grad=False)

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return self.gain * mixture


class Holder:
    """A system that has a model."""

    sample_rate, channels = RATE, 2

    def __init__(self, model: nn.Module, passes: bool = True) -> None:
        self.model, self.passes = model, passes

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        found = self.model.separate(mixture)  # type: ignore[operator]
        return found if self.passes else found.detach()


@pytest.fixture
def lessons(tmp_path: Path) -> list[Lesson]:
    """Songs of which four fifths are vocals."""
    found = []
    for number, seconds in enumerate((1.0, 0.3)):
        draw = np.random.default_rng(number)
        song = 0.2 * draw.standard_normal((2, round(seconds * RATE))).astype(np.float32)
        pair = [
            write_raw([part], tmp_path / f"{number}-{name}.f32", RATE, 2)
            for name, part in (("song", song), ("vocals", np.float32(0.8) * song))
        ]
        found.append(Lesson(f"song {number}", *pair))
    return found


def params(**changes: float) -> FineTuningParams:
    return FineTuningParams(**{"songs": 2, "excerpt": 0.5, "learning_rate": 0.01, **changes})


def test_a_step_of_adam_goes_as_far_as_its_rate(lessons: list[Lesson]) -> None:
    """The first one, whatever the gradient, towards more of the song; the given system stays."""
    aim = Aim("gain", Gain())
    learned = tuned(aim, lessons, params(steps=1), 0, CPU)
    (weight,) = weights_of(learned.separator)
    assert float(weight) == pytest.approx(0.51, abs=1e-6)
    assert not weight.requires_grad
    (own,) = weights_of(aim.separator)
    assert float(own) == 0.5


def test_it_learns_what_it_is_taught(lessons: list[Lesson]) -> None:
    told = []
    learned = tuned(Aim("x", Gain()), lessons, params(steps=80), 0, CPU, lambda: told.append(1))
    assert float(weights_of(learned.separator)[0]) == pytest.approx(0.8, abs=0.03)
    assert len(told) == 80


def test_the_same_seed_gives_the_same_weights(lessons: list[Lesson]) -> None:
    class Tap(Gain):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return torch.tanh(self.gain * mixture)

    found = [
        float(weights_of(tuned(Aim("x", Tap()), lessons, params(steps=7), n, CPU).separator)[0])
        for n in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda own: own,
        Holder,
        lambda own: with_channels(Holder(own), 1),
        lambda own: with_sample_rate(with_channels(own, 1), 2 * RATE),
    ],
)
def test_weights_are_found_through_wrappers(wrapped: Callable[[Gain], Gain]) -> None:
    own = Gain()
    (found,) = weights_of(wrapped(own))
    assert found is own.gain


def test_a_system_without_weights_is_refused(lessons: list[Lesson]) -> None:
    for separator, said in (
        (Repeating(RATE, 2), "repeat: no weights can be reached in it"),
        (Holder(Gain(), passes=False), "repeat: no gradient reaches its weights"),
    ):
        with pytest.raises(InputError, match=f"{said}; set protect.fine_tuning.songs to 0"):
            tuned(Aim("repeat", separator), lessons, params(steps=1), 0, CPU)


def test_weights_that_are_no_numbers_are_refused(lessons: list[Lesson]) -> None:
    class Steep(Gain):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return mixture * torch.exp(1e4 * self.gain.square())

    with pytest.raises(InputError, match="no numbers after 2 steps.*learning_rate lower"):
        tuned(Aim("steep", Steep()), lessons, params(steps=2), 0, CPU)


def test_kept_weights_are_read_back_or_made_anew(lessons: list[Lesson], tmp_path: Path) -> None:
    aim, file = Aim("x", Gain()), tmp_path / "kept.safetensors"
    assert with_kept_weights(aim, file) is None
    learned = tuned(aim, lessons, params(steps=3), 0, CPU)
    keep_weights(learned, file)
    again = with_kept_weights(aim, file)
    assert again is not None
    assert torch.equal(weights_of(again.separator)[0], weights_of(learned.separator)[0])
    assert float(weights_of(aim.separator)[0]) == 0.5
    whole = file.read_bytes()
    file.write_bytes(whole[:-2])
    assert with_kept_weights(aim, file) is None
    file.write_bytes(whole)
    other = Aim("y", Holder(nn.ModuleList([Gain(), Gain()])))
    assert with_kept_weights(other, file) is None
