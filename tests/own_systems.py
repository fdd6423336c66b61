"""Entries of systems of one's own: made as a stage makes them, stored, and loaded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.data.params import SegmentParams
from stemproof.separators import checkpoint
from stemproof.separators.kind import Kind, Made, Making
from stemproof.separators.registry import entry

RATE, SAMPLES = 4000, 200
SEGMENTS = SegmentParams(seconds=SAMPLES / RATE)


class Net(nn.Module):
    """A network that is linear nowhere, and random unless it is in evaluation mode."""

    def __init__(self, channels: int = 2, width: int = 5) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, channels, width, padding=width // 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, mixture: Tensor) -> Tensor:
        return torch.tanh(self.dropout(self.convolution(mixture)))


def net(seed: int = 1, **sizes: int) -> Net:
    """Such a network in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(**sizes).eval()


def recordings(items: int = 3, channels: int = 2, samples: int = SAMPLES) -> Tensor:
    draw = torch.Generator().manual_seed(5)
    return 0.3 * torch.randn(items, channels, samples, generator=draw)


def made(about: dict[str, Any], seed: int = 218) -> tuple[Kind, Made]:
    """The entry `mine` of these settings, made."""
    about = {"sample_rate": RATE, "channels": 2, **about}
    kind, settings = entry({"mine": about}, "mine")
    fabric: Any = SimpleNamespace(device=torch.device("cpu"))
    data: Any = None
    making = Making("mine", settings, seed, data, SEGMENTS, None, fabric, Path("resume.ckpt"))
    return kind, kind.make(making)


def stored(path: Path, about: dict[str, Any], seed: int = 218) -> Path:
    """Its model file."""
    kind, model = made(about, seed)
    assert not kind.is_trained(model.settings)  # type: ignore[arg-type]
    checkpoint.save(path, kind, model.model, "mine", 218, model.settings, model.trained)
    return path


def loaded(path: Path, about: dict[str, Any]) -> Any:
    """The separator that its model file holds."""
    return checkpoint.load(stored(path, about), identity=("mine", 218))


def refusal(about: dict[str, Any]) -> str:
    """The sentence with which it is refused, when the entry is read or when it is made."""
    try:
        made(about)
    except InputError as error:
        return str(error)
    raise AssertionError("it is not refused")
