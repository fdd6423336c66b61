"""What a kind of separator says of itself: one entry of the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from stemproof.core.params import Section
from stemproof.separators.protocol import MaskKind, Separator

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from stemproof.data.params import SegmentParams
    from stemproof.data.store import PreparedData

Row = dict[str, float]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Making:
    """What a model can be made from.

    Attributes:
        name: of the system.
        settings: its entry under ``separators``, checked by its kind.
        seed: of the training.
        data: prepared data.
        segments: how it is cut.
        shared: the section that is named after the kind, where the stage has one.
        fabric: the device.
        resume: file for the state of an unfinished training.
        compiled: whether ``torch.compile`` shall translate the model.
    """

    name: str
    settings: Section
    seed: int
    data: PreparedData
    segments: SegmentParams
    shared: Any
    fabric: Fabric
    resume: Path
    compiled: bool = False

    @property
    def where(self) -> str:
        """What messages about the entry begin with."""
        return f"separators.{self.name}"

    @property
    def segment_samples(self) -> int:
        """Length of a segment."""
        return self.segments.samples(self.data.sample_rate)


@dataclass(frozen=True)
class ReadyFor:
    """What a system that needs no training is made for.

    Attributes:
        where: what messages about its settings begin with: ``separators.NAME``, for instance.
        sample_rate: of the recordings in Hz, for a kind that takes any.
        seconds: of the noise that it is tried on.
        device: where it is tried.
    """

    where: str
    sample_rate: int = 44_100
    seconds: float = 1.0
    device: torch.device = CPU


@dataclass(frozen=True)
class Made:
    """A model that is ready to be stored.

    Attributes:
        model: its weights.
        settings: all that its kind needs to rebuild it; plain values, as in JSON.
        curves: one row an epoch, with ``epoch`` and whatever else was measured; a model that is
            not trained has a single one.
        trained: whether a training seed made a difference.
        counted: whether the weights of the model and of its parts are counted; False where it is
            no module of ours, and ``curves`` says how many there are, or nobody knows.
    """

    model: nn.Module
    settings: Mapping[str, Any]
    curves: list[Row]
    trained: bool = True
    counted: bool = True

    def __post_init__(self) -> None:
        if not self.curves or any("epoch" not in row for row in self.curves):
            raise ValueError("curves needs a row at least, and each an `epoch`")


@dataclass(frozen=True)
class Kind:
    """A kind of separator.

    Attributes:
        name: the value of ``kind``.
        settings: section that checks an entry under ``separators``, without ``kind``.
        make: train a model, or take it as it is.
        rebuild: an empty model from what :class:`Made` stored as settings.
        separator: the model behind the protocol, frozen, with one kind of mask.
        summary: what it is, for the documentation.
        is_trained: whether a training seed makes a difference, by the settings of an entry.
        untrained: what :attr:`rebuild` needs, from an entry and a sample rate, where there is
            nothing to train; such a kind can serve as an oracle.
        outside: whether a system is made of files from outside, by the settings of an entry; DVC
            does not know them, and every run looks at them.
        extra: the optional extra of this package that it needs; empty for none.
        ready: make a system of settings alone, unless they ask for a training; None for a kind
            that is always trained, or needs prepared data.
    """

    name: str
    settings: type[Section]
    make: Callable[[Making], Made]
    rebuild: Callable[[Mapping[str, Any]], nn.Module]
    separator: Callable[[nn.Module, MaskKind], Separator]
    summary: str
    is_trained: Callable[[Section], bool]
    untrained: Callable[[Section, int], Mapping[str, Any]] | None = None
    outside: Callable[[Section], bool] = lambda _: False
    extra: str = ""
    ready: Callable[[Section, ReadyFor], Made] | None = None


def described(made: Made) -> dict[str, Any]:
    """The content of ``metrics/train/NAME/SEED.json``: sizes and the last epoch."""
    if not made.counted:
        return dict(made.curves[-1])
    counts = {"parameters": _size(made.model)}
    counts |= {f"parameters_{part}": _size(child) for part, child in made.model.named_children()}
    return {**counts, **made.curves[-1]}


def _size(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())
