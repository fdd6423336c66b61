"""A system of one's own: any program that reads a wav file and writes one."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from stemproof.core.errors import InputError, explaining
from stemproof.core.files import FloatArray
from stemproof.core.params import Section
from stemproof.separators.foreign import (
    FilesSettings,
    finite,
    hashes_of,
    of_entry,
    refuse_changed,
)
from stemproof.separators.kind import Kind, Made, Making, ReadyFor
from stemproof.separators.own import noise, tried
from stemproof.separators.protocol import MaskKind, Separator, Side
from stemproof.separators.running import run_program

NEEDED = ("{input}", "{output}")


class CommandSettings(FilesSettings):
    """A program that runs in the project's root.

    Attributes:
        command: the program and its arguments; no shell reads them. Anywhere in an argument
            ``{input}`` and ``{output}`` become the paths of two wav files, ``{folder}`` that of an
            empty folder that is removed afterwards.
        timeout: seconds that a call may take.
        files: what the program reads beside those files that its arguments name.
    """

    command: list[str] = Field(min_length=1)
    timeout: float = Field(default=600.0, gt=0, le=86_400)

    @field_validator("command")
    @classmethod
    def _complete(cls, command: list[str]) -> list[str]:
        missing = [name for name in NEEDED if not any(name in part for part in command[1:])]
        if missing:
            raise ValueError(
                f"{' and '.join(missing)} must stand in its arguments, in the place of the wav "
                "files that it reads and writes"
            )
        if not command[0] or any("\0" in part for part in command):
            raise ValueError("it must begin with a program, and have no zero bytes")
        return command

    @property
    def named(self) -> list[str]:
        """Files that the command line names, and those of ``files``.

        A program that is installed somewhere else is taken for what its version is: only one in the
        project's folder counts.
        """
        program, *arguments = self.command
        inside = Path(program).absolute().is_relative_to(Path.cwd()) and "/" in program
        return [
            *(part for part in [program] * inside + arguments if Path(part).is_file()),
            *self.files,
        ]


@dataclass(frozen=True)
class CommandSystem:
    """A program that separates one recording a call, in float32.

    Attributes:
        command: the program and its arguments, with placeholders.
        sample_rate: of the recordings that it takes, in Hz.
        channels: of the recordings that it takes.
        timeout: seconds that a call may take.
    """

    command: tuple[str, ...]
    sample_rate: int
    channels: int
    timeout: float
    why_no_gradient: ClassVar[str] = "a program of its own computes the vocals"

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals, batch x channels x samples both ways.

        Raises:
            InputError: the program cannot be started, fails or takes too long, or what it writes
                is no audio of the mixture's rate, channels and length, or not a number.
        """
        if side is not None:
            raise ValueError("side information for a system that takes none")
        heard = mixture.detach().to("cpu", torch.float32).numpy()
        outputs = [torch.from_numpy(self._one(np.ascontiguousarray(item.T)).T) for item in heard]
        return finite(torch.stack(outputs), self._name).to(mixture)

    @property
    def _name(self) -> str:
        return f"command `{shlex.join(self.command)}`"

    def _one(self, recording: FloatArray) -> FloatArray:
        """One call, frames x channels both ways."""
        with tempfile.TemporaryDirectory(prefix="stemproof-") as name:
            root = Path(name)
            places = {
                "{input}": root / "input.wav",
                "{output}": root / "output.wav",
                "{folder}": root / "folder",
            }
            with explaining(root, "written"):
                places["{folder}"].mkdir()
                self._write(places["{input}"], recording)
            command = list(self.command)
            for placeholder, path in places.items():
                command = [part.replace(placeholder, str(path)) for part in command]
            run_program(command, self.timeout, self._name, root / "errors.txt")
            return self._read(places["{output}"], len(recording))

    def _write(self, path: Path, recording: FloatArray) -> None:
        # Not libsndfile, which puts the time of the day into such a file.
        from scipy.io import wavfile

        wavfile.write(path, self.sample_rate, recording)

    def _read(self, path: Path, frames: int) -> FloatArray:
        import soundfile

        if not path.is_file() or not path.stat().st_size:
            what = "an empty file" if path.is_file() else "nothing"
            raise InputError(
                f"{self._name} ends well and writes {what} to {{output}}; let it write the vocals "
                "there, as wav"
            )
        try:
            audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, soundfile.LibsndfileError) as error:
            raise InputError(
                f"{self._name} writes what cannot be read as audio ({error}); let it write wav"
            ) from error
        wanted = (self.sample_rate, self.channels, frames)
        found = (rate, audio.shape[1], len(audio))
        if found != wanted:
            raise InputError(
                f"{self._name} writes {_words(found)} for a recording of {_words(wanted)}; let it "
                "write the vocals of the whole recording, as they were given"
            )
        return audio


def _words(shape: tuple[int, int, int]) -> str:
    rate, channels, frames = shape
    return f"{rate} Hz, {channels} channel(s), {frames} samples"


class Command(nn.Module):
    """A model without weights: the command line is all that a model file holds.

    Args:
        about: settings of the model file.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        super().__init__()
        self.about = about


def _make(making: Making) -> Made:
    return _ready(making.settings, ReadyFor(making.where, seconds=making.segments.seconds))


def _ready(own: Section, wanted: ReadyFor) -> Made:
    """The command line, after it was tried."""
    assert isinstance(own, CommandSettings)
    with of_entry(wanted.where):
        model = Command({**own.model_dump(), "hashes": hashes_of(own.named)})
        heard = noise(1, own.channels, round(wanted.seconds * own.sample_rate))
        tried(_separator(model, "fixed"), heard, 0.5 * heard)
    return Made(model, model.about, [{"epoch": 0}], trained=False, counted=False)


def _rebuild(settings: Mapping[str, Any]) -> nn.Module:
    own = CommandSettings.of(settings)  # is the header as it was written?
    refuse_changed(settings.get("hashes", {}), f"command `{shlex.join(own.command)}`")
    return Command(settings)


def _separator(model: nn.Module, mask: MaskKind) -> Separator:
    assert isinstance(model, Command)
    own = CommandSettings.of(model.about)
    return CommandSystem(tuple(own.command), own.sample_rate, own.channels, own.timeout)


KIND = Kind(
    name="command",
    settings=CommandSettings,
    make=_make,
    rebuild=_rebuild,
    separator=_separator,
    summary="a program that reads a wav file and writes one; no gradient comes back",
    is_trained=lambda _: False,
    outside=lambda _: True,
    ready=_ready,
)
