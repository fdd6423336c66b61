"""Demucs is what the package computes, with a gradient, and the same at every call."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import demucs.apply
import pytest
import torch
from demucs_toys import RATE, TOYS, Shifts, Unseeded, applied, bag, toy
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.separators.demucs.models import Ensemble
from stemproof.separators.demucs.separator import DemucsVocals, as_separator
from stemproof.separators.protocol import (
    BlackBox,
    Informed,
    Precise,
    Random,
    Separator,
    redrawn,
    separated,
)
from stemproof.separators.wrappers import EachChannel, Windowed, with_sample_rate

WINDOW, HOP = 400, 300  # samples, of the toys


def ours(*models: Any, overlap: float = 0.25, shifts: int = 0, **how: Any) -> Any:
    """A separator of models; of a bag with the weights of its vocals."""
    weights = [1.0] * len(models)
    if isinstance(models[0], demucs.apply.BagOfModels):
        weights = [row[2] for row in models[0].weights]
        models = tuple(models[0].models)
    return as_separator(Ensemble(models, weights, overlap, shifts, how.get("segment")))


def music(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Noise that is not centred, with a level of its own for every item."""
    draw = torch.Generator().manual_seed(seed)
    levels = torch.linspace(0.1, 0.7, shape[0], dtype=dtype)[:, None, None]
    return levels * torch.randn(shape, generator=draw, dtype=dtype) + 0.2


def assert_close(found: Tensor, wanted: Tensor, tolerance: float = 2e-6) -> None:
    error = (found - wanted).detach().norm() / wanted.detach().norm()
    assert error < tolerance, float(error)


SYSTEMS: dict[str, Callable[[], Any]] = {
    **{name: (lambda name=name: toy(name)) for name in TOYS},
    "bag": bag,
    "bag with short segments": lambda: bag(segment=0.3),
    # Windows whose lengths the model does not pad.
    "any length": lambda: toy("HTDemucs", use_train_segment=False),
    "spectrogram alone": lambda: toy("HDemucs", hybrid=False),
    "masks": lambda: toy("HDemucs", cac=False, wiener_iters=-1, end_iters=-1),
    "mono": lambda: toy("HDemucs", audio_channels=1),
    # Without a normalisation of its own, which makes that of the recording count.
    "plain": lambda: toy("Demucs", normalize=False, resample=False, dconv_mode=0, lstm_layers=1),
}
by_system = pytest.mark.parametrize("name", SYSTEMS)
by_model = pytest.mark.parametrize("name", TOYS)


# Shorter than a window, one, a bit more, and more of them.
@pytest.mark.parametrize("samples", [170, WINDOW, WINDOW + 1, 2 * HOP + 50])
@by_system
def test_the_output_is_what_the_package_computes(name: str, samples: int) -> None:
    separator = ours(SYSTEMS[name]())
    mixture = music(2, separator.channels, samples)
    wanted = applied(SYSTEMS[name](), mixture, overlap=0.25, split=True)
    assert wanted.std() > 0.01
    found = separated(separator, mixture)
    assert_close(found, wanted)
    # Far from what is no separation at all.
    assert (found - mixture).norm() > 0.1 * mixture.norm()


@by_model
@pytest.mark.parametrize(
    ("overlap", "segment"), [(0.0, None), (0.6, None), (0.1, 0.26), (0.25, 0.18)]
)
def test_other_windows_are_what_the_package_computes(
    name: str, overlap: float, segment: float | None
) -> None:
    mixture = music(1, 2, 1001)
    wanted = applied(toy(name), mixture, overlap=overlap, segment=segment)
    found = ours(toy(name), overlap=overlap, segment=segment).separate(mixture)
    assert_close(found, wanted)
    assert (found - ours(toy(name)).separate(mixture)).norm() > 1e-4 * found.norm()


def test_a_last_window_of_one_sample_is_what_the_package_computes() -> None:
    for name in TOYS:
        mixture = music(2, 2, 2 * HOP + 1)
        assert_close(ours(toy(name)).separate(mixture), applied(toy(name), mixture))


@pytest.mark.parametrize(
    ("changes", "samples"), [({"hybrid": False}, HOP + 32), ({"audio_channels": 1}, HOP + 1)]
)
def test_a_last_window_that_is_too_short_for_a_model_is_said(
    changes: dict[str, Any], samples: int
) -> None:
    separator = ours(toy("HDemucs", **changes))
    least = 33 if "hybrid" in changes else 2
    said = f"the last window of a recording of {samples} samples has {samples - HOP}, .* {least};"
    with pytest.raises(InputError, match=said):
        separator.separate(music(1, separator.channels, samples))
    output = separator.separate(music(1, separator.channels, samples + 1))
    assert bool(output.isfinite().all())


@by_system
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    """Also along the level and along an offset, which the normalisation takes away."""
    separator = ours(SYSTEMS[name]()).doubled()
    mixture = music(2, separator.channels, 2 * HOP + 170, dtype=torch.float64)
    weights = torch.randn(mixture.shape, generator=torch.Generator().manual_seed(1)).double()
    directions = [
        mixture,
        torch.ones_like(mixture),
        music(*mixture.shape, seed=2, dtype=torch.float64),
        (torch.arange(mixture.shape[-1]) == 2 * HOP + 20).double().expand_as(mixture),
    ]

    def loss(heard: Tensor) -> Tensor:
        return (separator.separate(heard) * weights).sum()

    heard = mixture.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(heard), heard)
    for direction in directions:
        step = 1e-5 * direction / direction.norm()
        with torch.no_grad():
            slope = (loss(mixture + step) - loss(mixture - step)) / 2
        expected = float((gradient * step).sum())
        scale = max(abs(expected), 1e-3 * float(gradient.norm() * step.norm()))
        assert abs(float(slope) - expected) < 1e-5 * scale


class InDouble:
    """PyTorch as `apply_model` sees it, which else adds windows up in float32."""

    zeros = functools.partial(torch.zeros, dtype=torch.float64)
    arange = functools.partial(torch.arange, dtype=torch.float64)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@by_system
def test_precision_doubles(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    single = ours(SYSTEMS[name]())
    assert isinstance(single, Separator) and isinstance(single, Precise)
    double = single.doubled()
    mixture = music(2, single.channels, 777)
    found = double.separate(mixture.double())
    assert found.dtype == torch.float64
    assert_close(found, single.separate(mixture).double(), 1e-5)
    monkeypatch.setattr(demucs.apply, "th", InDouble())
    assert_close(found, applied(SYSTEMS[name]().double(), mixture.double()), 1e-13)
    assert {weight.dtype for weight in single.system.state_dict().values()} == {torch.float32}


@by_system
def test_silence_is_finite(name: str) -> None:
    separator = ours(SYSTEMS[name]())
    mixture = music(3, separator.channels, 1333)
    mixture[0] = 0
    mixture[1] = 0.25
    mixture[2, :, 300:] = 0
    mixture.requires_grad_()
    output = separator.separate(mixture)
    assert bool(output.isfinite().all())
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(3))
    (gradient,) = torch.autograd.grad((output * weights).sum(), mixture)
    assert bool(gradient.isfinite().all())
    assert output[0].abs().max() < 1e-6


@by_model
def test_items_of_a_batch_are_independent(name: str) -> None:
    separator = ours(SYSTEMS[name]())
    mixture = music(3, separator.channels, 1001).requires_grad_()
    output = separator.separate(mixture)
    alone = separator.separate(mixture[1:2])
    assert_close(alone, output[1:2])
    (gradient,) = torch.autograd.grad(output[1].square().sum(), mixture)
    assert gradient[1].abs().max() > 0
    assert not gradient[[0, 2]].any()


def test_what_is_kept_for_the_gradient_does_not_grow_with_the_windows() -> None:
    def kept(separator: Any, samples: int) -> int:
        """Bytes that are saved outside of windows."""
        sizes = []
        mixture = music(1, 2, samples).requires_grad_()

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel() * tensor.element_size())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            separator(mixture)
        return sum(sizes)

    samples = 20 * HOP
    recording = 2 * samples * 4
    assert kept(ours(toy("HDemucs")).separate, samples) < 20 * recording
    assert kept(toy("HDemucs"), samples) > 100 * recording  # as a whole, for comparison


def test_it_is_frozen_and_in_evaluation_mode() -> None:
    separator = ours(toy("HDemucs").train(), toy("Demucs", lstm_layers=1).train())
    parts = list(separator.system.modules())
    assert not any(weight.requires_grad for weight in separator.system.parameters())
    # What computes the gradient of a recurrent layer on a GPU asks for its training mode.
    recurrent = [part for part in parts if isinstance(part, nn.RNNBase)]
    assert recurrent
    assert all(part.training and part.dropout == 0 for part in recurrent)
    assert not any(part.training for part in parts if not isinstance(part, nn.RNNBase))
    assert (separator.sample_rate, separator.channels) == (RATE, 2)
    assert not isinstance(separator, Informed | BlackBox | Random)


@by_model
def test_it_draws_nothing(name: str) -> None:
    separator, mixture = ours(SYSTEMS[name]()), music(1, SYSTEMS[name]().audio_channels, 1001)
    outputs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        random.seed(seed)
        outputs.append(separator.separate(mixture))
    assert torch.equal(*outputs)


def test_dropout_of_a_transformer_is_off() -> None:
    mixture = music(1, 2, 1001)
    plain, dropped = (ours(toy("HTDemucs", t_dropout=rate)) for rate in (0.0, 0.5))
    assert torch.equal(plain.separate(mixture), dropped.separate(mixture))


def test_the_package_by_itself_is_another_function_at_every_pass() -> None:
    system, mixture = Unseeded(toy("HDemucs")), music(1, 2, 1001)
    assert isinstance(system, Separator) and not isinstance(system, Random)
    first, second = system.separate(mixture), system.separate(mixture)
    assert first.shape == mixture.shape
    assert (first - second).norm() > 1e-4 * first.norm()


def test_seeded_shifts_are_the_same_bits() -> None:
    separator = ours(toy("HTDemucs"), shifts=2)
    assert isinstance(separator, Random) and isinstance(separator, Precise)
    mixture = music(3, 2, 350).requires_grad_()
    state = torch.random.get_rng_state()
    output = redrawn(separator, [5, 6, 7]).separate(mixture)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(redrawn(separator, [5, 6, 7]).separate(mixture), output)
    # Alone, in another place, and beside others.
    assert torch.equal(redrawn(separator, [6]).separate(mixture[1:2]), output[1:2])
    assert torch.equal(redrawn(separator, [7, 5]).separate(mixture[[2, 0]]), output[[2, 0]])
    others = redrawn(separator, [5, 8, 7]).separate(mixture)
    assert torch.equal(others[[0, 2]], output[[0, 2]])
    assert (others[1] - output[1]).norm() > 1e-4 * output[1].norm()
    # Equal recordings get shifts of their own.
    twice = redrawn(separator, [5, 6]).separate(mixture[:1].expand(2, -1, -1))
    assert not torch.equal(twice[0], twice[1])
    (gradient,) = torch.autograd.grad(output[1].square().sum(), mixture)
    assert gradient[1].abs().max() > 0 and not gradient[[0, 2]].any()


def test_shifts_without_seeds_are_drawn_anew() -> None:
    separator, mixture = ours(toy("HDemucs"), shifts=1), music(1, 2, 1001)
    torch.manual_seed(1)
    first, second = separator.separate(mixture), separator.separate(mixture)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(separator.separate(mixture), first)


@pytest.mark.parametrize("name", ["Demucs", "HDemucs", "HTDemucs", "bag"])
@pytest.mark.parametrize("shifts", [1, 3])
def test_seeded_shifts_are_those_of_the_package(
    name: str, shifts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = SYSTEMS[name]()
    mixture, seeds = music(2, 2, 1001), [11, 12]
    drawn = []
    for seed in seeds:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            models = 2 if name == "bag" else 1
            drawn += torch.randint(RATE // 2 + 1, (1, models, shifts)).flatten().tolist()
    assert len(set(drawn)) == len(drawn)
    given = Shifts(drawn)
    monkeypatch.setattr(demucs.apply, "random", given)
    wanted = applied(theirs, mixture, shifts=shifts)
    assert given.shifts == []
    separator = ours(SYSTEMS[name](), shifts=shifts)
    assert_close(redrawn(separator, seeds).separate(mixture), wanted)
    assert (wanted - applied(SYSTEMS[name](), mixture)).norm() > 1e-4 * wanted.norm()


@pytest.mark.parametrize("shift", [0, RATE // 2])
def test_shifts_at_both_ends_are_those_of_the_package(
    shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = music(1, 2, 1001)
    monkeypatch.setattr(demucs.apply, "random", Shifts([shift]))
    wanted = applied(toy("HTDemucs"), mixture, shifts=1)
    separator = ours(toy("HTDemucs"), shifts=1)
    assert_close(separator._through(mixture, [[shift]]), wanted)


def test_shifts_in_double_precision() -> None:
    separator, mixture = ours(toy("HDemucs"), shifts=2), music(2, 2, 1001)
    fixed = redrawn(separator, [1, 2])
    assert isinstance(fixed, Precise)
    found = fixed.doubled().separate(mixture.double())
    assert found.dtype == torch.float64
    assert_close(found, fixed.separate(mixture).double(), 1e-5)
    drawn = redrawn(separator.doubled(), [1, 2]).separate(mixture.double())
    assert torch.equal(drawn, found)


def test_wrappers_go_around_it() -> None:
    mono: DemucsVocals = ours(toy("HDemucs", audio_channels=1), shifts=1)
    wrapped = with_sample_rate(EachChannel(Windowed(mono, 0.4, 0.25), 2), 2 * RATE)
    mixture = music(2, 2, 1201).requires_grad_()
    output = redrawn(wrapped, [1, 2]).separate(mixture)
    assert output.shape == mixture.shape
    (gradient,) = torch.autograd.grad(output.square().sum(), mixture)
    assert bool(gradient.isfinite().all()) and gradient.abs().max() > 0
