"""Open-Unmix with ready weights, held against the package's own code."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.runtime import make_fabric
from stemproof.data.params import SegmentParams
from stemproof.separators.checkpoint import load, read_header, save
from stemproof.separators.kind import Made, Making
from stemproof.separators.openunmix import KIND
from stemproof.separators.openunmix.folder import read_folder
from stemproof.separators.openunmix.network import Network
from stemproof.separators.openunmix.separator import OVERLAP, BlindOpenUnmix
from stemproof.separators.openunmix.transform import bins_up_to
from stemproof.separators.openunmix.wiener import Wiener
from stemproof.separators.protocol import Informed, Precise, Random, Separator
from stemproof.separators.registry import entry
from stemproof.separators.wrappers import Windowed

RATE, N_FFT, HOP, BINS = 4000, 64, 16, 33
THREE = ("bass", "drums", "vocals")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def package() -> Iterator[Any]:
    """The package's own code; torchaudio, of which it uses nothing here, is a name."""
    if importlib.util.find_spec("openunmix") is None:
        pytest.skip("openunmix is not installed")
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torchaudio") is None:
            patch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
        parts = ("model", "filtering", "utils")
        yield types.SimpleNamespace(
            **{part: importlib.import_module(f"openunmix.{part}") for part in parts}
        )
    for name in [name for name in sys.modules if name.split(".")[0] == "openunmix"]:
        del sys.modules[name]


def randomized(network: nn.Module, seed: int) -> nn.Module:
    """Weights and statistics that leave nothing out of a comparison."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=draw))
            elif value.is_floating_point():
                value.add_(0.2 * torch.randn(value.shape, generator=draw))
    return network


def write_folder(
    folder: Path,
    targets: tuple[str, ...] = THREE,
    channels: int = 2,
    hidden: int = 8,
    heard: int = 21,
    layers: int = 3,
    n_fft: int = N_FFT,
    hop: int = HOP,
) -> Path:
    """A folder in the package's format, with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {"sample_rate": RATE, "nfft": n_fft, "nhop": hop, "nb_channels": channels}
    (folder / "separator.json").write_text(json.dumps(about))
    for number, target in enumerate(targets):
        torch.manual_seed(number)
        network = randomized(Network(n_fft // 2 + 1, channels, hidden, layers, heard), number)
        torch.save(network.state_dict(), folder / f"{target}-0abc.pth")
        arguments = {"nfft": n_fft, "nb_channels": channels, "hidden_size": hidden}
        (folder / f"{target}.json").write_text(json.dumps({"args": arguments, "best_epoch": 3}))
    return folder


def made(folder: Path, **settings: Any) -> Made:
    about = {"x": {"kind": "openunmix", "weights": str(folder), **settings}}
    kind, own = entry(about, "x")
    assert not kind.is_trained(own)
    nothing: Any = None
    runtime = RuntimeParams(accelerator="cpu", threads=1)
    fabric = make_fabric(runtime, ProcessParams())
    return kind.make(
        Making("x", own, 1, nothing, SegmentParams(), None, fabric, folder / "none.ckpt")
    )


def system(folder: Path, **settings: Any) -> BlindOpenUnmix:
    found = KIND.separator(made(folder, **settings).model, "fixed")
    assert isinstance(found, BlindOpenUnmix)
    return found


def theirs(package: Any, folder: Path, targets: tuple[str, ...], **settings: Any) -> Any:
    found = package.utils.load_separator(str(folder), list(targets), **settings)
    assert found.training  # which draws dropout: a caller has to think of it
    return found.eval().double()


def noise(*shape: int, seed: int = 0, level: float = 0.3) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return level * torch.randn(shape, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize(("channels", "heard"), [(1, BINS), (2, BINS), (2, 10)])
def test_the_network_is_the_packages(package: Any, channels: int, heard: int) -> None:
    torch.manual_seed(0)
    reference = randomized(package.model.OpenUnmix(BINS, channels, 12, max_bin=heard), 0)
    own = Network(BINS, channels, 12, 3, heard)
    own.load_state_dict(reference.state_dict())
    own, reference = own.double().eval(), reference.double().eval()
    magnitude = noise(3, channels, BINS, 17).abs()
    torch.testing.assert_close(own(magnitude) * magnitude, reference(magnitude))


def test_it_trains_as_the_packages_network_does(package: Any) -> None:
    """Batch statistics, their running means, and gradients of weights; one layer drops nothing."""
    torch.manual_seed(0)
    reference = randomized(package.model.OpenUnmix(BINS, 2, 12, 1, max_bin=20), 0).double()
    own = Network(BINS, 2, 12, 1, 20).double()
    own.load_state_dict(reference.state_dict())
    magnitude = noise(3, 2, BINS, 17).abs()
    outputs = own(magnitude) * magnitude, reference(magnitude)
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().mean().backward()
    for weight, known in zip(own.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, known.grad)
    torch.testing.assert_close(own.state_dict(), reference.state_dict())


def test_the_first_weights_are_drawn_as_the_package_draws_them(package: Any) -> None:
    states = []
    for build in (
        lambda: package.model.OpenUnmix(BINS, 2, 12, max_bin=20),
        lambda: Network(BINS, 2, 12, 3, 20),
    ):
        torch.manual_seed(5)
        states.append(build().state_dict())
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert list(states[0]) == list(states[1])


SYSTEMS = [
    (1, ("vocals",), 0, False),
    (1, ("vocals",), 1, True),
    (1, THREE, 2, False),
    (2, ("vocals",), 0, True),
    (2, ("vocals",), 1, True),
    (2, THREE, 0, False),
    (2, THREE, 1, False),
    (2, THREE, 3, True),
]


@pytest.mark.parametrize(("channels", "targets", "niter", "residual"), SYSTEMS)
@pytest.mark.parametrize("heard", [BINS, 12])
def test_the_separation_is_the_packages(
    package: Any,
    tmp_path: Path,
    channels: int,
    targets: tuple[str, ...],
    niter: int,
    residual: bool,
    heard: int,
) -> None:
    folder = write_folder(tmp_path, targets, channels, heard=heard)
    options = {"niter": niter, "residual": residual}
    reference = theirs(package, folder, targets, **options)
    # Quiet and loud: the filter scales what is above ten. 313 frames are more than one block.
    mixture = torch.cat([noise(1, channels, 5000), noise(1, channels, 5000, seed=1, level=5)])
    with torch.no_grad():
        expected = reference(mixture)[:, targets.index("vocals")]
    found = system(folder, **options)
    assert (found.sample_rate, found.channels) == (RATE, channels)
    # The package rounds the number pi to single precision.
    torch.testing.assert_close(found.doubled().separate(mixture), expected, rtol=1e-6, atol=1e-6)
    single = found.separate(mixture.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, expected.float(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("frames", [40, 7])
def test_blocks_of_the_filter_are_the_packages(package: Any, tmp_path: Path, frames: int) -> None:
    folder = write_folder(tmp_path)
    reference = theirs(package, folder, THREE, niter=1, wiener_win_len=frames)
    mixture = noise(1, 2, 1000)
    with torch.no_grad():
        expected = reference(mixture)[:, 2]
    found = system(folder, niter=1, wiener_frames=frames).doubled()
    torch.testing.assert_close(found.separate(mixture), expected, rtol=1e-6, atol=1e-6)
    other = system(folder, niter=1).doubled().separate(mixture)
    assert not torch.allclose(other, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
def test_filtered_sources_add_up_to_the_mixture(channels: int) -> None:
    """What the gains of all sources leave is the noise that the filter assumes."""
    spectrum = torch.complex(noise(2, channels, 5, 30), noise(2, channels, 5, 30, seed=1))
    masks = noise(2, 3, channels, 5, 30, seed=2).abs()
    wiener = Wiener(iterations=2, residual=False, frames=11)
    total = torch.stack([wiener(masks, spectrum, target) for target in range(3)]).sum(0)
    torch.testing.assert_close(total, spectrum, rtol=0, atol=5e-3)


def test_the_gradient_is_right_and_the_packages_is_not(package: Any, tmp_path: Path) -> None:
    """The reason for a network of our own: the package cuts the gradient, and says nothing."""
    folder = write_folder(tmp_path)
    own = system(folder).doubled().separate
    reference = theirs(package, folder, THREE, niter=0)
    mixture, direction, weight = (
        noise(1, 2, 400),
        noise(1, 2, 400, seed=1),
        noise(1, 2, 400, seed=2),
    )

    def slopes(separate: Callable[[Tensor], Tensor]) -> tuple[Tensor, float, float]:
        """The gradient of a weighted output, its slope along a direction, and that measured."""

        def value(step: float) -> Tensor:
            return (separate(mixture + step * direction) * weight).sum()

        heard = mixture.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad((separate(heard) * weight).sum(), heard)
        with torch.no_grad():
            measured = (value(1e-6) - value(-1e-6)) / 2e-6
        return gradient, float((gradient * direction).sum()), float(measured)

    ours, by_us, measured = slopes(own)
    assert by_us == pytest.approx(measured, rel=1e-5)
    found, by_them, measured_there = slopes(lambda heard: reference(heard)[:, 2])
    assert measured_there == pytest.approx(measured, rel=1e-4)  # one function
    assert abs(by_them - measured_there) > 0.05 * abs(measured_there)
    assert torch.isfinite(found).all()  # so that nothing tells
    assert (found - ours).norm() > 0.2 * ours.norm()


@pytest.mark.parametrize(("channels", "niter"), [(1, 0), (2, 0), (1, 1), (2, 1), (2, 2)])
def test_gradients_agree_with_finite_differences(tmp_path: Path, channels: int, niter: int) -> None:
    folder = write_folder(tmp_path, ("drums", "vocals"), channels, n_fft=16, hop=4, heard=7)
    separator = system(folder, niter=niter, residual=True, wiener_frames=5).doubled()
    mixture = noise(2, channels, 30, level=4).requires_grad_(True)
    assert torch.autograd.gradcheck(separator.separate, (mixture,), fast_mode=True)


@pytest.mark.parametrize("niter", [0, 1])
@pytest.mark.parametrize("silent", ["all", "a channel", "a part"])
def test_silence_gives_numbers(tmp_path: Path, niter: int, silent: str) -> None:
    separator = system(write_folder(tmp_path), niter=niter, residual=True)
    mixture = noise(2, 2, 1000).float()
    if silent == "all":
        mixture[:] = 0
    elif silent == "a channel":
        mixture[:, 0] = 0
    else:
        mixture[..., 300:] = 0
    mixture.requires_grad_(True)
    estimate = separator.separate(mixture)
    estimate.sum().backward()
    assert torch.isfinite(estimate).all()
    assert mixture.grad is not None and torch.isfinite(mixture.grad).all()
    if silent == "all":
        assert not estimate.any()


@pytest.mark.parametrize("niter", [0, 1])
def test_items_of_a_batch_do_not_hear_each_other(tmp_path: Path, niter: int) -> None:
    separator = system(write_folder(tmp_path), niter=niter).doubled()
    mixture = noise(3, 2, 700)
    mixture[1] *= 100
    together = separator.separate(mixture)
    for item in range(3):
        torch.testing.assert_close(together[[item]], separator.separate(mixture[[item]]))


def test_it_is_frozen_and_does_not_drop(tmp_path: Path) -> None:
    separator = system(write_folder(tmp_path), niter=1)
    assert not any(module.training for module in separator.model.modules())
    assert not any(weight.requires_grad for weight in separator.model.parameters())
    mixture = noise(1, 2, 500).float()
    known = torch.get_rng_state()
    assert torch.equal(separator.separate(mixture), separator.separate(mixture))
    assert torch.equal(torch.get_rng_state(), known)


def test_what_it_can_do(tmp_path: Path) -> None:
    separator = system(write_folder(tmp_path))
    assert isinstance(separator, Separator)
    assert isinstance(separator, Precise)
    assert not isinstance(separator, Informed | Random)
    double = separator.doubled()
    assert double.separate(noise(1, 2, 500)).dtype == torch.float64
    # Apart from this one, which stays as it was.
    assert separator.separate(noise(1, 2, 500).float()).dtype == torch.float32


def test_a_long_recording_goes_in_windows(tmp_path: Path) -> None:
    separator = system(write_folder(tmp_path), window=1.0)
    short, long = noise(1, 2, RATE), noise(1, 2, 3 * RATE + 5)
    windowed = Windowed(separator.model, 1.0, OVERLAP)
    heard = separator.separate(long.float())
    assert heard.shape == long.shape
    assert torch.equal(heard, windowed.separate(long.float()))
    # One that fits into a window is not filled up, and not cut.
    part = short[..., : RATE - 1].float()
    assert torch.equal(separator.separate(part), separator.model.separate(part))
    assert not torch.allclose(heard, separator.model.separate(long.float()), atol=1e-2)
    # The end does not hear the beginning.
    changed = long.clone()
    changed[..., :100] += 1
    far = slice(2 * RATE, None)
    assert torch.equal(separator.separate(changed.float())[..., far], heard[..., far])


def test_windows_have_the_same_abilities_and_a_gradient(tmp_path: Path) -> None:
    separator = system(write_folder(tmp_path, n_fft=16, hop=8, heard=9), window=1.0)
    separator.model.seconds = 30 / RATE
    mixture = noise(1, 2, 70, level=4).requires_grad_(True)
    assert torch.autograd.gradcheck(separator.doubled().separate, (mixture,), fast_mode=True)


def test_a_recording_that_is_too_short_is_refused(tmp_path: Path) -> None:
    separator = system(write_folder(tmp_path))
    assert separator.separate(noise(1, 2, N_FFT // 2 + 1).float()).shape == (1, 2, 33)
    with pytest.raises(InputError, match="32 samples are too few for .* of 64, which takes 33 or"):
        separator.separate(noise(1, 2, N_FFT // 2).float())


@pytest.mark.parametrize("niter", [0, 1])
def test_a_model_file_needs_no_folder(tmp_path: Path, niter: int) -> None:
    folder = write_folder(tmp_path / "weights")
    found = made(folder, niter=niter, window=7.0)
    assert (found.trained, found.curves) == (False, [{"epoch": 0}])
    mixture = noise(2, 2, 900).float()
    expected = KIND.separator(found.model, "fixed").separate(mixture)
    file = tmp_path / "model.safetensors"
    save(file, KIND, found.model, "x", 1, found.settings, found.trained)
    shutil.rmtree(folder)
    again = load(file, identity=("x", 1))
    assert isinstance(again, BlindOpenUnmix)
    assert torch.equal(again.separate(mixture), expected)
    assert again.model.seconds == 7
    header = read_header(file)
    assert not header.trained
    # Without a filter the vocals are all that is needed.
    assert header.settings["targets"] == (list(THREE) if niter else ["vocals"])


@pytest.mark.parametrize(
    ("bandwidth", "n_fft", "rate"),
    [(16_000, 4096, 44_100), (16_000, 1024, 16_000), (1000, 64, 4000), (1e5, 64, 4000), (1, 64, 4)],
)
def test_bins_up_to_a_bandwidth(package: Any, bandwidth: float, n_fft: int, rate: int) -> None:
    expected = package.utils.bandwidth_to_max_bin(rate, n_fft, bandwidth)
    assert bins_up_to(bandwidth, n_fft, rate) == expected


def test_files_of_earlier_releases_are_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    path = folder / "vocals-0abc.pth"
    state = torch.load(path, weights_only=True)
    window = torch.hann_window(N_FFT)
    old = {"sample_rate": torch.tensor(float(RATE)), "stft.window": window}
    torch.save({**old, **state, "transform.0.window": window}, path)
    path.rename(folder / "vocals.pth")
    found = {target.name: target for target in read_folder(folder).targets}["vocals"]
    assert found.weights.keys() == state.keys()


def test_a_target_is_not_taken_for_one_with_a_longer_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, ("vocals", "vocals-lead"))
    found = read_folder(folder).targets
    assert [target.name for target in found] == ["vocals", "vocals-lead"]
    for target in found:
        state = torch.load(folder / f"{target.name}-0abc.pth", weights_only=True)
        assert torch.equal(target.weights["fc1.weight"], state["fc1.weight"])


@pytest.mark.parametrize("layers", [1, 2])
def test_the_number_of_layers_is_that_of_the_weights(tmp_path: Path, layers: int) -> None:
    folder = write_folder(tmp_path, layers=layers)
    assert [target.sizes["nb_layers"] for target in read_folder(folder).targets] == [layers] * 3


class Code:
    """What a pickle could run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        path = folder / "vocals-0abc.pth"
        state = torch.load(path, weights_only=True)
        changed = change(state)
        torch.save(state if changed is None else changed, path)

    return act


def about(file: str, *keys: str, **values: Any) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        tree = json.loads((folder / file).read_text())
        inside = tree
        for key in keys:
            inside = inside[key]
        inside.update(values)
        (folder / file).write_text(json.dumps(tree))

    return act


def text(file: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / file).write_text(content) and None


def removed(*files: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / file).unlink() for file in files] and None


def one_way(state: dict[str, Any]) -> Any:
    return {key: value for key, value in state.items() if "_reverse" not in key}


VOCALS = "vocals-0abc.pth"
BROKEN: list[tuple[str, Callable[[Path], None], str]] = [
    ("no such folder", lambda folder: shutil.rmtree(folder), ": cannot be read (No such file"),
    (
        "no layout",
        removed("separator.json"),
        "separator.json: no such file; a folder of Open-Unmix",
    ),
    ("no JSON", text("separator.json", "{"), "separator.json: not valid JSON"),
    ("no object", text("vocals.json", "[]"), "vocals.json: a JSON object was expected"),
    ("no args", text("vocals.json", "{}"), "vocals.json: it has no `args`"),
    ("no rate", about("separator.json", sample_rate=None), "separator.json: sample_rate = None"),
    ("no whole hop", about("separator.json", nhop=1.5), "separator.json: nhop = 1.5 must be"),
    ("truth as number", about("separator.json", nhop=True), "separator.json: nhop = True must be"),
    ("gaps", about("separator.json", nhop=48), "separator.json: nfft = 64 must be even, and nhop"),
    (
        "other transform",
        about("vocals.json", "args", nfft=128),
        "nfft = 128, but separator.json sa",
    ),
    ("other channels", about("bass.json", "args", nb_channels=1), "nb_channels = 1, but separator"),
    (
        "other units",
        about("vocals.json", "args", hidden_size=6),
        "8 units, but vocals.json says hi",
    ),
    ("no vocals", removed("vocals.json"), "no vocals.json, so no target `vocals` (targets: bass, "),
    ("no weights", removed(VOCALS), "vocals*.pth: no such file; leave one for each target there"),
    (
        "two weights",
        lambda folder: shutil.copy(folder / VOCALS, folder / "vocals.pth") and None,
        "vocals*.pth: 2 of them: vocals-0abc.pth, vocals.pth; leave one",
    ),
    ("empty", text(VOCALS, ""), f"{VOCALS}: not a plain PyTorch state dict"),
    ("no archive", text(VOCALS, "hello"), f"{VOCALS}: not a plain PyTorch state dict"),
    ("cut", lambda f: (f / VOCALS).write_bytes((f / VOCALS).read_bytes()[:900]) and None, VOCALS),
    ("a module", weights(lambda _: nn.Linear(2, 2)), f"{VOCALS}: not a plain PyTorch state dict"),
    ("a tensor", weights(lambda _: torch.ones(3)), f"{VOCALS}: holds something else than tensors"),
    ("a number", weights(lambda s: {**s, "epoch": 3}), f"{VOCALS}: holds something else than tens"),
    (
        "a nest",
        weights(lambda s: {"state_dict": s}),
        f"{VOCALS}: holds something else than tensors",
    ),
    ("nothing", weights(lambda _: {"x": torch.ones(1)}), "(it has no fc1.weight of two axes"),
    (
        "left out",
        weights(lambda s: {k: v for k, v in s.items() if k != "bn2.bias"}),
        "(it has no bn2.bias)",
    ),
    (
        "more",
        weights(lambda s: s.update({"fc4.w": torch.ones(1)})),
        "(fc4.w is none of its weights)",
    ),
    ("one way", weights(one_way), "(it has no lstm."),
    (
        "other shape",
        weights(lambda s: s.update({"bn3.bias": torch.ones(5)})),
        "(bn3.bias is (5,), not (66,))",
    ),
    (
        "more bins than there are",
        weights(lambda s: s.update({"input_mean": torch.ones(40)})),
        "heard_bins = 40",
    ),
    (
        "no number",
        weights(lambda s: {**s, "bn1.weight": s["bn1.weight"] * torch.nan}),
        f"{VOCALS}: bn1.weight is not finite",
    ),
    (
        "other rate",
        weights(lambda s: s.update({"sample_rate": torch.tensor(8000.0)})),
        f"{VOCALS}: of 8000 Hz, but separator.json says 4000",
    ),
]


@pytest.mark.parametrize(("broken", "said"), [pytest.param(b, s, id=n) for n, b, s in BROKEN])
def test_a_folder_of_something_else_is_refused(
    tmp_path: Path, broken: Callable[[Path], None], said: str
) -> None:
    folder = write_folder(tmp_path / "weights")
    broken(folder)
    with pytest.raises(InputError) as error:
        made(folder)
    sentence = str(error.value)
    assert said in sentence
    assert sentence.startswith(str(folder))
    assert "; " in sentence and "\n" not in sentence


def test_a_pickle_runs_no_code(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "weights")
    torch.save({"fc1.weight": Code(tmp_path / "run")}, folder / VOCALS)
    with pytest.raises(InputError, match="vocals-0abc.pth: not a plain PyTorch state dict"):
        made(folder)
    assert not (tmp_path / "run").exists()


def test_the_filter_needs_sources_and_two_channels_at_most(tmp_path: Path) -> None:
    single = write_folder(tmp_path / "single", ("vocals",))
    with pytest.raises(InputError, match="separators.x.niter = 1 needs more sources than the one"):
        made(single, niter=1)
    made(single, niter=1, residual=True)
    surround = write_folder(tmp_path / "surround", channels=5)
    assert system(surround).separate(noise(1, 5, 100).float()).shape == (1, 5, 100)
    with pytest.raises(InputError, match="niter = 1: the filter takes two channels at most, and"):
        made(surround, niter=1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": "f", "training": {"epochs": 3}}, "weights = f is .*, which training.epochs"),
        (
            {"weights": "f", "network": {"n_fft": 64, "n_hop": 8}},
            "which network.n_fft, network.n_h",
        ),
        ({"weights": "f", "network": {}}, "weights = f is a trained model, which network cannot"),
        ({"niter": 1}, "niter = 1 needs more sources than the vocals, .*set residual = true, or"),
        ({"niter": -1}, "niter = -1 is not allowed"),
        (
            {"network": {"n_fft": 64, "n_hop": 33}},
            "network: n_hop = 33 must be at most half of n_f",
        ),
        ({"network": {"n_fft": 63}}, "network.n_fft = 63 is not allowed"),
        ({"network": {"hidden_size": 7}}, "network.hidden_size = 7 is not allowed"),
        ({"training": {"samples": 3}}, "training: samples = 3 must be at least batch_size = 16"),
        ({"training": {"epoch": 3}}, "unknown parameter training.epoch, did you mean `epochs`?"),
        ({"window": 0.5}, "window = 0.5 is not allowed"),
        ({"wiener_frames": 0}, "wiener_frames = 0 is not allowed"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        entry({"x": {"kind": "openunmix", **settings}}, "x")
    assert str(error.value).startswith("separators.x: ")
    assert "\n" not in str(error.value)
