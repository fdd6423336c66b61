"""The gate: what passes it, and what fails which of its checks for which reason."""

from __future__ import annotations

import copy
import functools
import importlib
import importlib.util
import json
import random
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from attack_toys import Crosstalk, Noisy, Saturating, Told, signals, small_rsvm, small_tracks
from conftest import ROOT
from torch import Tensor, nn

from stemproof.attacks.gate import Gate, describe, examine, gate
from stemproof.core.errors import InputError
from stemproof.data.excerpts import Excerpts
from stemproof.separators.protocol import Side
from stemproof.separators.stft import STFT, InformedSTFT, STFTSettings
from stemproof.separators.wrappers import Windowed, with_channels

MakeParams = Callable[..., Any]
RATE, SAMPLES = 4000, 1000
NAMES = ["evaluation mode", "determinism", "silence", "gradient"]


def recording(channels: int = 1, samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    """Mixture and vocals, each 1 x channels x samples."""
    mixture, vocals = signals(1, channels * samples)
    return mixture.reshape(1, channels, -1), vocals.reshape(1, channels, -1)


def of(separator: Any, samples: int = SAMPLES) -> Gate:
    return gate(separator, *recording(separator.channels, samples), seed=3)


def failed(separator: Any, samples: int = SAMPLES) -> dict[str, str]:
    """Reasons of the checks that are not passed, by name."""
    return {check.name: check.reason for check in of(separator, samples).checks if not check.passed}


class Function:
    """Any function of the mixture; it is not computed in double precision."""

    sample_rate = RATE

    def __init__(self, function: Callable[[Tensor], Tensor], channels: int = 1) -> None:
        self.function, self.channels = function, channels

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return self.function(mixture)


class PreciseFunction(Function):
    """A function that has no weights is computed in whatever precision comes."""

    def doubled(self) -> PreciseFunction:
        return self


BOTH = pytest.mark.parametrize("kind", [Function, PreciseFunction])


def smooth(mixture: Tensor) -> Tensor:
    return torch.tanh(3 * mixture - 0.5 * mixture.roll(5, -1))


def restful() -> nn.Module:
    """A network whose parts are all in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = nn.Conv1d(1, 4, 5, padding=2), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.5)
        return nn.Sequential(*layers, nn.Conv1d(4, 1, 5, padding=2)).eval()


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3, "dropout_at_test": True}])
@pytest.mark.parametrize("mask", ["fixed", "recomputed"])
def test_rsvm_passes(make_params: MakeParams, settings: dict[str, Any], mask: str) -> None:
    """Also with dropout at test time, of which the draws are fixed by seeds."""
    separator = small_rsvm(make_params, **settings)
    separator = separator if mask == "fixed" else separator.twin
    found = of(separator)
    assert found.passed, found.reason
    assert [check.name for check in found.checks] == NAMES
    assert "double precision" in found.checks[-1].reason
    assert found.reason == "" and found.step_seconds > 0


@pytest.mark.parametrize("mask", ["fixed", "recomputed"])
def test_the_oracle_passes(mask: Any) -> None:
    found = of(InformedSTFT(STFT(STFTSettings(window=128, hop=32), RATE), mask))
    assert found.passed, found.reason


def test_a_recomputed_mask_is_passed_by_its_twin_and_not_by_itself() -> None:
    """A straight-through gradient is not the slope of a threshold."""
    oracle = InformedSTFT(STFT(STFTSettings(window=128, hop=32), RATE), "recomputed")

    class Lonely(InformedSTFT):
        """The same without a twin."""

        @property
        def twin(self) -> Any:
            return None

    assert of(oracle).passed
    assert set(failed(Lonely(oracle.stft, "recomputed"))) == {"gradient"}

    # A lie of the twin is one of the system's.
    class Lying(InformedSTFT):
        @property
        def twin(self) -> Any:
            return Half()

    class Half(Told):
        def __init__(self) -> None:
            super().__init__(3.0)

        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            half = super().separate(mixture, side)
            return 0.5 * half + (0.5 * half).detach()

    assert set(failed(Lying(oracle.stft, "recomputed"))) == {"gradient"}


@BOTH
@pytest.mark.parametrize("channels", [1, 2])
def test_a_smooth_system_passes(kind: type[Function], channels: int) -> None:
    found = of(kind(smooth, channels))
    assert found.passed, found.reason
    precision = "double" if kind is PreciseFunction else "single"
    assert f"{precision} precision" in found.checks[-1].reason


@pytest.mark.parametrize("channels", [1, 2])
def test_wrappers_pass_what_is_inside(make_params: MakeParams, channels: int) -> None:
    inside = Windowed(small_rsvm(make_params), 0.2, 0.5)
    found = of(with_channels(inside, channels), 1500)
    assert found.passed, found.reason
    found = of(with_channels(Windowed(Function(lambda x: smooth(x).detach() + 0 * x), 0.2, 0.5), 2))
    assert not found.passed


def test_draws_that_are_fixed_pass() -> None:
    assert of(Crosstalk(3.0, channels=2)).passed
    checks = {check.name: check.passed for check in of(Noisy(1.0)).checks}
    assert checks == dict.fromkeys(NAMES, True)


class Scaled(torch.autograd.Function):
    """Leaves what it is given, and says half of the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 0.5 * gradient


def second_channel(mixture: Tensor) -> Tensor:
    """Right in the first channel, and wrong in the second."""
    output = smooth(mixture)
    return torch.cat([output[:, :1], 0.5 * output[:, 1:] + 0.5 * output[:, 1:].detach()], dim=1)


def another(mixture: Tensor) -> Tensor:
    """The gradient of another function."""
    lie = torch.tanh(2 * mixture.flip(-1))
    return lie + (smooth(mixture) - lie).detach()


def rounded(mixture: Tensor) -> Tensor:
    """Straight through: the input is rounded to so few bits, and its gradient is not."""
    return smooth(mixture + (torch.round(mixture * 16) / 16 - mixture).detach())


LIES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "partly detached": (
        lambda x: smooth(x) * torch.sigmoid(20 * smooth(x.roll(9, -1))).detach(),
        1,
    ),
    "scaled": (lambda x: Scaled.apply(smooth(x)), 1),
    "of another function": (another, 1),
    "rounded": (rounded, 1),
    "outside the first channel": (second_channel, 2),
}


@BOTH
@pytest.mark.parametrize("name", LIES)
def test_a_gradient_that_lies_is_seen(kind: type[Function], name: str) -> None:
    function, channels = LIES[name]
    found = failed(kind(function, channels))
    assert set(found) == {"gradient"}
    assert "differs from finite differences by up to" in found["gradient"]
    assert "look for detach, rounding or a custom backward pass" in found["gradient"]


@BOTH
def test_no_gradient_is_seen(kind: type[Function]) -> None:
    no_way = "no gradient reaches the mixture; take detach and no_grad out of it"
    assert failed(kind(lambda x: smooth(x.detach()))) == {"gradient": no_way}
    weight = torch.ones((), requires_grad=True)
    absent = failed(kind(lambda x: smooth(x.detach()) * weight.to(x)))
    assert set(absent) == {"gradient"} and "absent" in absent["gradient"]
    nothing = failed(kind(lambda x: smooth(x.detach()) + 0 * x))
    assert set(nothing) == {"gradient"} and "100.0%" in nothing["gradient"]
    # Finite on music, and its gradient is not.
    broken = failed(kind(lambda x: smooth(x) + 0 * (x - x).abs().sqrt()))
    assert "not a number" in broken["gradient"]


@BOTH
@pytest.mark.parametrize(
    "function",
    [
        lambda x: 0 * x + torch.linspace(-1, 1, x.shape[-1]).to(x),
        lambda x: 0 * x,
        lambda x: smooth(x).detach().round() + 0 * x,
    ],
)
def test_an_output_that_does_not_depend_on_the_mixture_is_seen(
    kind: type[Function], function: Any
) -> None:
    """It would pass for a system that no attack can touch."""
    found = failed(kind(function))
    assert set(found) == {"gradient"}
    assert found["gradient"].startswith("the gradient is zero everywhere, and small steps change")


@BOTH
def test_silence_that_gives_no_number_is_seen(kind: type[Function]) -> None:
    def normalized(mixture: Tensor) -> Tensor:
        return smooth(0.1 * mixture / mixture.square().mean(-1, keepdim=True).sqrt())

    def rooted(mixture: Tensor) -> Tensor:
        """Zero on silence, with a gradient that is not a number."""
        return smooth(mixture) * mixture.square().sum(-1, keepdim=True).sqrt()

    for function in (normalized, rooted):
        found = failed(kind(function))
        assert set(found) == {"silence"}
        assert "mend divisions by zero" in found["silence"]
    assert of(kind(lambda x: smooth(x) * x.square().sum(-1, keepdim=True))).passed


def test_what_is_random_by_itself_is_seen() -> None:
    found = of(Function(lambda x: x + 1e-3 * torch.randn_like(x)))
    assert [check.name for check in found.checks] == NAMES[:-1]
    assert [check.name for check in found.checks if not check.passed] == ["determinism"]
    assert "switch off what is random" in found.reason
    # A system that gives no number gives none twice.
    assert "determinism" in failed(Function(lambda x: x / 0))


class Method:
    """Somebody's class with a network in it."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def run(self, mixture: Tensor) -> Tensor:
        return self.network(mixture)


def _second(factor: float, network: nn.Module, mixture: Tensor) -> Tensor:
    return factor * network(mixture)


def _closed(network: nn.Module) -> Callable[[Tensor], Tensor]:
    def run(mixture: Tensor) -> Tensor:
        return network(mixture)

    return run


def _decorated(network: nn.Module) -> Callable[[Tensor], Tensor]:
    @functools.wraps(network.forward)
    def run(mixture: Tensor) -> Tensor:
        return network(mixture)

    return run


class Apart(nn.Module):
    """Keeps a network where neither `eval` nor `train` reaches it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.others = [network]
        self.eval()

    def forward(self, mixture: Tensor) -> Tensor:
        return self.others[0](mixture)


def _global(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """A function of a script, where the network is a global."""
    names = {"network": network, "spare": nn.Dropout()}
    # A global that the function does not read is another's.
    exec("def run(mixture, spare=0):\n    return (lambda: network(mixture))()", names)
    return names["run"]  # type: ignore[return-value]


HIDDEN: dict[str, Callable[[nn.Module], Callable[[Tensor], Tensor]]] = {
    "itself": lambda network: network,
    "forward": lambda network: network.forward,
    "a bound method": lambda network: Method(network).run,
    "the arguments of a partial": lambda network: functools.partial(_second, 1.0, network),
    "the keywords of a partial": lambda network: functools.partial(
        lambda mixture, network: network(mixture), network=network
    ),
    "a partial of it": lambda network: functools.partial(network),
    "a closure": _closed,
    "a decorator": _decorated,
    "another network": lambda network: Method(nn.Sequential(network)).run,
    "a list of a network": Apart,
    "a default": lambda network: lambda mixture, net=network: net(mixture),
    "a global": _global,
    "an object in a list": lambda network: functools.partial(
        lambda them, mixture: them[0].run(mixture), [Method(network)]
    ),
    "a dictionary": lambda network: functools.partial(
        lambda them, mixture: them["it"](mixture), {"it": network}
    ),
}


@pytest.mark.parametrize("where", HIDDEN)
@pytest.mark.parametrize("part", ["BatchNorm1d", "Dropout"])
def test_training_mode_is_seen_wherever_the_network_is(where: str, part: str) -> None:
    network = restful()
    for system in (
        Function(HIDDEN[where](network)),
        Windowed(Function(HIDDEN[where](network)), 0.2, 0.5),
        with_channels(Windowed(Function(HIDDEN[where](network)), 0.2, 0.5), 2),
    ):
        network.eval()
        found = of(system)
        assert found.passed, found.reason
        next(p for p in network.modules() if type(p).__name__ == part).train()
        reasons = failed(system)
        assert reasons["evaluation mode"] == f"{part} in training mode; call eval() on the model"
        # What a dropout draws is seen besides; a batch norm agrees with itself.
        assert set(reasons) - {"silence"} == {"evaluation mode"} | (
            {"determinism"} if part == "Dropout" else set()
        )


def test_recurrent_layers_may_stay_in_training_mode() -> None:
    """cuDNN has no backward pass for one in evaluation mode, and only dropout makes it another."""

    class Recurrent(nn.Module):
        def __init__(self, dropout: float) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 3, num_layers=2, dropout=dropout)
            self.last = nn.Linear(3, 1)

        def forward(self, mixture: Tensor) -> Tensor:
            return self.last(self.lstm(mixture.permute(2, 0, 1))[0]).permute(1, 2, 0)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = [Recurrent(dropout).eval() for dropout in (0.0, 0.5)]
        for network in networks:
            network.lstm.train()
        found = [of(Function(network), 200) for network in networks]
    assert found[0].passed, found[0].reason
    assert not found[1].passed
    assert "LSTM in training mode" in found[1].reason


def test_a_black_box_is_not_asked_for_a_gradient() -> None:
    class Opaque(Saturating):
        why_no_gradient = "a program of its own computes the vocals"

        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            assert not torch.is_grad_enabled() and not mixture.requires_grad
            return super().separate(mixture)

    found = of(Opaque(3.0))
    assert [(check.name, check.passed) for check in found.checks] == [("gradient", False)]
    assert found.reason == (
        "no gradient: a program of its own computes the vocals; for a white-box figure give the "
        "model itself"
    )
    said = describe(found, "x-1", 10, found.samples)
    assert said.startswith(f"x-1: no white-box attack: {found.reason}; 10 passes over ")
    assert found.step_seconds > 0


def test_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"gives \(1, 1, 999\) for a mixture of \(1, 1, 1000\)"):
        of(Function(lambda x: x[..., 1:]))


def test_the_same_recording_gives_the_same_document(make_params: MakeParams) -> None:
    """Of seconds it says nothing: a stored gate is the same in every run."""
    separator = small_rsvm(make_params, dropout=0.3, dropout_at_test=True)
    torch.manual_seed(1)
    first = of(separator).document()
    torch.manual_seed(2)
    torch.rand(7)
    assert of(separator).document() == first
    assert json.loads(json.dumps(first)) == first
    assert set(first) == {"passed", "checks"}
    assert all(set(check) == {"name", "passed", "reason"} for check in first["checks"])
    # The system itself draws what it draws otherwise, and its weights are what they were.
    state = torch.random.get_rng_state()
    weights = [weight.clone() for weight in separator.model.parameters()]
    of(separator)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(
        torch.equal(a, b) for a, b in zip(weights, separator.model.parameters(), strict=True)
    )
    assert all(weight.grad is None for weight in separator.model.parameters())


def test_the_first_part_that_counts_is_sent_through() -> None:
    heard = []

    def listening(mixture: Tensor) -> Tensor:
        heard.append(mixture.detach().clone())
        return smooth(mixture)

    tracks = small_tracks([2, 25], 100, channels=2)
    tracks[0].audio[1] = 0  # no vocals
    examine(Function(listening, 2), Excerpts.recordings(tracks, 100), -60, 0, torch.device("cpu"))
    # The beginning of the second track, ten segments of it.
    assert {h.shape for h in heard} == {(1, 2, 1000)}
    assert torch.equal(heard[0][0], torch.from_numpy(tracks[1].audio[0, :, :1000]))
    heard.clear()
    segments = Excerpts.segments(tracks, 100)
    examine(Function(listening), segments, -60, 0, torch.device("cpu"))
    assert torch.equal(heard[0][0, 0], torch.from_numpy(tracks[1].mono(0, 0, 100)))


def test_the_open_unmix_package_by_itself_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """It detaches the mixture before its network: a finite gradient of half of the system."""
    if importlib.util.find_spec("openunmix") is None:
        pytest.skip("openunmix is not installed")
    if importlib.util.find_spec("torchaudio") is None:
        monkeypatch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
    package = importlib.import_module("openunmix.model")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        targets = {name: package.OpenUnmix(33, 2, 8, 1) for name in ("vocals", "bass")}
    how = {"sample_rate": RATE, "n_fft": 64, "n_hop": 16}
    whole = package.Separator(targets, niter=1, residual=True, **how).eval()
    whole.requires_grad_(False)

    class Theirs(Function):
        def __init__(self, network: nn.Module) -> None:
            super().__init__(lambda mixture: network(mixture)[:, 0], 2)

    class Doubled(Theirs):
        def doubled(self) -> Theirs:
            return Theirs(copy.deepcopy(whole).double())

    for system in (Theirs(whole), Doubled(whole)):
        found = failed(system)
        assert "differs from finite differences" in found["gradient"]
        assert "evaluation mode" not in found and "determinism" not in found
    training = failed(Theirs(whole.train()))
    assert "BatchNorm1d" in training["evaluation mode"]
    for name in [name for name in sys.modules if name.split(".")[0] == "openunmix"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_demucs_package_by_itself_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its function `apply_model` shifts the recording at random; without shifts it passes."""
    if importlib.util.find_spec("demucs") is None:
        pytest.skip("demucs is not installed")
    monkeypatch.syspath_prepend(ROOT / "tests/separators")
    toys = importlib.import_module("demucs_toys")
    model = toys.toy("HDemucs")
    model.requires_grad_(False)
    random.seed(0)
    found = failed(toys.Unseeded(model))
    assert "two passes over the same recording differ" in found["determinism"]
    # It computes without a gradient, which is why nothing is found on silence, either.
    assert set(failed(Function(lambda x: toys.applied(model, x), 2))) == {"gradient"}
