"""What kinds of systems from elsewhere share: settings, files that are stored whole, trying."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.core.files import opened, sha256
from stemproof.core.params import Section
from stemproof.separators.protocol import Separator
from stemproof.separators.wrappers import Windowed

MISSING = "no such file; paths of an entry start at the project's root"


class ForeignSettings(Section):
    """What a system takes, which it cannot be asked for.

    Attributes:
        sample_rate: of the recordings that it takes, in Hz.
        channels: of the recordings that it takes.
    """

    sample_rate: int = Field(ge=1000, le=192_000)
    channels: int = Field(ge=1, le=64)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From the settings of a model file, which may hold more."""
        return cls(**{key: value for key, value in stored.items() if key in cls.model_fields})


class WindowedSettings(ForeignSettings):
    """A system that may be given short pieces of a recording alone.

    Attributes:
        window: seconds that it is given at once; by default as much as there is.
        overlap: of two windows, as a fraction of one.
    """

    window: float | None = Field(default=None, gt=0, le=3600)
    overlap: float = Field(default=0.25, ge=0, le=0.9)

    @model_validator(mode="after")
    def _window_of_samples(self) -> WindowedSettings:
        if self.window is not None and round(self.window * self.sample_rate) < 2:
            raise ValueError(f"window = {self.window} must hold 2 samples or more")
        return self

    def heard(self, seconds: float) -> int:
        """Samples that the system is given at once: a window, or else so many seconds."""
        return round((seconds if self.window is None else self.window) * self.sample_rate)

    def in_windows(self, separator: Separator) -> Separator:
        """The system for recordings of any length, where the entry has a window."""
        if self.window is None:
            return separator
        return Windowed(separator, self.window, self.overlap)


@contextmanager
def of_entry(where: str) -> Iterator[None]:
    """Bad input in the block is one of the settings that stand there."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error.__cause__


class StoredFile(nn.Module):
    """A file as a whole, as the weights of a model: the model file needs no other.

    Args:
        content: its bytes, uint8; or their number, for a file that is yet to be loaded.
        about: settings of the model file.
    """

    content: Tensor

    def __init__(self, content: Tensor | int, about: Mapping[str, Any]) -> None:
        super().__init__()
        if isinstance(content, int):
            content = torch.zeros(content, dtype=torch.uint8)
        self.register_buffer("content", content)
        self.about = about

    @property
    def bytes(self) -> bytes:
        """The content of the file."""
        return self.content.cpu().numpy().tobytes()


def read_whole(path: Path) -> Tensor:
    """The bytes of a file, uint8.

    Raises:
        InputError: there is no such file, or it cannot be read, or is empty.
    """
    with opened(path, MISSING) as stream:
        content = stream.read()
    if not content:
        raise InputError(f"{path}: an empty file; save the model again")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


class FilesSettings(ForeignSettings):
    """A system whose code stands in files that its model file does not hold.

    Attributes:
        files: others than those that are found by themselves; when one has changed, the system is
            another one.
    """

    files: list[str] = Field(default=[])


def hashes_of(files: Iterable[Path | str]) -> dict[str, str]:
    """The SHA-256 of some files, by their paths from the project's root where they are inside.

    Raises:
        InputError: one is missing, or cannot be read.
    """
    root, found = Path.cwd(), {}
    for file in files:
        path = Path(file)
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        found[inside.as_posix()] = sha256(path, MISSING)
    return dict(sorted(found.items()))


def refuse_changed(hashes: Mapping[str, str], what: str) -> None:
    """Refuse a system that is not what its model file was made of.

    Args:
        hashes: what :func:`hashes_of` gave when it was made.
        what: what messages call the system.

    Raises:
        InputError: a file has changed, or is gone.
    """
    for file, digest in hashes.items():
        if hashes_of([file]) != {file: digest}:
            raise InputError(
                f"{what}: {file} is not what this model was made of; make it again: dvc repro, "
                "which looks at the systems under `own`"
            )


def finite(output: Tensor, name: str) -> Tensor:
    """An output as it is, if it has nothing but numbers.

    Raises:
        InputError: it has others.
    """
    if not torch.isfinite(output).all():
        raise InputError(f"{name} gives what is not a number; train it again, or correct it")
    return output


@dataclass(frozen=True)
class Input:
    """What a stored program is declared to take.

    Attributes:
        name: what messages call the program.
        axes: lengths of its axes; None for any.
        sample_rate: of the recordings, in Hz.
    """

    name: str
    axes: tuple[int | None, ...]
    sample_rate: int

    def play(self, program: Callable[[Tensor], Any], mixture: Tensor) -> Any:
        """Run a program; one item after the other where it takes one alone.

        Args:
            program: batch x channels x samples in.
            mixture: batch x channels x samples.

        Raises:
            InputError: the mixture is not what the program takes.
        """
        self._check(mixture)
        if self.axes[0] != 1 or len(mixture) == 1:
            return program(mixture)
        return torch.cat([program(item[None]) for item in mixture])

    def _check(self, mixture: Tensor) -> None:
        if len(self.axes) != 3:
            raise InputError(
                f"{self.name} takes {len(self.axes)} axes; save it as a model that takes three, "
                "batch x channels x samples"
            )
        items, channels, samples = self.axes
        if items not in (None, 1, len(mixture)):
            raise InputError(
                f"{self.name} takes batches of {items} and no others; save it with a batch of any "
                "size, or of 1"
            )
        if channels not in (None, mixture.shape[1]):
            raise InputError(
                f"{self.name} takes {channels} channels, not {mixture.shape[1]}; set channels = "
                f"{channels}"
            )
        if samples not in (None, mixture.shape[2]):
            raise InputError(
                f"{self.name} takes {samples} samples, not {mixture.shape[2]}; set window = "
                f"{samples / self.sample_rate} (seconds), or save it for any length"
            )
