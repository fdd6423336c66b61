"""A system of one's own in a file of ONNX, computed by ONNX Runtime: no gradient comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from stemproof.core.errors import InputError, out_of_memory
from stemproof.core.extras import load_extra
from stemproof.core.params import Section
from stemproof.separators.foreign import (
    Input,
    StoredFile,
    WindowedSettings,
    finite,
    of_entry,
    read_whole,
)
from stemproof.separators.kind import Kind, Made, Making, ReadyFor
from stemproof.separators.own import noise, tried
from stemproof.separators.protocol import MaskKind, Separator, Side


class ONNXSettings(WindowedSettings):
    """A file, and which of its outputs are the vocals.

    Attributes:
        file: path of the model.
        output: the name of the output that is the vocals; by default the only one.
    """

    file: str = Field(min_length=1)
    output: str | None = Field(default=None, min_length=1)


@dataclass(frozen=True)
class ONNXSystem:
    """A network in ONNX Runtime, on the CPU, in float32.

    Attributes:
        session: of the runtime.
        input: what the network is declared to take.
        source: the name of its input.
        output: the name of the output that is the vocals.
        sample_rate: of the recordings that it takes, in Hz.
        channels: of the recordings that it takes.
    """

    session: Any
    input: Input
    source: str
    output: str
    sample_rate: int
    channels: int
    why_no_gradient: ClassVar[str] = "ONNX Runtime computes the vocals, and no gradients"

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways.

        Raises:
            InputError: the network does not take such a mixture, fails on it, or gives another
                shape, or what is not a number.
        """
        if side is not None:
            raise ValueError("side information for a system that takes none")
        heard = mixture.detach().to("cpu", torch.float32).contiguous()
        output = self.input.play(self._run, heard)
        if output.shape != mixture.shape:
            raise InputError(
                f"{self.input.name}: its output {self.output} is {tuple(output.shape)} for a "
                f"mixture of {tuple(mixture.shape)}; it must be the vocals, batch x channels x "
                "samples, of the same shape: name such an output, or save the model with one"
            )
        return finite(output, self.input.name).to(mixture)

    def _run(self, heard: Tensor) -> Tensor:
        try:
            (output,) = self.session.run([self.output], {self.source: heard.numpy()})
        except Exception as error:  # the runtime has kinds of its own
            if out_of_memory(error):
                raise
            raise InputError(
                f"{self.input.name} cannot take a mixture of {tuple(heard.shape)}, batch x "
                f"channels x samples ({error}); save it for such, or set channels or window"
            ) from error
        return torch.from_numpy(output)


def _make(making: Making) -> Made:
    return _ready(making.settings, ReadyFor(making.where, seconds=making.segments.seconds))


def _ready(own: Section, wanted: ReadyFor) -> Made:
    """The file as it is, after it was tried."""
    assert isinstance(own, ONNXSettings)
    with of_entry(wanted.where):
        content = read_whole(Path(own.file))
        model = StoredFile(content, {**own.model_dump(), "bytes": len(content)})
        system = _system(model)
        heard = noise(2, own.channels, own.heard(wanted.seconds))
        tried(system, heard, 0.5 * heard)
    return Made(model, model.about, [{"epoch": 0}], trained=False, counted=False)


def _rebuild(settings: Mapping[str, Any]) -> nn.Module:
    ONNXSettings.of(settings)  # is the header as it was written?
    return StoredFile(int(settings["bytes"]), settings)


def _system(model: StoredFile) -> ONNXSystem:
    own = ONNXSettings.of(model.about)
    session = _session(model.bytes, own.file)
    sources, outputs = session.get_inputs(), session.get_outputs()
    if len(sources) != 1:
        raise InputError(
            f"{own.file} takes {len(sources)} inputs ({_names(sources)}); save a model that takes "
            "the mixture alone"
        )
    if own.output is None and len(outputs) != 1:
        raise InputError(
            f"{own.file} has {len(outputs)} outputs; set output to that of the vocals: one of "
            f"{_names(outputs)}"
        )
    chosen = [output for output in outputs if own.output in (None, output.name)]
    if not chosen:
        raise InputError(
            f"{own.file} has no output {own.output}; set output to one of {_names(outputs)}"
        )
    for value in (sources[0], chosen[0]):
        if value.type != "tensor(float)":
            raise InputError(
                f"{own.file}: {value.name} is {value.type}, not tensor(float); save the model in "
                "float32"
            )
    # No shape at all is one that is not known.
    axes = tuple(size if isinstance(size, int) else None for size in sources[0].shape or [None] * 3)
    declared = Input(own.file, axes, own.sample_rate)
    return ONNXSystem(
        session, declared, sources[0].name, chosen[0].name, own.sample_rate, own.channels
    )


def _names(values: Any) -> str:
    return ", ".join(value.name for value in values)


def _session(content: bytes, name: str) -> Any:
    runtime = load_extra("onnxruntime", "onnx", "kind = onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what goes wrong is raised as well
    try:
        return runtime.InferenceSession(
            content, sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime has kinds of its own
        if out_of_memory(error):
            raise
        raise InputError(
            f"{name}: ONNX Runtime cannot load it ({error}); save it again, as one file with its "
            "weights in it"
        ) from error


def _separator(model: nn.Module, mask: MaskKind) -> Separator:
    assert isinstance(model, StoredFile)
    return ONNXSettings.of(model.about).in_windows(_system(model))


KIND = Kind(
    name="onnx",
    settings=ONNXSettings,
    make=_make,
    rebuild=_rebuild,
    separator=_separator,
    summary="a file of ONNX, through ONNX Runtime; no gradient comes back",
    is_trained=lambda _: False,
    outside=lambda _: True,
    extra="onnx",
    ready=_ready,
)
