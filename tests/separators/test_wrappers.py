"""Wrappers: exact shapes, true abilities, right gradients, and memory that does not grow."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stemproof.attacks.budgets import Bound, used
from stemproof.attacks.case import Case
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import output_distance
from stemproof.core.errors import InputError
from stemproof.separators.protocol import Informed, Random, Reconstructing, Separator, Side, side_of
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.params import RSVMSettings, Sizes
from stemproof.separators.rsvm.separator import RandomRSVM, as_separator
from stemproof.separators.stft import STFT, InformedSTFT, STFTSettings
from stemproof.separators.wrappers import (
    CopiedChannel,
    EachChannel,
    Expectation,
    FixedDraws,
    Memory,
    Remembered,
    Resampled,
    Watched,
    Windowed,
    with_channels,
    with_sample_rate,
)

RATE = 1000


class Identity:
    """Gives back what it hears."""

    def __init__(self, channels: int = 1, sample_rate: int = RATE) -> None:
        self.channels, self.sample_rate = channels, sample_rate

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return mixture


class Smooth(Identity):
    """Blind, with a memory of a few samples and a bend; channels leak into each other."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        kernel = torch.tensor([[[0.2, 0.5, -0.3, 0.1, 0.05]]]).to(mixture)
        flat = mixture.flatten(0, 1)[:, None]
        smooth = nn.functional.conv1d(flat, kernel, padding=2).view_as(mixture)
        return torch.tanh(smooth + 0.1 * mixture.mean(1, keepdim=True))


class Noisy(Identity):
    """Draws from PyTorch's global generator."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return mixture * (1 + torch.randn(mixture.shape, dtype=mixture.dtype))

    def redrawn(self, seeds: Sequence[int]) -> Separator:
        return FixedDraws(self, tuple(seeds))


class Ratio(Identity):
    """Informed: the side information is what the vocals are of the mixture, sample by sample."""

    twin = None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return vocals / mixture

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        return mixture * side

    def reconstruct(self, vocals: Tensor) -> Tensor:
        return vocals


def rsvm(rate: int = RATE, **variant: Any) -> Any:
    return as_separator(
        build_model(
            Sizes(channels=6, kernel=32, hop=8), RSVMSettings(**variant), rate, rate, seed=0
        )
    )


def noise(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 0.1 * torch.randn(shape, generator=draw, dtype=dtype)


def test_with_channels_adds_nothing_where_it_fits() -> None:
    mono, stereo = Identity(1), Identity(2)
    assert with_channels(mono, 1) is mono
    assert with_channels(stereo, 2) is stereo
    assert isinstance(with_channels(mono, 5), EachChannel)
    assert isinstance(with_channels(stereo, 1), CopiedChannel)
    assert with_sample_rate(mono, RATE) is mono
    with pytest.raises(InputError, match="of 2 channels cannot take recordings of 3"):
        with_channels(stereo, 3)


@settings(deadline=None, max_examples=30)
@given(batch=st.integers(1, 3), channels=st.integers(1, 5), inside=st.integers(1, 3), n=st.data())
def test_an_identity_stays_one_on_any_channels(
    batch: int, channels: int, inside: int, n: Any
) -> None:
    samples = n.draw(st.integers(1, 50))
    outside = channels if inside == 1 else 1
    separator = with_channels(Identity(inside), outside)
    recording = noise(batch, outside, samples)
    assert separator.channels == outside
    torch.testing.assert_close(separator.separate(recording), recording)


def test_each_channel_is_separated_by_itself() -> None:
    mono = rsvm()
    mixture, vocals = noise(2, 3, 200), noise(2, 3, 200, seed=1)
    stereo = EachChannel(mono, 3)
    side = side_of(stereo, mixture, vocals)
    assert side is not None
    assert side.shape[:2] == (2, 3)
    found = stereo.separate(mixture, side)
    for channel in range(3):
        x, s = mixture[:, [channel]], vocals[:, [channel]]
        alone = mono.separate(x, mono.side(x, s))
        torch.testing.assert_close(found[:, [channel]], alone)
        torch.testing.assert_close(
            stereo.reconstruct(vocals)[:, [channel]],  # type: ignore[attr-defined]
            mono.reconstruct(s),
        )


def test_a_mono_recording_is_copied_and_the_mean_comes_out() -> None:
    class Scaled(Identity):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return mixture * torch.tensor([1.0, 2.0, 6.0])[:, None]

    recording = noise(2, 1, 30)
    torch.testing.assert_close(CopiedChannel(Scaled(3)).separate(recording), 3 * recording)


def test_only_mono_systems_take_each_channel() -> None:
    with pytest.raises(InputError, match="name a mono system"):
        EachChannel(Identity(2), 2)


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(1, 3000),
    own=st.sampled_from([8000, 11025, 16000, 44100, 1000]),
    rate=st.sampled_from([8000, 22050, 44100, 48000, 1000]),
    channels=st.integers(1, 2),
)
def test_any_rate_gives_the_length_that_it_was_given(
    samples: int, own: int, rate: int, channels: int
) -> None:
    separator = Resampled(Identity(channels, own), rate)
    assert separator.sample_rate == rate
    recording = noise(2, channels, samples)
    estimate = separator.separate(recording)
    assert estimate.shape == recording.shape
    assert torch.isfinite(estimate).all()
    # A constant is below every rate's half.
    torch.testing.assert_close(separator.separate(torch.ones(1, channels, samples)).mean(), *ONE)
    if own == rate:
        assert torch.equal(estimate, recording)


ONE = (torch.tensor(1.0),)


@settings(deadline=None, max_examples=20)
@given(
    frequency=st.floats(100, 2500),
    own=st.sampled_from([8000, 11025, 16000, 44100]),
    rate=st.sampled_from([8000, 22050, 48000]),
)
def test_what_lies_below_half_of_both_rates_comes_back(
    frequency: float, own: int, rate: int
) -> None:
    time = torch.arange(rate // 4) / rate
    tone = torch.sin(2 * torch.pi * frequency * time)[None, None]
    error = Resampled(Identity(1, own), rate).separate(tone) - tone
    edge = rate // 50  # the filters reach beyond the recording there
    assert error[..., edge:-edge].abs().max() < 2e-3


@pytest.mark.slow
def test_a_long_recording_keeps_its_length() -> None:
    # Above 2 ** 24 samples a number of samples is no float32 any more.
    recording = torch.zeros(1, 1, 2**24 + 2**21 + 1)
    separator = Resampled(Identity(1, 24_000), 48_000)
    assert separator.separate(recording).shape == recording.shape


def test_rates_without_a_common_divisor_are_refused() -> None:
    with pytest.raises(InputError, match="too small a common divisor"):
        Resampled(Identity(1, 44_100), 47_999)
    for rate in (0, -1, 44_100.5):
        with pytest.raises(InputError, match="sample_rate = .* must be a whole number"):
            Resampled(Identity(1, 44_100), rate)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    samples=st.integers(1, 2000),
    length=st.integers(2, 300),
    overlap=st.floats(0, 0.9),
    channels=st.integers(1, 2),
)
def test_windows_add_up_to_one(samples: int, length: int, overlap: float, channels: int) -> None:
    separator = Windowed(Identity(channels), length / RATE, overlap)
    recording = noise(2, channels, samples, dtype=torch.float64)
    torch.testing.assert_close(separator.separate(recording), recording, rtol=1e-12, atol=1e-12)
    reconstructing = Windowed(Ratio(channels), length / RATE, overlap)
    torch.testing.assert_close(
        reconstructing.reconstruct(recording),  # type: ignore[attr-defined]
        recording,
        rtol=1e-12,
        atol=1e-12,
    )


def test_cross_fades_are_smooth() -> None:
    class Alternating(Identity):
        """Another constant at every call."""

        calls = 0

        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            self.calls += 1
            return torch.full_like(mixture, self.calls % 2)

    ones_and_zeros = Windowed(Alternating(), 0.2, 0.5).separate(torch.zeros(1, 1, 1100))
    steps = ones_and_zeros.diff().abs()
    assert ones_and_zeros.min() < 0.01
    assert ones_and_zeros.max() > 0.99
    assert steps.max() < 0.03  # a quarter of a sine over a hundred samples rises by pi / 200


def test_windows_hear_what_a_window_holds() -> None:
    heard: list[Tensor] = []

    class Listening(Identity):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            heard.append(mixture)
            return mixture

    ramp = torch.arange(250.0)[None, None]
    Windowed(Listening(), 0.1, 0.25).separate(ramp)
    assert [(int(window[0, 0, 0]), window.shape[-1]) for window in heard] == [
        (0, 100),
        (75, 100),
        (150, 100),
    ]


@pytest.mark.parametrize(
    ("seconds", "overlap"), [(0.001, 0.5), (float("nan"), 0.5), (1, 1.0), (1, -0.1), (1, 0.95)]
)
def test_windows_that_cannot_be_are_refused(seconds: float, overlap: float) -> None:
    with pytest.raises(InputError, match="seconds = |overlap = "):
        Windowed(Identity(), seconds, overlap)


def wrapped() -> list[tuple[str, Separator]]:
    return [
        ("each channel", EachChannel(Smooth(1), 2)),
        ("copied", CopiedChannel(Smooth(3))),
        ("resampled", Resampled(Smooth(2, 500), 400)),
        ("resampled down", Resampled(Smooth(1, 300), 400)),
        ("windowed", Windowed(Smooth(2), 0.01, 0.4)),
        ("long window", Windowed(Smooth(1), 0.1, 0.4)),
        ("windows over windows", Windowed(Smooth(1), 0.01, 0.8)),
        ("fixed", FixedDraws(Noisy(), (1, 2))),
        ("expectation", Expectation(Noisy(), 3)),
        ("all", Windowed(Resampled(EachChannel(Smooth(1, 500), 2), 400), 0.04, 0.5)),
    ]


@pytest.mark.parametrize("case", wrapped(), ids=lambda case: case[0])
def test_gradients_agree_with_finite_differences(case: tuple[str, Separator]) -> None:
    separator = case[1]
    mixture = noise(2, separator.channels, 33, dtype=torch.float64).requires_grad_(True)
    assert torch.autograd.gradcheck(separator.separate, (mixture,))


def test_windows_have_the_gradient_of_a_system_that_is_not_recomputed() -> None:
    separator = Windowed(Smooth(), 0.05, 0.5)
    mixture = noise(2, 1, 333, dtype=torch.float64).requires_grad_(True)
    weight = noise(2, 1, 333, dtype=torch.float64, seed=1)
    # One system without windows that does the same: every window on its own, weights by hand.
    starts = separator.starts(333)
    rise = torch.sin((torch.arange(50) + 0.5).double().div(25).clamp(max=1) * torch.pi / 2) ** 2
    fade = rise * rise.flip(0)
    total = torch.zeros(333, dtype=torch.float64)
    parts = []
    for at in starts:
        total[at : at + 50] += fade
        output = Smooth().separate(mixture[..., at : at + 50])
        parts.append(nn.functional.pad(output * fade, (at, 333 - at - 50)))
    by_hand = torch.stack(parts).sum(0) / total
    torch.testing.assert_close(separator.separate(mixture), by_hand)
    for found in (separator.separate(mixture), by_hand):
        (gradient,) = torch.autograd.grad((found * weight).sum(), mixture)
        parts.append(gradient)
    torch.testing.assert_close(parts[-2], parts[-1])


def kept(separator: Separator, samples: int) -> int:
    """Bytes that autograd keeps for the backward pass, beside the recording itself."""
    mixture = torch.randn(1, 1, samples).requires_grad_(True)
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    alive: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = separator.separate(mixture)
    storages.pop(mixture.untyped_storage().data_ptr(), None)
    assert output.grad_fn is not None
    return sum(storages.values())


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_the_recording() -> None:
    separator = Windowed(Smooth(), 0.1, 0.5)
    once, twice, eight = (kept(separator, factor * 400) for factor in (1, 2, 8))
    assert once == twice == eight
    # The measure is one that sees growth where there is some.
    assert kept(Smooth(), 3200) >= 7.9 * kept(Smooth(), 400) > 0


def test_the_weights_of_a_windowed_system_get_their_gradient() -> None:
    class Gain(nn.Module):
        sample_rate, channels = RATE, 1

        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(2.0))

        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return self.gain * mixture

    gain = Gain()
    recording = noise(1, 1, 333)
    Windowed(gain, 0.05, 0.5).separate(recording).sum().backward()  # type: ignore[arg-type]
    assert gain.gain.grad is not None
    torch.testing.assert_close(gain.gain.grad, recording.sum())


@settings(deadline=None, max_examples=20)
@given(samples=st.integers(1, 500), overlap=st.floats(0, 0.8))
def test_side_information_is_made_window_by_window(samples: int, overlap: float) -> None:
    separator: Any = Windowed(Ratio(), 0.05, overlap)
    mixture = noise(2, 1, samples, dtype=torch.float64) + 1
    vocals = noise(2, 1, samples, dtype=torch.float64, seed=1)
    windows = separator._windows(mixture)
    if samples < separator.length:
        return  # zeros that fill up a window have no ratio
    side = separator.side(mixture, vocals)
    assert side.shape == (2, len(windows), 1, separator.length)
    torch.testing.assert_close(separator.separate(mixture, side), vocals)


def test_a_windowed_rsvm_does_what_rsvm_does_to_each_window() -> None:
    mono = rsvm()
    mixture, vocals = noise(2, 1, 100), noise(2, 1, 100, seed=1)
    separator: Any = Windowed(mono, 0.1, 0.5)
    found = separator.separate(mixture, separator.side(mixture, vocals))
    torch.testing.assert_close(found, mono.separate(mixture, mono.side(mixture, vocals)))


@pytest.mark.parametrize("mask", ["fixed", "recomputed"])
@pytest.mark.parametrize("samples", [60, 100, 170, 300])
def test_side_information_of_a_whole_recording_is_refused(mask: str, samples: int) -> None:
    fixed = rsvm()
    inside = fixed if mask == "fixed" else fixed.twin
    separator = Windowed(inside, 0.1, 0.5)
    mixture, vocals = noise(2, 1, samples), noise(2, 1, samples, seed=1)
    whole = inside.side(mixture, vocals)
    with pytest.raises(ValueError, match="was not made window by window"):
        separator.separate(mixture, whole)
    other = separator.side(noise(2, 1, 1000), noise(2, 1, 1000))  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="was not made window by window"):
        separator.separate(mixture, other)
    with pytest.raises(ValueError, match="needs its mask"):
        separator.separate(mixture)


def test_side_information_for_a_blind_system_is_refused() -> None:
    mixture = noise(1, 1, 300)
    with pytest.raises(ValueError, match="takes none"):
        Windowed(Smooth(), 0.1, 0.5).separate(mixture, mixture)


WRAPPERS: dict[str, Callable[[Any], Separator]] = {
    "each channel": lambda inside: EachChannel(inside, 2),
    "copied": CopiedChannel,
    "resampled": lambda inside: Resampled(inside, 2 * RATE),
    "windowed": lambda inside: Windowed(inside, 0.1, 0.5),
    "two": lambda inside: Windowed(Resampled(EachChannel(inside, 2), 2 * RATE), 0.1, 0.5),
}
ABILITIES: dict[str, Any] = {
    "blind": (Smooth(), set()),
    "random": (Noisy(), {Random}),
    "rsvm": (rsvm(), {Informed, Reconstructing}),
    "random rsvm": (rsvm(dropout=0.5, dropout_at_test=True), {Informed, Reconstructing, Random}),
    "stft": (InformedSTFT(STFT(STFTSettings(window=32, hop=8), RATE)), {Informed, Reconstructing}),
}


@pytest.mark.parametrize("outside", WRAPPERS)
@pytest.mark.parametrize("inside", ABILITIES)
def test_a_wrapped_system_can_do_what_the_one_inside_can(outside: str, inside: str) -> None:
    system, abilities = ABILITIES[inside]
    wrapped = WRAPPERS[outside](system)
    assert isinstance(wrapped, Separator)
    assert {a for a in (Informed, Reconstructing, Random) if isinstance(wrapped, a)} == abilities
    mixture = noise(2, wrapped.channels, 444)
    vocals = noise(2, wrapped.channels, 444, seed=1)
    assert wrapped.separate(mixture, side_of(wrapped, mixture, vocals)).shape == mixture.shape
    if isinstance(wrapped, Reconstructing):
        assert wrapped.reconstruct(vocals).shape == vocals.shape
    if isinstance(wrapped, Informed):
        twin = wrapped.twin
        assert type(twin) is type(wrapped)
        assert isinstance(twin, Informed)
        side = twin.side(mixture, vocals)
        assert side.shape != wrapped.side(mixture, vocals).shape  # vocals, not a mask
        assert twin.separate(mixture, side).shape == mixture.shape
    if isinstance(wrapped, Random):
        side = side_of(wrapped, mixture, vocals)
        first, again = (wrapped.redrawn([1, 2]).separate(mixture, side) for _ in range(2))
        assert torch.equal(first, again)
        swapped = wrapped.redrawn([2, 1]).separate(mixture, side)
        assert not torch.allclose(first, swapped)
        # An item's draws are its own: alone or in another place it gets the same.
        own = None if side is None else side.flip(0)
        flipped = wrapped.redrawn([2, 1]).separate(mixture.flip(0), own)
        torch.testing.assert_close(flipped.flip(0), first)


def test_a_system_without_a_twin_has_none_outside() -> None:
    assert Resampled(Ratio(), 500).twin is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("outside", WRAPPERS)
def test_copies_and_pickles_are_the_same_system(outside: str) -> None:
    wrapped = WRAPPERS[outside](STEREO[outside])
    mixture = noise(1, wrapped.channels, 300)
    for again in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert type(again) is type(wrapped)
        assert torch.equal(again.separate(mixture), wrapped.separate(mixture))


STEREO = {name: Smooth(2 if name == "copied" else 1) for name in WRAPPERS}


def test_windows_draw_other_numbers_each() -> None:
    class Drawn(Noisy):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            return mixture * torch.randn(len(mixture), 1, 1)

    separator: Any = Windowed(Drawn(), 0.1, 0)
    gains = separator.redrawn([5]).separate(torch.ones(1, 1, 300))[0, 0]
    assert len(set(gains[::100].tolist())) == 3
    channels: Any = EachChannel(Drawn(), 2)
    assert channels.redrawn([5]).separate(torch.ones(1, 2, 3))[0, :, 0].unique().numel() == 2


def test_free_draws_are_recomputed_as_they_were() -> None:
    # In the backward pass a window is computed again: with the numbers that were drawn.
    mixture = torch.ones(1, 1, 300).requires_grad_(True)
    estimate = Windowed(Noisy(), 0.1, 0.5).separate(mixture)
    (gradient,) = torch.autograd.grad(estimate.sum(), mixture)
    torch.testing.assert_close(gradient, estimate.detach())  # of x * (1 + n) at x = 1


def test_fixed_draws_leave_the_global_generator_alone_and_count_their_seeds() -> None:
    mixture = noise(2, 1, 30)
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    FixedDraws(Noisy(), (1, 2)).separate(mixture)
    assert torch.equal(torch.rand(3), wanted)
    with pytest.raises(ValueError, match="2 items, but 3 seeds"):
        FixedDraws(Noisy(), (1, 2, 3)).separate(mixture)


def test_fixed_draws_of_an_informed_system_are_informed() -> None:
    random = rsvm(dropout=0.3, dropout_at_test=True)
    assert isinstance(random, RandomRSVM)
    fixed: Any = random.redrawn([1, 2])
    mixture, vocals = noise(2, 1, 100), noise(2, 1, 100, seed=1)
    assert isinstance(fixed, Informed)
    assert torch.equal(fixed.side(mixture, vocals), random.side(mixture, vocals))
    assert torch.equal(fixed.reconstruct(vocals), fixed.reconstruct(vocals))


def test_an_expectation_is_a_mean_without_draws() -> None:
    random = rsvm(dropout=0.3, dropout_at_test=True)
    mean: Any = Expectation(random, draws=4, seed=3)
    assert isinstance(mean, Informed)
    assert isinstance(mean, Reconstructing)
    assert not isinstance(mean, Random)
    mixture, vocals = noise(2, 1, 100), noise(2, 1, 100, seed=1)
    side = mean.side(mixture, vocals)
    found = mean.separate(mixture, side)
    assert torch.equal(found, mean.separate(mixture, side))
    torch.testing.assert_close(mean.separate(mixture[1:], side[1:]), found[1:])
    assert not torch.allclose(found, Expectation(random, 4, seed=4).separate(mixture, side))
    assert torch.equal(mean.reconstruct(vocals), mean.reconstruct(vocals))
    ones = torch.ones(1, 1, 2000)
    spread = [float(Expectation(Noisy(), n).separate(ones).std()) for n in (1, 100)]
    assert spread[1] == pytest.approx(spread[0] / 10, rel=0.2)
    with pytest.raises(InputError, match="its own mean"):
        Expectation(Smooth(), 3)
    with pytest.raises(InputError, match="draws = 0"):
        Expectation(Noisy(), 0)


def test_a_mono_rsvm_of_44100_hz_is_attacked_on_a_stereo_recording_of_48000_hz() -> None:
    windowed = Windowed(rsvm(44_100), 1.0, 0.25)
    separator = with_sample_rate(with_channels(windowed, 2), 48_000)
    samples = round(3.3 * 48_000)
    time = torch.arange(samples) / 48_000
    vocals = 0.1 * torch.sin(2 * torch.pi * 300 * time) * torch.tensor([1.0, 0.5])[:, None]
    mixture = vocals[None] + noise(1, 2, samples, seed=4)
    # Untrained weights separate nothing: what an attack can move is their output.
    attack = GradientAttack(output_distance, steps=2, step_size=0.5)
    bound = Bound("linf", eps=0.01)

    def run() -> Any:
        return attack(Case.of(separator, mixture, vocals[None], bound, seeds=[1]))

    found = run()
    assert found.adversarial.shape == (1, 2 * samples)
    assert 0.5 < used(bound.budget(mixture.flatten(1)), mixture.flatten(1), found.adversarial) <= 1
    assert found.losses[0, -1] > 1.5 * found.losses[0, 0] > 0  # more than at the random start
    again = run()
    assert torch.equal(again.adversarial, found.adversarial)
    assert torch.equal(again.losses, found.losses)


class Counted:
    """A system with a memory, and how often the system inside was asked."""

    def __init__(self, system: Separator, size: int = 1 << 20) -> None:
        self.asked = 0
        self.memory = Memory(size)
        self.system = Remembered(Watched(system, self._tell), self.memory)

    def _tell(self) -> None:
        self.asked += 1

    def gradient(self, mixture: Tensor, side: Side = None, scale: float = 1.0) -> Tensor:
        free = mixture.clone().requires_grad_(True)
        output = self.system.separate(free, side)
        (found,) = torch.autograd.grad(scale * output.square().sum(), free)
        return found


@pytest.mark.parametrize("make", [Smooth, rsvm])
def test_a_memory_gives_the_same_bits_and_asks_once(make: Callable[[], Any]) -> None:
    plain, own = make(), Counted(make())
    mixture, vocals = noise(2, 1, 200), noise(2, 1, 200, seed=1)
    side = side_of(plain, mixture, vocals)
    free = mixture.clone().requires_grad_(True)
    output = plain.separate(free, side)
    (gradient,) = torch.autograd.grad(output.square().sum(), free)
    for _ in range(3):
        assert torch.equal(own.system.separate(mixture, side), output)
        assert torch.equal(own.gradient(mixture, side), gradient)
    # Once, once more for trust, and once for the way back.
    assert own.asked == 3
    assert torch.equal(own.gradient(mixture, side, 2.0), 2 * gradient)  # another loss
    assert own.asked == 4
    if side is not None:
        assert not torch.equal(own.system.separate(mixture, 0.5 * side), output)
    own.system.separate(mixture.double() if side is None else 0.9 * mixture, side)
    assert own.asked == (5 if side is None else 6)


def test_an_answer_is_nobodys_to_change() -> None:
    own, mixture = Counted(Smooth()), noise(1, 1, 50)
    first = own.system.separate(mixture)
    kept = first.clone()
    first.zero_()
    own.gradient(mixture).zero_()
    assert torch.equal(own.system.separate(mixture), kept)
    assert own.gradient(mixture).abs().max() > 0
    mixture.mul_(0.5)  # the same tensor, other samples
    assert not torch.equal(own.system.separate(mixture), kept)


def test_the_oldest_answers_are_forgotten() -> None:
    own, mixtures = Counted(Smooth(), size=3 * 200), [noise(1, 1, 50, seed=n) for n in range(4)]
    own.memory.repeats = True
    for mixture in mixtures[:3]:
        own.system.separate(mixture)
    own.system.separate(mixtures[0])
    own.system.separate(mixtures[3])
    assert own.asked == 4 and own.memory.held == 600
    own.system.separate(mixtures[0])
    assert own.asked == 4  # it was asked for of late
    own.system.separate(mixtures[1])
    assert own.asked == 5
    own.memory.forget()
    assert own.memory.held == 0


class Wandering(Smooth):
    """Another function at every pass, and says nothing of it."""

    def __init__(self) -> None:
        super().__init__()
        self.passes = 0

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        self.passes += 1
        return super().separate(mixture) * self.passes


@pytest.mark.parametrize("make", [Wandering, Noisy])
def test_of_a_system_that_does_not_repeat_nothing_is_remembered(make: Callable[[], Any]) -> None:
    own, mixture = Counted(make()), noise(1, 1, 50)
    found = [own.system.separate(mixture) for _ in range(5)]
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(found))
    assert own.memory.held == 0
    fixed = own.system.redrawn([3]) if make is Noisy else None  # type: ignore[attr-defined]
    if fixed is not None:
        assert torch.equal(fixed.separate(mixture), fixed.separate(mixture))


class Deaf(Smooth):
    """Puts out the same, whatever it hears."""

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return torch.ones_like(mixture)


def test_no_gradient_stays_none() -> None:
    own, mixture = Counted(Deaf()), noise(1, 1, 50).requires_grad_(True)
    for _ in range(2):
        assert not own.system.separate(mixture).requires_grad
    with torch.no_grad():
        own.system.separate(mixture)
    output = own.system.separate(mixture)
    found = (
        torch.autograd.grad(output.sum(), mixture, allow_unused=True)
        if output.requires_grad
        else (None,)
    )
    assert found == (None,)
