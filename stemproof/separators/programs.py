"""Files that hold a model with its code: TorchScript, and what ``torch.export`` saved.

Such a file is a program, and playing a mixture to it runs it: take it from where you would take
any program.
"""

from __future__ import annotations

import io
import logging
import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError, out_of_memory
from stemproof.core.states import reason
from stemproof.separators.foreign import Input

SAVE = "save it by torch.jit.trace(model, mixture).save(...) or torch.export.save"
# What an archive of torch.export has, under the names of several versions.
EXPORTED = ("models/model.json", "serialized_exported_program.json")


class Exported(nn.Module):
    """A program of ``torch.export``, which takes what it was made for.

    Args:
        program: as it was loaded.
        name: what messages call it.
        sample_rate: of the recordings, in Hz.

    Raises:
        InputError: it takes more than one tensor.
    """

    def __init__(self, program: torch.export.ExportedProgram, name: str, sample_rate: int) -> None:
        super().__init__()
        wanted = program.graph_signature.user_inputs
        nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
        values = [nodes[str(own)].meta.get("val") if own in nodes else None for own in wanted]
        if len(values) != 1 or not isinstance(values[0], Tensor):
            raise InputError(
                f"{name} takes {len(wanted)} inputs; save a model that takes the mixture alone"
            )
        axes = tuple(size if isinstance(size, int) else None for size in values[0].shape)
        self.input = Input(name, axes, sample_rate)
        self.program = program.module()
        for part in self.modules():
            part.training = False  # says nothing of it: its mode was fixed when it was made

    def forward(self, mixture: Tensor) -> Any:
        """Vocals, batch x channels x samples both ways."""
        return self.input.play(self.program, mixture)


def load_program(content: bytes, name: str, sample_rate: int, device: torch.device) -> nn.Module:
    """A model from the bytes of its file, in evaluation mode, its weights without gradients.

    Args:
        content: of the file.
        name: of the file, for messages.
        sample_rate: of the recordings, in Hz.
        device: where to compute.

    Raises:
        InputError: the file is neither TorchScript nor of ``torch.export``, or is damaged.
    """
    exported = _is_exported(content, name)
    stream = io.BytesIO(content)
    try:
        if exported:
            model = _exported(stream, name, sample_rate, device)
        else:
            model = torch.jit.load(stream, map_location=device)  # type: ignore[no-untyped-call]
            model.eval()
    except InputError:
        raise
    except Exception as error:  # a program that is damaged fails in many ways
        if out_of_memory(error):
            raise
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, pickle.UnpicklingError):
            why = reason(error)
        raise InputError(f"{name}: cannot be loaded ({why}); {SAVE}") from error
    # Not `model.requires_grad_`, which TorchScript has not.
    for weight in model.parameters():
        weight.requires_grad_(False)
    return model


def _exported(stream: io.BytesIO, name: str, sample_rate: int, device: torch.device) -> nn.Module:
    with _quiet(), _without_pickles():
        program = torch.export.load(stream)
    if device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return Exported(program, name, sample_rate)


def _is_exported(content: bytes, name: str) -> bool:
    """Whether a file is one of ``torch.export``, and not TorchScript."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        names = []
    if any(own.endswith("/constants.pkl") for own in names):
        return False
    if any(own.endswith(EXPORTED) for own in names):
        return True
    if any(own.endswith("data.pkl") for own in names):
        raise InputError(
            f"{name}: holds weights or a pickle of torch.save, no program; {SAVE}, or name a "
            "function that makes the model"
        )
    raise InputError(
        f"{name}: neither TorchScript nor a program of torch.export, or damaged; {SAVE}"
    )


@contextmanager
def _without_pickles() -> Iterator[None]:
    """What of a program is no tensor PyTorch keeps as pickles, which run any code that is in them.

    Tensors are read from them and nothing else.
    """
    plain = torch.load

    def tensors_only(*arguments: Any, **options: Any) -> Any:
        return plain(*arguments, **{**options, "weights_only": True})

    def refused(*arguments: Any, **options: Any) -> Any:
        raise pickle.UnpicklingError("it holds a pickle, which may run any code")

    with (
        mock.patch.object(torch, "load", tensors_only),
        mock.patch.object(pickle, "loads", refused),
    ):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch logs a traceback of what it then raises."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
