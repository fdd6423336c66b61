"""Functions and files of one's own: the same system from the model file, or one sentence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from own_systems import RATE, SAMPLES, Net, loaded, made, net, recordings, refusal, stored
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.separators import checkpoint
from stemproof.separators.kind import described
from stemproof.separators.own import OwnSystem
from stemproof.separators.protocol import BlackBox, Precise, Separator
from stemproof.separators.wrappers import Windowed

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels=2, width=5):
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, width, padding=width // 2)
        self.dropout = nn.Dropout(0.5)
    def forward(self, mixture):
        return torch.tanh(self.dropout(self.convolution(mixture)))

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv1d(2, 2, 3, padding=1)
        self.second = nn.Conv1d(2, 2, 3, padding=1)
        self.second.weight = self.first.weight
    def forward(self, mixture):
        return self.second(self.first(mixture).tanh())

class Odd(nn.Module):
    def __init__(self, what):
        super().__init__()
        if what == "extra":
            self.get_extra_state = lambda: {"a": 1}
        else:
            self.register_buffer("odd", torch.zeros(3, dtype=torch.complex128))
    def forward(self, mixture):
        return mixture.tanh()

class Exported(nn.Module):
    def forward(self, mixture):
        return mixture
    def eval(self):
        raise NotImplementedError("Calling eval() is not supported yet.")

READY = Net()
NUMBER = 3
def make(channels=2, width=5): return Net(channels, width)
def make_none(): return Net()
def make_filter(taps): return lambda mixture: taps[0] * mixture + taps[1] * mixture.roll(1, -1)
def halve(mixture): return 0.5 * mixture
def rounded(mixture): return (0.5 * mixture.float()).to(mixture)
def numpy(mixture): return torch.from_numpy(0.5 * mixture.detach().numpy())
def shorter(mixture): return mixture[..., 1:]
def several(mixture): return [mixture, mixture]
def double(mixture): return mixture.double()
def raises(mixture): raise ValueError("no\\nsuch luck")
def nan(mixture): return mixture / 0 * 0
def in_place(mixture): return mixture.mul_(0.5)
def louder_first(mixture): return 0.1 * mixture / mixture.abs().max()
def centred(mixture): return mixture - mixture.mean(0, keepdim=True)
def each_by_itself(mixture): return 0.1 * mixture / mixture.abs().amax((1, 2), keepdim=True)
def random(mixture): return mixture + 0.1 * torch.rand(len(mixture), 1, 1)
def late(width):
    import own_sibling
    return own_sibling.system
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project's root with modules in it; nothing of it is left behind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_net.py").write_text(SOURCE)
    (tmp_path / "own_sibling.py").write_text("def system(mixture): return -mixture\n")
    package = tmp_path / "own_package" / "inner"
    package.mkdir(parents=True)
    (package / "net.py").write_text(SOURCE)
    (tmp_path / "own_broken.py").write_text("import math\nmath.sqrt(-1)\n")
    (tmp_path / "own_lacking.py").write_text("import a_package_that_is_not_there\n")
    (tmp_path / "own_script.py").write_text("import sys\nsys.exit(3)\n")
    path = list(sys.path)
    yield tmp_path
    assert sys.path == path
    for name in [name for name in sys.modules if name.startswith("own_") and name != "own_systems"]:
        del sys.modules[name]


def entry(name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
    return {"kind": "callable", "function": f"own_net:{name}", "arguments": arguments, **more}


def weights_of(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def gradient(system: Any, mixture: Tensor) -> Tensor:
    heard = mixture.clone().requires_grad_()
    output = system(heard)
    (found,) = torch.autograd.grad((output * torch.linspace(0, 1, output.shape[-1])).sum(), heard)
    return found


def test_a_function_is_the_system(project: Path) -> None:
    system = loaded(project / "m.safetensors", entry("halve"))
    assert isinstance(system, Separator)
    assert (system.sample_rate, system.channels) == (RATE, 2)
    mixture = recordings()
    assert torch.equal(system.separate(mixture), 0.5 * mixture)
    assert torch.equal(gradient(system.separate, mixture), gradient(lambda x: 0.5 * x, mixture))
    assert weights_of(project / "m.safetensors") == {}
    assert isinstance(system, Precise) and not isinstance(system, BlackBox)
    exact = mixture.double() / 3
    assert torch.equal(system.doubled().separate(exact), 0.5 * exact)


def test_what_a_function_makes_is_the_system(project: Path) -> None:
    state = torch.get_rng_state()
    system = loaded(project / "m.safetensors", entry("make", {"width": 7}))
    assert torch.equal(torch.get_rng_state(), state)
    # The reference has its code from here, and its weights from the file.
    reference = net(width=7)
    weights = weights_of(project / "m.safetensors")
    reference.load_state_dict({k.removeprefix("system."): w for k, w in weights.items()})
    mixture = recordings()
    assert torch.equal(system.separate(mixture), reference(mixture))
    assert torch.equal(gradient(system.separate, mixture), gradient(reference, mixture))
    assert not any(part.training for part in system.function.modules())
    assert not any(weight.requires_grad for weight in system.function.parameters())


def test_it_is_rebuilt_with_the_weights_that_were_stored(project: Path) -> None:
    """And not with those that its function makes."""
    kind, model = made(entry("make", {}))
    with torch.no_grad():
        model.model.system.convolution.weight.mul_(3)
    path = project / "m.safetensors"
    checkpoint.save(path, kind, model.model, "mine", 218, model.settings, model.trained)
    mixture = recordings()
    expected = kind.separator(model.model, "fixed").separate(mixture)
    assert torch.equal(checkpoint.load(path).separate(mixture), expected)
    fresh = kind.separator(made(entry("make", {}))[1].model, "fixed").separate(mixture)
    assert not torch.allclose(fresh, expected)


def test_in_double_precision_it_is_a_copy(project: Path) -> None:
    system = loaded(project / "m.safetensors", entry("make", {}))
    assert isinstance(system, Precise)
    exact = system.doubled()
    mixture = recordings().double() / 3
    reference = net().double()
    reference.load_state_dict(system.function.state_dict())
    assert exact.separate(mixture).dtype == torch.float64
    assert torch.equal(exact.separate(mixture), reference(mixture))
    assert all(weight.dtype == torch.float32 for weight in system.function.parameters())
    single = system.separate(mixture.float())
    assert 0 < (exact.separate(mixture) - single).abs().max() < 1e-6


@pytest.mark.parametrize(("name", "arguments"), [("Net", {}), ("make_none", {}), ("READY", None)])
def test_a_class_a_maker_and_a_module_are_named_alike(
    project: Path, name: str, arguments: Any
) -> None:
    system = loaded(project / "m.safetensors", entry(name, arguments))
    assert type(system.function).__name__ == "Net"
    assert not system.function.training
    assert not any(weight.requires_grad for weight in system.function.parameters())
    mixture = recordings()
    assert torch.equal(system.separate(mixture), system.function(mixture))


def test_a_module_of_the_users_code_is_left_as_it_is(project: Path) -> None:
    system = loaded(project / "m.safetensors", entry("READY"))
    own = sys.modules["own_net"].READY
    assert own.training and all(weight.requires_grad for weight in own.parameters())
    other = loaded(project / "n.safetensors", entry("READY"))
    with torch.no_grad():
        other.function.convolution.weight.zero_()
    assert torch.equal(system.function.convolution.weight, own.convolution.weight)


def test_what_is_made_may_be_a_function(project: Path) -> None:
    system = loaded(project / "m.safetensors", entry("make_filter", {"taps": [0.5, -1]}))
    mixture = recordings()
    assert torch.equal(system.separate(mixture), 0.5 * mixture - mixture.roll(1, -1))


def test_the_same_entry_is_the_same_bytes(project: Path) -> None:
    first = stored(project / "a.safetensors", entry("make", {})).read_bytes()
    torch.manual_seed(77)
    assert stored(project / "b.safetensors", entry("make", {}), seed=219).read_bytes() == first
    other = stored(project / "c.safetensors", entry("make", {"width": 3})).read_bytes()
    assert other != first


def test_weights_that_are_shared_come_back(project: Path) -> None:
    system = loaded(project / "m.safetensors", entry("Tied", {}))
    inside = system.function
    assert torch.equal(inside.first.weight, inside.second.weight)
    kind, model = made(entry("Tied", {}))
    mixture = recordings()
    expected = kind.separator(model.model, "fixed").separate(mixture)
    assert torch.equal(system.separate(mixture), expected)


def test_weights_are_counted_once_and_what_has_none_is_not_counted(project: Path) -> None:
    assert described(made(entry("make", {}))[1]) == {"epoch": 0, "parameters": 2 * 2 * 5 + 2}
    assert described(made(entry("halve"))[1]) == {"epoch": 0}


def test_modules_are_found_in_the_project_and_in_its_packages(project: Path) -> None:
    inner = {**entry("x"), "function": "own_package.inner.net:halve"}
    system = loaded(project / "m.safetensors", inner)
    assert torch.equal(system.separate(recordings()), 0.5 * recordings())
    # Also when the function itself imports them.
    system = loaded(project / "m.safetensors", entry("late", {"width": 1}))
    assert torch.equal(system.separate(recordings()), -recordings())


def test_a_function_without_a_file(project: Path) -> None:
    system = loaded(project / "m.safetensors", {"kind": "callable", "function": "_operator:neg"})
    assert torch.equal(system.separate(recordings()), -recordings())
    assert checkpoint.read_header(project / "m.safetensors").settings["hashes"] == {}


def test_a_file_that_has_changed_is_refused(project: Path) -> None:
    path = stored(project / "m.safetensors", entry("make", {}))
    checkpoint.load(path)
    source = project / "own_net.py"
    source.write_text(SOURCE + "# more\n")
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    assert str(error.value) == (
        f"{path}: function = own_net:make: own_net.py is not what this model was made of; make it "
        "again: dvc repro, which looks at the systems under `own`"
    )
    source.write_text(SOURCE)
    checkpoint.load(path)


@pytest.mark.parametrize("file", ["own_sibling.py", "weights.bin"])
def test_what_it_imports_and_what_its_entry_names_is_looked_at(project: Path, file: str) -> None:
    """`late` imports a module when it is called; that it reads a file nobody can see."""
    (project / "weights.bin").write_bytes(b"1")
    path = stored(
        project / "m.safetensors", {**entry("late", {"width": 1}), "files": ["weights.bin"]}
    )
    hashes = checkpoint.read_header(path).settings["hashes"]
    assert {"own_net.py", "own_sibling.py", "weights.bin"} <= set(hashes)
    assert not [name for name in hashes if name.startswith(("/", "stemproof", "tests"))]
    checkpoint.load(path)
    content = (project / file).read_bytes()
    (project / file).write_bytes(content + b"\n")
    with pytest.raises(InputError, match=f"function = own_net:late: {file} is not what this model"):
        checkpoint.load(path)
    (project / file).write_bytes(content)
    checkpoint.load(path)
    (project / "weights.bin").unlink()
    with pytest.raises(InputError, match=r"weights\.bin: no such file"):
        checkpoint.load(path)


@pytest.mark.parametrize("name", ["louder_first", "centred"])
def test_what_depends_on_its_batch_is_refused(project: Path, name: str) -> None:
    """Its figures would be other ones with other songs beside it."""
    with pytest.raises(InputError, match=f"own_net:{name} makes something else of a recording"):
        made(entry(name))
    for name in ("each_by_itself", "random"):
        made(entry(name))


def test_a_module_that_is_gone_is_refused(project: Path) -> None:
    path = stored(project / "m.safetensors", entry("make", {}))
    (project / "own_net.py").unlink()
    del sys.modules["own_net"]
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    assert str(error.value) == (
        f"{path}: function = own_net:make: there is no module own_net, neither in this folder nor "
        "installed; correct the name"
    )


def test_what_blocks_the_gradient_is_a_black_box(project: Path) -> None:
    system = loaded(project / "m.safetensors", entry("numpy"))
    assert isinstance(system, BlackBox) and not isinstance(system, Precise)
    assert system.why_no_gradient == (
        "its output does not hang on the mixture in a way that PyTorch can differentiate"
    )
    assert torch.equal(system.separate(recordings()), 0.5 * recordings())


def test_what_rounds_inside_is_not_precise(project: Path) -> None:
    system = loaded(project / "m.safetensors", entry("rounded"))
    assert not isinstance(system, Precise | BlackBox)
    assert torch.equal(system.separate(recordings()), 0.5 * recordings())


def test_long_recordings_go_through_windows(project: Path) -> None:
    about = entry("make", {}, window=0.04, overlap=0.5)
    system = loaded(project / "m.safetensors", about)
    assert isinstance(system, Windowed) and isinstance(system, Precise)
    whole = loaded(project / "n.safetensors", entry("make", {}))
    expected = Windowed(whole, 0.04, 0.5)
    for samples in (100, 160, 777):
        mixture = recordings(samples=samples)
        assert torch.equal(system.separate(mixture), expected.separate(mixture))
        found = gradient(system.separate, mixture)
        assert torch.equal(found, gradient(expected.separate, mixture))
        assert found.abs().min() > 0
    assert not torch.allclose(system.separate(mixture), whole.separate(mixture))


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "name either a function or a file"),
    ({"function": "own_net:halve", "file": "x.pt"}, "name either a function or a file"),
    ({"file": "x.pt", "arguments": {}}, "arguments are those of a function; a file takes none"),
    (
        {"function": "own_net.py:halve"},
        "function: 'own_net.py:halve' must be MODULE:FUNCTION with dots between packages and "
        "without .py, as in my_package.my_module:my_function",
    ),
    (
        {"function": "halve"},
        "function: 'halve' must be MODULE:FUNCTION with dots between packages and without .py, as "
        "in my_package.my_module:my_function",
    ),
    (
        {"function": "own_net:make", "arguments": {"width": {1: 2}}},
        "arguments must be numbers, texts, true, false or null, and lists and mappings by text of "
        "them: a model file stores them",
    ),
    (
        {"function": "own_net:make", "arguments": {"width": float("nan")}},
        "arguments must be numbers, texts, true, false or null, and lists and mappings by text of "
        "them: a model file stores them",
    ),
    ({"function": "own_net:halve", "window": 1e-4}, "window = 0.0001 must hold 2 samples or more"),
    (
        {"function": "own_nett:halve"},
        "function = own_nett:halve: there is no module own_nett, neither in this folder nor "
        "installed; correct the name",
    ),
    (
        {"function": "own_package.iner.net:halve"},
        "function = own_package.iner.net:halve: there is no module own_package.iner, neither in "
        "this folder nor installed; correct the name",
    ),
    (
        {"function": "own_broken:f"},
        "function = own_broken:f: the module own_broken cannot be imported (ValueError: math "
        'domain error); correct it: python -c "import own_broken" shows the place',
    ),
    (
        {"function": "own_lacking:f"},
        "function = own_lacking:f: the module own_lacking cannot be imported (ModuleNotFoundError: "
        "No module named 'a_package_that_is_not_there'); correct it: python -c \"import "
        'own_lacking" shows the place',
    ),
    (
        {"function": "own_script:f"},
        "function = own_script:f: the module own_script cannot be imported (SystemExit: 3); "
        'correct it: python -c "import own_script" shows the place',
    ),
    (
        {"function": "own_net:halv"},
        "function = own_net:halv: no halv in FOLDER/own_net.py, did you mean halve?; correct the "
        "name",
    ),
    (
        {"function": "own_net:NUMBER"},
        "function = own_net:NUMBER: it is of type int and cannot be called; name a function, a "
        "class or a module of PyTorch",
    ),
    (
        {"function": "own_net:Net"},
        "function = own_net:Net: it is a class; give the arguments that make it (arguments: {} for "
        "none)",
    ),
    (
        {"function": "own_net:make_none"},
        "function = own_net:make_none: it cannot be called with a mixture alone (too many "
        "positional arguments); where it makes the system, give its arguments (arguments: {} for "
        "none)",
    ),
    (
        {"function": "own_net:make", "arguments": {"widht": 3}},
        "function = own_net:make: it fails with these arguments (TypeError: make() got an "
        "unexpected keyword argument 'widht'); correct it, or them",
    ),
    (
        {"function": "own_net:halve", "arguments": {"mixture": 3}},
        "function = own_net:halve: with these arguments it gives float; it must give a module of "
        "PyTorch, or a function from mixtures to vocals",
    ),
    (
        {"function": "own_net:Exported", "arguments": {}},
        "function = own_net:Exported: its module has no evaluation mode (Calling eval() is not "
        "supported yet.); save it by torch.export.save and name the file",
    ),
    (
        {"function": "own_net:Tied.forward"},
        "function = own_net:Tied.forward: it cannot be called with a mixture alone (missing a "
        "required argument: 'mixture'); where it makes the system, give its arguments (arguments: "
        "{} for none)",
    ),
    (
        {"function": "own_net:shorter"},
        "own_net:shorter gives (2, 2, 199) for a mixture of (2, 2, 200); it must give the vocals, "
        "batch x channels x samples, of the same shape",
    ),
    (
        {"function": "own_net:several"},
        "own_net:several gives list, not a tensor; wrap it in a function that gives its vocals "
        "alone",
    ),
    (
        {"function": "own_net:double"},
        "own_net:double gives torch.float64 on cpu for a mixture of torch.float32 on cpu; let it "
        "give what it is given",
    ),
    (
        {"function": "own_net:raises"},
        "own_net:raises cannot take a mixture of (2, 2, 200), batch x channels x samples "
        "(ValueError: no such luck); correct it, or its channels",
    ),
    (
        {"function": "own_net:nan"},
        "own_net:nan gives what is not a number; train it again, or correct it",
    ),
    (
        {"function": "own_net:in_place"},
        "own_net:in_place changes the mixture that it is given; let it work on a copy",
    ),
    (
        {"function": "own_net:Odd", "arguments": {"what": "complex"}},
        "own_net:Odd: a model file cannot store odd, torch.complex128; make it a dense tensor, or "
        "a buffer with persistent=False",
    ),
]


@pytest.mark.parametrize(("about", "said"), BAD)
def test_what_cannot_be_used_is_one_sentence(
    project: Path, about: dict[str, Any], said: str
) -> None:
    wanted = f"separators.mine: {said}".replace("FOLDER", str(project))
    assert refusal({"kind": "callable", **about}) == wanted


def test_a_maker_that_is_called_with_a_mixture_is_told(project: Path) -> None:
    assert refusal({"kind": "callable", "function": "own_package.inner.net:Net.named"}).startswith(
        "separators.mine: function = own_package.inner.net:Net.named: no named in "
    )
    (project / "own_maker.py").write_text(
        "def make(path=None):\n    import torch\n    return torch.nn.Identity()\n"
    )
    assert refusal({"kind": "callable", "function": "own_maker:make"}) == (
        "separators.mine: own_maker:make gives a Identity, which makes the vocals, and not vocals; "
        "name what it gives, which in an entry is done by arguments: {}"
    )


def test_a_system_that_fails_later_is_one_sentence(project: Path) -> None:
    system = loaded(project / "m.safetensors", entry("make", {}))
    with pytest.raises(InputError) as error:
        system.separate(recordings(channels=3))
    assert str(error.value).startswith(
        "own_net:make cannot take a mixture of (3, 3, 200), batch x channels x samples "
        "(RuntimeError: "
    )
    with pytest.raises(ValueError, match="side information for a system that takes none"):
        system.separate(recordings(), recordings())


def test_a_full_memory_is_not_taken_for_a_fault() -> None:
    def full(mixture: Tensor) -> Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        OwnSystem(full, RATE, 1).separate(recordings(channels=1))


# Programs


class Dynamic(nn.Module):
    """What tracing cannot see, and scripting can."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, mixture: Tensor) -> Tensor:
        if mixture.shape[-1] > 150:
            return self.net(mixture)
        return -mixture


def program(path: Path, form: str, training: bool = False) -> nn.Module:
    """Write a file of one form; the network that it was made of."""
    reference = net().train(training)
    example = recordings(2, 2, SAMPLES)
    size = torch.export.Dim("size", min=1, max=4096)
    batch = torch.export.Dim("batch", min=1, max=64)
    if form == "script":
        torch.jit.script(reference).save(path)
    elif form == "trace":
        torch.jit.trace(reference, example).save(path)
    elif form == "frozen":
        torch.jit.freeze(torch.jit.script(reference)).save(path)
    else:
        example = example[:1] if form == "one" else example
        shapes = {"any": {0: batch, 2: size}, "one": {2: size}}.get(form)
        exported = torch.export.export(
            reference, (example,), dynamic_shapes=None if shapes is None else (shapes,)
        )
        torch.export.save(exported, path)
    return reference


@pytest.mark.parametrize("form", ["script", "trace", "frozen", "any", "one"])
def test_a_program_is_the_network_that_it_was_made_of(project: Path, form: str) -> None:
    file = project / "own.pt2"
    reference = program(file, form)
    path = stored(project / "m.safetensors", {"kind": "callable", "file": "own.pt2"})
    file.unlink()  # the model file holds it
    system: Any = checkpoint.load(path)
    for mixture in (recordings(), recordings(1), recordings(samples=333)):
        # A program of one item is given one after the other.
        parts = mixture.split(1) if form == "one" else [mixture]
        assert torch.equal(system.separate(mixture), torch.cat([reference(p) for p in parts]))
        expected = gradient(reference, mixture)
        torch.testing.assert_close(gradient(system.separate, mixture), expected)
    assert not any(weight.requires_grad for weight in system.function.parameters())
    assert not any(part.training for part in system.function.modules())
    # The weights of what is frozen are constants, which stay in float32.
    assert isinstance(system, Precise) == (form != "frozen")
    if form != "frozen":
        exact = mixture.double() / 3
        expected = net().double()(exact)
        torch.testing.assert_close(system.doubled().separate(exact), expected, rtol=0, atol=1e-15)
    # Made a second time, from the same bytes.
    program(file, form)
    counted = {} if form == "frozen" else {"parameters": 22}
    assert described(made({"kind": "callable", "file": "own.pt2"})[1]) == {
        "epoch": 0,
        **counted,
    }


def test_a_script_in_training_mode_is_put_into_evaluation_mode(project: Path) -> None:
    reference = program(project / "own.pt", "script", training=True)
    system = loaded(project / "m.safetensors", {"kind": "callable", "file": "own.pt"})
    assert torch.equal(system.separate(recordings()), reference.eval()(recordings()))


def test_a_program_keeps_its_branches(project: Path) -> None:
    reference = Dynamic().eval()
    torch.jit.script(reference).save(project / "own.pt")
    system = loaded(project / "m.safetensors", {"kind": "callable", "file": "own.pt"})
    for samples in (100, 200):
        mixture = recordings(samples=samples)
        assert torch.equal(system.separate(mixture), reference(mixture))


def test_a_program_of_one_length_goes_through_windows(project: Path) -> None:
    """Made for two items of 200 samples."""
    reference = program(project / "own.pt2", "fixed")
    about = {"kind": "callable", "file": "own.pt2"}
    assert refusal(about) == (
        "separators.mine: own.pt2 takes batches of 2 and no others; save it with a batch of any "
        "size, or of 1"
    )
    example = recordings(1, 2, 160)
    torch.export.save(torch.export.export(reference, (example,)), project / "own.pt2")
    assert refusal(about) == (
        "separators.mine: own.pt2 takes 160 samples, not 200; set window = 0.04 (seconds), or save "
        "it for any length"
    )
    assert refusal({**about, "channels": 1}) == (
        "separators.mine: own.pt2 takes 2 channels, not 1; set channels = 2"
    )
    system = loaded(project / "m.safetensors", {**about, "window": 0.04})
    expected = Windowed(OwnSystem(reference, RATE, 2), 0.04, 0.25)
    for samples in (100, 160, 500):
        mixture = recordings(samples=samples)
        torch.testing.assert_close(system.separate(mixture), expected.separate(mixture))
        torch.testing.assert_close(
            gradient(system.separate, mixture), gradient(expected.separate, mixture)
        )


def test_a_program_of_other_inputs_is_refused(project: Path) -> None:
    class Two(nn.Module):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return first + second

    class Flat(nn.Module):
        def forward(self, mixture: Tensor) -> Tensor:
            return 0.5 * mixture

    about = {"kind": "callable", "file": "own.pt2"}
    example = recordings(1)
    torch.export.save(torch.export.export(Two(), (example, example)), project / "own.pt2")
    assert refusal(about) == (
        "separators.mine: own.pt2 takes 2 inputs; save a model that takes the mixture alone"
    )
    torch.export.save(torch.export.export(Flat(), (example[0],)), project / "own.pt2")
    assert refusal(about) == (
        "separators.mine: own.pt2 takes 2 axes; save it as a model that takes three, batch x "
        "channels x samples"
    )


SAVE = "save it by torch.jit.trace(model, mixture).save(...) or torch.export.save"


def test_files_that_hold_no_program_are_refused(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = project / "own.pt"
    about = {"kind": "callable", "file": "own.pt"}
    assert refusal(about) == (
        "separators.mine: own.pt: no such file; paths of an entry start at the project's root"
    )
    file.write_bytes(b"")
    assert refusal(about) == "separators.mine: own.pt: an empty file; save the model again"
    for model in (net(), net().state_dict()):
        torch.save(model, file)
        assert refusal(about) == (
            "separators.mine: own.pt: holds weights or a pickle of torch.save, no program; "
            f"{SAVE}, or name a function that makes the model"
        )
    for form in ("script", "any"):
        program(file, form)
        whole = file.read_bytes()
        for content in (whole[: len(whole) // 2], b"nonsense"):
            file.write_bytes(content)
            assert refusal(about) == (
                "separators.mine: own.pt: neither TorchScript nor a program of torch.export, or "
                f"damaged; {SAVE}"
            )
        middle = len(whole) // 3
        file.write_bytes(whole[:middle] + bytes(len(whole) - 2 * middle) + whole[-middle:])
        said = refusal(about)
        assert said.startswith("separators.mine: own.pt: ") and said.endswith(f"; {SAVE}")
        assert "\n" not in said
    file.unlink()
    file.mkdir()
    assert refusal(about) == (
        "separators.mine: own.pt: cannot be read (Is a directory); a file belongs there: move the "
        "folder away"
    )
    assert "Traceback" not in capfd.readouterr().err
