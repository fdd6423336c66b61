"""Files of ONNX: the network that they were made of, or one sentence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from own_systems import RATE, SAMPLES, loaded, made, net, recordings, refusal, stored

from stemproof.core.errors import InputError
from stemproof.separators import checkpoint
from stemproof.separators.kind import described
from stemproof.separators.own import OwnSystem
from stemproof.separators.protocol import BlackBox, Precise, Separator
from stemproof.separators.wrappers import Windowed, with_channels

ANY = ("batch", 2, "samples")
ABOUT = {"kind": "onnx", "file": "own.onnx"}


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(
    nodes: Sequence[Any],
    shape: Sequence[Any] | None = ANY,
    outputs: Sequence[str] = ("vocals",),
    inputs: Sequence[str] = ("mixture",),
    weights: dict[str, Any] | None = None,
    number: int = TensorProto.FLOAT,
    shape_out: Sequence[Any] | None = None,
) -> Path:
    """A model of some nodes."""
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info(name, number, shape) for name in inputs],
        [helper.make_tensor_value_info(name, number, shape_out or shape) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = Path("own.onnx")
    onnx.save(model, path)
    return path


def network(shape: Sequence[Any] = ANY) -> tuple[Path, torch.nn.Module]:
    """A convolution and a tanh, and the network that they are of."""
    reference = net()
    weight, bias = (w.detach().numpy() for w in reference.convolution.parameters())
    nodes = [
        helper.make_node("Conv", ["mixture", "weight", "bias"], ["inner"], pads=[2, 2]),
        helper.make_node("Tanh", ["inner"], ["vocals"]),
    ]
    return write(nodes, shape, weights={"weight": weight, "bias": bias}), reference


def plain(kind: str = "Tanh", **more: Any) -> Path:
    return write([helper.make_node(kind, ["mixture"], ["vocals"])], **more)


def test_a_file_is_the_network_that_it_was_made_of(tmp_path: Path) -> None:
    file, reference = network()
    path = stored(tmp_path / "m.safetensors", ABOUT)
    file.unlink()  # the model file holds it
    system: Any = checkpoint.load(path, identity=("mine", 218))
    assert isinstance(system, Separator)
    assert (system.sample_rate, system.channels) == (RATE, 2)
    for mixture in (recordings(), recordings(1, samples=333)):
        found = system.separate(mixture)
        with torch.no_grad():
            torch.testing.assert_close(found, reference(mixture), rtol=0, atol=2e-7)
        assert torch.equal(system.separate(mixture), found)


def test_what_pytorch_exports_is_the_network(tmp_path: Path) -> None:
    reference = net(channels=1)
    axes = {0: "batch", 2: "samples"}
    with pytest.warns(DeprecationWarning):
        torch.onnx.export(
            reference,
            (recordings(2, 1),),
            "own.onnx",
            dynamo=False,
            input_names=["heard"],
            dynamic_axes={"heard": axes},
        )
    system = loaded(tmp_path / "m.safetensors", {**ABOUT, "channels": 1})
    for samples in (100, 200):
        mixture = recordings(3, 1, samples)
        with torch.no_grad():
            expected = reference(mixture)
        torch.testing.assert_close(system.separate(mixture), expected, rtol=0, atol=2e-7)


def test_no_gradient_comes_back(tmp_path: Path) -> None:
    network()
    system = loaded(tmp_path / "m.safetensors", ABOUT)
    assert isinstance(system, BlackBox) and not isinstance(system, Precise)
    assert system.why_no_gradient == "ONNX Runtime computes the vocals, and no gradients"
    assert not system.separate(recordings().requires_grad_()).requires_grad
    with pytest.raises(ValueError, match="side information for a system that takes none"):
        system.separate(recordings(), recordings())


def test_it_has_the_threads_that_pytorch_has(tmp_path: Path) -> None:
    network()
    system = loaded(tmp_path / "m.safetensors", ABOUT)
    options = system.session.get_session_options()
    assert options.intra_op_num_threads == torch.get_num_threads() == 1
    assert options.use_deterministic_compute
    assert system.session.get_providers() == ["CPUExecutionProvider"]


def test_a_network_of_one_item_and_length_goes_through_windows(tmp_path: Path) -> None:
    _, reference = network((1, 2, 160))
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx takes 160 samples, not 200; set window = 0.04 (seconds), or "
        "save it for any length"
    )
    system = loaded(tmp_path / "m.safetensors", {**ABOUT, "window": 0.04, "overlap": 0.5})
    assert isinstance(system, BlackBox)
    expected = Windowed(OwnSystem(reference, RATE, 2), 0.04, 0.5)
    for samples in (100, 160, 500):
        mixture = recordings(3, 2, samples)
        with torch.no_grad():
            wanted = expected.separate(mixture)
        torch.testing.assert_close(system.separate(mixture), wanted, rtol=0, atol=4e-7)


def test_one_of_several_outputs_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Tanh", ["mixture"], ["vocals"]),
        helper.make_node("Sub", ["mixture", "vocals"], ["rest"]),
    ]
    write(nodes, outputs=("vocals", "rest"))
    mixture = recordings()
    for name, expected in (("vocals", mixture.tanh()), ("rest", mixture - mixture.tanh())):
        system = loaded(tmp_path / "m.safetensors", {**ABOUT, "output": name})
        torch.testing.assert_close(system.separate(mixture), expected, rtol=0, atol=2e-7)
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx has 2 outputs; set output to that of the vocals: one of vocals, "
        "rest"
    )
    assert refusal({**ABOUT, "output": "voice"}) == (
        "separators.mine: own.onnx has no output voice; set output to one of vocals, rest"
    )


def test_other_recordings_are_wrapped(tmp_path: Path) -> None:
    plain(shape=("batch", 1, "samples"))
    stereo = with_channels(loaded(tmp_path / "m.safetensors", {**ABOUT, "channels": 1}), 2)
    assert isinstance(stereo, BlackBox)
    torch.testing.assert_close(stereo.separate(recordings()), recordings().tanh())


def test_a_shape_that_is_not_declared_is_any(tmp_path: Path) -> None:
    plain(shape=None)
    system = loaded(tmp_path / "m.safetensors", ABOUT)
    torch.testing.assert_close(system.separate(recordings()), recordings().tanh())


def test_the_same_file_is_the_same_bytes(tmp_path: Path) -> None:
    network()
    first = stored(tmp_path / "a.safetensors", ABOUT)
    assert stored(tmp_path / "b.safetensors", ABOUT, seed=3).read_bytes() == first.read_bytes()
    assert not checkpoint.read_header(first).trained
    assert described(made(ABOUT)[1]) == {"epoch": 0}  # its weights are not counted


def test_shapes_that_do_not_fit_are_refused() -> None:
    plain(shape=("batch", "samples"))
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx takes 2 axes; save it as a model that takes three, batch x "
        "channels x samples"
    )
    plain(shape=("batch", 1, "samples"))
    assert refusal(ABOUT) == ("separators.mine: own.onnx takes 1 channels, not 2; set channels = 1")
    plain(shape=(4, 2, "samples"))
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx takes batches of 4 and no others; save it with a batch of any "
        "size, or of 1"
    )
    nodes = [helper.make_node("Unsqueeze", ["mixture", "axis"], ["vocals"])]
    axis = {"axis": np.array([1], np.int64)}
    write(nodes, weights=axis, shape_out=("batch", 1, 2, "samples"))
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx: its output vocals is (2, 1, 2, 200) for a mixture of (2, 2, "
        "200); it must be the vocals, batch x channels x samples, of the same shape: name such an "
        "output, or save the model with one"
    )
    write(
        [helper.make_node("Add", ["mixture", "second"], ["vocals"])], inputs=("mixture", "second")
    )
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx takes 2 inputs (mixture, second); save a model that takes the "
        "mixture alone"
    )
    plain("Neg", number=TensorProto.DOUBLE)
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx: mixture is tensor(double), not tensor(float); save the model "
        "in float32"
    )


def test_what_fails_inside_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    """A constant of another length, of which the declared shapes say nothing."""
    nodes = [helper.make_node("Add", ["mixture", "other"], ["vocals"])]
    write(nodes, weights={"other": np.zeros(7, np.float32)})
    said = refusal(ABOUT)
    assert said.startswith(
        "separators.mine: own.onnx cannot take a mixture of (2, 2, 200), batch x channels x "
        "samples ([ONNXRuntimeError] : "
    )
    assert said.endswith("); save it for such, or set channels or window")
    assert "\n" not in said
    assert capfd.readouterr().err == ""


def test_what_is_not_a_number_is_refused_every_time(tmp_path: Path) -> None:
    plain("Sqrt")
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx gives what is not a number; train it again, or correct it"
    )
    # Also when it is met later.
    plain("Reciprocal")
    system = loaded(tmp_path / "m.safetensors", ABOUT)
    with pytest.raises(InputError) as error:
        system.separate(torch.zeros(1, 2, SAMPLES))
    assert str(error.value) == (
        "own.onnx gives what is not a number; train it again, or correct it"
    )


def test_files_that_are_none_are_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert refusal(ABOUT) == (
        "separators.mine: own.onnx: no such file; paths of an entry start at the project's root"
    )
    assert refusal({"kind": "onnx"}) == "separators.mine: file is missing"
    file = Path("own.onnx")
    file.write_bytes(b"")
    assert refusal(ABOUT) == "separators.mine: own.onnx: an empty file; save the model again"
    network()
    whole = file.read_bytes()
    for content in (b"nonsense", whole[: len(whole) // 2]):
        file.write_bytes(content)
        said = refusal(ABOUT)
        assert said.startswith("separators.mine: own.onnx: ONNX Runtime cannot load it (")
        assert said.endswith("); save it again, as one file with its weights in it")
        assert "\n" not in said
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["Conv", "Add"])
def test_weights_in_another_file_are_refused(kind: str) -> None:
    """The model file would not hold them, although the runtime could find them now."""
    if kind == "Conv":
        network()
    else:
        nodes = [helper.make_node("Add", ["mixture", "other"], ["vocals"])]
        write(nodes, weights={"other": np.zeros((1, 2, 1), np.float32)})
    onnx.save_model(
        onnx.load("own.onnx"),
        "own.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    assert Path("weights.bin").is_file()
    assert refusal(ABOUT).endswith("); save it again, as one file with its weights in it")


def test_a_runtime_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network()
    path = stored(tmp_path / "m.safetensors", ABOUT)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    wanted = "kind = onnx needs more packages: pip install 'stemproof[onnx]'"
    assert refusal(ABOUT) == f"separators.mine: {wanted}"
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    assert str(error.value) == f"{path}: {wanted}"
