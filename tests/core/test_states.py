"""Weights of others: dense, finite numbers, or one sentence; and no pickle of them is run."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stemproof.core import states
from stemproof.core.errors import InputError
from stemproof.core.files import read_array, read_json
from stemproof.core.params import read_tree
from stemproof.core.states import as_numbers, read_state
from stemproof.core.tables import read_table
from stemproof.separators import checkpoint
from stemproof.separators.onnx import KIND as ONNX
from stemproof.separators.openunmix.folder import read_folder
from stemproof.separators.programs import load_program
from stemproof.separators.registry import find_kind
from stemproof.separators.rsvm.published import load_published
from stemproof.separators.rsvm.state import load_state
from stemproof.separators.spleeter import weights as spleeter

CPU = torch.device("cpu")
WEIGHT = torch.ones(2, 3)
SORTS: dict[str, Any] = {
    "sparse": WEIGHT.to_sparse(),
    "sparse rows": WEIGHT.to_sparse_csr(),
    "quantised": torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8),
    "complex": WEIGHT + 0j,
    "whole numbers": WEIGHT.long(),
    "truths": WEIGHT > 0,
    "without values": WEIGHT.to("meta"),
    "NaN": WEIGHT * torch.nan,
    "infinite": WEIGHT / 0,
    "beyond float32": WEIGHT.double() * 1e300,
}


@pytest.mark.parametrize("sort", SORTS)
def test_what_is_no_weight_is_named(tmp_path: Path, sort: str) -> None:
    path = tmp_path / "x.pth"
    if sort != "without values":  # PyTorch does not write them as such
        torch.save({"a": SORTS[sort]}, path)
    with pytest.raises(InputError) as error:
        as_numbers(path, "a", SORTS[sort], "fetch it again")
    assert str(error.value).startswith(f"{path}: a is ")
    assert str(error.value).endswith("; fetch it again")


def test_numbers_of_other_lengths_are_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        torch.save({"a": WEIGHT.to(dtype)}, path)
        found = as_numbers(path, "a", read_state(path, "cure")["a"], "cure")
        assert found.dtype == torch.float32 and torch.equal(found, WEIGHT)


def claiming(numbers: int) -> bytes:
    """A file of before 2020 whose six numbers are said to be so many."""
    stream = io.BytesIO()
    torch.save({"a": WEIGHT}, stream, _use_new_zipfile_serialization=False)
    head, found, rest = stream.getvalue().partition(b"cpuq\x06K\x06")
    assert found
    return head + b"cpuq\x06\x8a\x08" + struct.pack("<q", numbers) + rest


def test_a_file_that_asks_for_more_memory_than_it_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(claiming(10**15))
    with pytest.raises(InputError) as error:
        read_state(path, "fetch it again")
    assert str(error.value) == (
        f"{path}: not a plain PyTorch state dict (it asks for more memory than it fills); "
        "fetch it again"
    )
    # Where memory would not hold the file either, that is what is said.
    monkeypatch.setattr(states, "has_room", lambda path: False)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        read_state(path, "fetch it again")


PAIR = (
    {"conv_a1.weight": (4, 1, 64), "conv_a2.weight": (4, 4, 5)},
    {"norm_factor": (4, 1, 64), "freq_mat": (4, 1, 1), "phi": (4, 1, 1)},
)


def pair(folder: Path, change: Callable[[dict[str, Any]], Any] = lambda state: state) -> Any:
    """A published model of four filters, whose two files are changed."""
    files = (folder / "analysis_x.pytorch", folder / "synthesis_x.pytorch")
    for file, shapes in zip(files, PAIR, strict=True):
        torch.save(change({key: torch.ones(shape) for key, shape in shapes.items()}), file)
    return load_published(*files, kernel=64, hop=8, sample_rate=1000)


def every(value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda state: dict.fromkeys(state, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: list(state.values()),
        lambda state: 3,
        lambda state: {},
        every([1.0, 2.0]),
        every(3.0),
        every(torch.tensor(1.0)),
        every(torch.ones(0)),
        *(every(value) for name, value in SORTS.items() if name != "without values"),
        lambda state: {key: value.to_sparse() for key, value in state.items()},
        lambda state: {key: value + 1j for key, value in state.items()},
        lambda state: {key: value / 0 for key, value in state.items()},
    ],
)
def test_a_published_checkpoint_of_something_else(tmp_path: Path, change: Any) -> None:
    pair(tmp_path)
    with pytest.raises(InputError) as error:
        pair(tmp_path, change)
    said = str(error.value)
    assert said.startswith(f"{tmp_path}/analysis_x.pytorch: ") and "\n" not in said
    assert "; " in said


@pytest.mark.parametrize("content", [b"", b"text " * 100, b"PK\x03\x04" + bytes(50)])
def test_a_published_checkpoint_that_is_none(tmp_path: Path, content: bytes) -> None:
    pair(tmp_path)
    (tmp_path / "synthesis_x.pytorch").write_bytes(content)
    with pytest.raises(InputError, match="not a plain PyTorch state dict .*; put the published"):
        load_published(*(tmp_path / f"{part}_x.pytorch" for part in ("analysis", "synthesis")))


def test_a_model_file_with_other_numbers(tmp_path: Path) -> None:
    kind = find_kind("rsvm")
    sizes = {"channels": 4, "kernel": 64, "hop": 8}
    own = {"sizes": sizes, "variant": {}, "sample_rate": 1000, "segment_samples": 500}
    model, path = kind.rebuild(own), tmp_path / "x.safetensors"
    checkpoint.save(path, kind, model, "x", 1, own)
    checkpoint.load(path)
    header = checkpoint.safetensors.safe_open(str(path), "pt").metadata()
    for change in (
        lambda weight: weight + 0j,
        lambda weight: weight.long(),
        lambda weight: weight * torch.nan,
        lambda weight: weight / 0,
    ):
        state = {key: weight.contiguous() for key, weight in model.state_dict().items()}
        state["encoder.conv_a1.weight"] = change(state["encoder.conv_a1.weight"])
        save_file(state, str(path), metadata=header)
        with pytest.raises(InputError, match=r"weights do not fit .*conv_a1.weight is .*; delete"):
            checkpoint.load(path)


def test_a_model_file_whose_header_asks_for_more_memory_than_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = find_kind("rsvm")
    own = {"sizes": {"channels": 4, "kernel": 64, "hop": 8}, "variant": {}, "sample_rate": 1000}
    path = tmp_path / "x.safetensors"
    own["segment_samples"] = 500
    checkpoint.save(path, kind, kind.rebuild(own), "x", 1, own)
    for full in (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()):

        def rebuild(settings: Any, full: Exception = full) -> Any:
            raise full

        broken = dataclasses.replace(kind, rebuild=rebuild)
        monkeypatch.setattr(checkpoint, "find_kind", lambda name, broken=broken: broken)
        monkeypatch.setattr(checkpoint, "has_room", lambda path: True)
        with pytest.raises(InputError) as error:
            checkpoint.load(path)
        said = str(error.value)
        assert said.startswith(f"{path}: its header asks for more memory than there is; ")
        assert "\n" not in said
        monkeypatch.setattr(checkpoint, "has_room", lambda path: False)
        with (
            pytest.raises(type(full))
            if isinstance(full, RuntimeError)
            else pytest.raises(InputError, match="not enough memory")
        ):
            checkpoint.load(path)


class Payload:
    """What leaves a folder behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def exported(folder: Path, trace: Path) -> bytes:
    """A program of `torch.export` whose example of an input is a pickle."""

    class Half(torch.nn.Module):
        def forward(self, mixture: torch.Tensor) -> torch.Tensor:
            return 0.5 * mixture

    torch.export.save(torch.export.export(Half(), (torch.zeros(1, 1, 100),)), folder / "x.pt2")
    written, pickled = io.BytesIO(), io.BytesIO()
    torch.save(((Payload(trace),), {}), pickled)
    with zipfile.ZipFile(folder / "x.pt2") as whole, zipfile.ZipFile(written, "w") as archive:
        for name in whole.namelist():
            sample = "sample_inputs" in name
            archive.writestr(name, pickled.getvalue() if sample else whole.read(name))
    return written.getvalue()


def scripted(folder: Path, trace: Path) -> bytes:
    """A program of TorchScript whose attributes are a pickle."""
    torch.jit.trace(torch.nn.Tanh(), torch.zeros(1, 1, 100)).save(folder / "x.pt")
    written = io.BytesIO()
    with zipfile.ZipFile(folder / "x.pt") as whole, zipfile.ZipFile(written, "w") as archive:
        for name in whole.namelist():
            own = name.endswith("data.pkl")
            archive.writestr(name, pickle.dumps(Payload(trace), 2) if own else whole.read(name))
    return written.getvalue()


def folder_of_unmix(path: Path) -> Any:
    folder = path.parent / "unmix"
    folder.mkdir()
    (folder / "separator.json").write_text(
        '{"sample_rate": 1000, "nfft": 8, "nhop": 4, "nb_channels": 1}'
    )
    (folder / "vocals.json").write_text('{"args": {"nfft": 8, "nb_channels": 1}}')
    (folder / "vocals.pth").write_bytes(path.read_bytes())
    return read_folder(folder)


def resumed(path: Path) -> Any:
    found = load_state(path, "run", None, None, None)  # type: ignore[arg-type]
    assert found == []
    raise InputError(f"{path}: not gone on with")


def folder_of_spleeter(path: Path) -> Any:
    for name in spleeter.FILES.values():
        (path.parent / name).write_bytes(path.read_bytes())
    return spleeter.published(path.parent)


READERS: dict[str, Callable[[Path], Any]] = {
    "json": read_json,
    "array": read_array,
    "table": read_table,
    "params": read_tree,
    "state": lambda path: read_state(path, "cure"),
    "published": lambda path: load_published(path, path),
    "model": checkpoint.load,
    "resumed": resumed,
    "openunmix": folder_of_unmix,
    "spleeter": folder_of_spleeter,
    "program": lambda path: load_program(path.read_bytes(), path.name, 1000, CPU),
    "onnx": lambda path: ONNX.separator(onnx_file(path), "fixed"),
}


def onnx_file(path: Path) -> Any:
    from stemproof.separators.foreign import StoredFile, read_whole

    about = {"file": str(path), "sample_rate": 1000, "channels": 1}
    return StoredFile(read_whole(path), about)


FORMS: dict[str, Callable[[Path, Path], bytes]] = {
    "plain": lambda folder, trace: pickle.dumps(Payload(trace)),
    "of torch": lambda folder, trace: saved({"conv_a1.weight": Payload(trace)}),
    "of torch, old": lambda folder, trace: saved({"a": Payload(trace)}, old=True),
    "of numpy": lambda folder, trace: of_numpy(Payload(trace)),
    "of torch.export": exported,
    "of TorchScript": scripted,
}


def saved(value: Any, old: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=not old)
    return stream.getvalue()


def of_numpy(value: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([value], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_no_reader_runs_a_pickle(tmp_path: Path, form: str) -> None:
    trace = tmp_path / "trace"
    content = FORMS[form](tmp_path, trace)
    for number, (name, read) in enumerate(READERS.items()):
        path = tmp_path / str(number) / "file"
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            read(path)
        assert "\n" not in str(error.value), name
        assert "weights_only" not in str(error.value), name  # no invitation to run it
        assert not trace.exists(), name


def test_the_pickles_would_have_been_seen(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    loaders: dict[str, Callable[[io.BytesIO], Any]] = {
        "plain": pickle.load,
        "of torch": lambda stream: torch.load(stream, weights_only=False),
        "of torch, old": lambda stream: torch.load(stream, weights_only=False),
        "of numpy": lambda stream: np.load(stream, allow_pickle=True),
    }
    for form, load in loaders.items():
        load(io.BytesIO(FORMS[form](tmp_path, trace)))
        assert trace.is_dir(), form
        trace.rmdir()
