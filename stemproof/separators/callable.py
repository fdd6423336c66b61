"""A system of one's own: a function of a module of one's own, or a file that holds a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.core.params import Section
from stemproof.separators.foreign import (
    FilesSettings,
    StoredFile,
    WindowedSettings,
    hashes_of,
    of_entry,
    read_whole,
    refuse_changed,
)
from stemproof.separators.imported import check_name, find, sources, system_of
from stemproof.separators.kind import Kind, Made, Making, ReadyFor, Row
from stemproof.separators.own import Abilities, OwnSystem, abilities, noise, tried
from stemproof.separators.programs import load_program
from stemproof.separators.protocol import MaskKind, Separator


class CallableSettings(WindowedSettings, FilesSettings):
    """A function, or a file; one of the two.

    A system takes mixtures and gives their vocals, batch x channels x samples both ways.

    Attributes:
        function: MODULE:FUNCTION, importable from the project's root. Without ``arguments`` it is
            the system itself.
        file: TorchScript or a program that ``torch.export`` saved. Such a file is a program, and it
            is run: take it from where you would take any program.
        arguments: what the function is called with, once, if only ``{}``; what it returns is then
            the system: a module of PyTorch, or a function.
        files: what the function reads or runs beside modules that it imports from the project.
    """

    function: Annotated[str, AfterValidator(check_name)] | None = None
    file: str | None = Field(default=None, min_length=1)
    arguments: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> CallableSettings:
        if (self.function is None) == (self.file is None):
            raise ValueError("name either a function or a file")
        if self.arguments is not None and self.function is None:
            raise ValueError("arguments are those of a function; a file takes none")
        if not _is_plain(self.arguments):
            raise ValueError(
                "arguments must be numbers, texts, true, false or null, and lists and mappings by "
                "text of them: a model file stores them"
            )
        return self

    @property
    def name(self) -> str:
        """What messages call the system."""
        return str(self.function or self.file)


def _is_plain(value: Any) -> bool:
    """Whether JSON gives back what it is given."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


class Imported(nn.Module):
    """What a function of the user's made, or is; its weights, if it has any, are the model's.

    Args:
        system: a module of PyTorch, or a function.
        about: settings of the model file.
    """

    def __init__(self, system: Any, about: Mapping[str, Any]) -> None:
        super().__init__()
        self.system, self.about = system, about


def _make(making: Making) -> Made:
    seconds, device = making.segments.seconds, making.fabric.device
    return _ready(making.settings, ReadyFor(making.where, seconds=seconds, device=device))


def _ready(own: Section, wanted: ReadyFor) -> Made:
    """The system as it is, after it was tried; with it what it was found to be able to do."""
    assert isinstance(own, CallableSettings)
    with of_entry(wanted.where):
        stored: dict[str, Any] = own.model_dump()
        if own.file is not None:
            content = read_whole(Path(own.file))
            stored["bytes"] = len(content)
            model: nn.Module = StoredFile(content, stored)
        else:
            model = _imported(stored)
        system = _system(model.to(wanted.device))
        heard = noise(2, own.channels, own.heard(wanted.seconds), wanted.device)
        tried(system, heard, 0.5 * heard)
        stored |= asdict(abilities(system, heard[:1]))
        # After it was tried: by then it has imported what it needs.
        source = sources(own.function, find(own.function)[1]) if own.function else []
        stored["hashes"] = hashes_of([*source, *own.files])
        _check_state(model, system.name)
    row: Row = {"epoch": 0}
    if isinstance(system.function, nn.Module):
        count = sum(weight.numel() for weight in system.function.parameters())
        # Weights may be constants of a program, where they are not counted.
        row |= {"parameters": count} if count else {}
    return Made(model, stored, [row], trained=False, counted=False)


def _imported(stored: dict[str, Any]) -> Imported:
    """The system of a function.

    Raises:
        InputError: it cannot be made, or one of its files is not what the settings say.
    """
    own = CallableSettings.of(stored)
    assert own.function is not None
    found, _ = find(own.function)
    refuse_changed(stored.get("hashes", {}), f"function = {own.function}")
    return Imported(system_of(found, own.function, own.arguments), stored)


def _check_state(model: nn.Module, name: str) -> None:
    """Can the weights be stored?"""
    state = model.state_dict()
    for key, value in state.items():
        try:
            safetensors.torch.save({key: value.detach().cpu().flatten()[:0]})
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            what = f"{value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"{name}: a model file cannot store {key.removeprefix('system.')}, {what}; make "
                "it a dense tensor, or a buffer with persistent=False"
            ) from error


def _rebuild(settings: Mapping[str, Any]) -> nn.Module:
    if settings["file"] is None:
        return _imported(dict(settings))
    CallableSettings.of(settings)  # is the header as it was written?
    return StoredFile(int(settings["bytes"]), settings)


def _system(model: nn.Module) -> OwnSystem:
    """The system by itself, with no abilities yet."""
    assert isinstance(model, Imported | StoredFile)
    own = CallableSettings.of(model.about)
    if isinstance(model, Imported):
        function = model.system
    else:
        device = model.content.device
        function = load_program(model.bytes, own.name, own.sample_rate, device)
    return OwnSystem(function, own.sample_rate, own.channels, own.name)


def _separator(model: nn.Module, mask: MaskKind) -> Separator:
    system = _system(model)
    about: Any = model.about
    able = Abilities(about["gradient"], about["precise"])
    return CallableSettings.of(about).in_windows(able.given_to(system))


KIND = Kind(
    name="callable",
    settings=CallableSettings,
    make=_make,
    rebuild=_rebuild,
    separator=_separator,
    summary="a function of one's own, or a file of TorchScript or `torch.export`",
    is_trained=lambda _: False,
    outside=lambda _: True,
    ready=_ready,
)
