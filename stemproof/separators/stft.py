"""The oracle: the short-time Fourier transform with the binary mask of the true stems."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from stemproof.core.params import Section
from stemproof.separators.kind import Kind, Made, Making, ReadyFor
from stemproof.separators.masks import binary_mask, other, straight_through_mask
from stemproof.separators.protocol import MaskKind, Side
from stemproof.separators.validation import validate


class STFTSettings(Section):
    """Geometry; by default RSVM's, so that the masks of both have the same frames."""

    window: int = Field(default=2048, ge=2, le=65_536)
    hop: int = Field(default=256, ge=1, le=65_536)

    @model_validator(mode="after")
    def _frames_overlap(self) -> STFTSettings:
        if self.hop > self.window:
            raise ValueError(f"hop = {self.hop} must be at most window = {self.window}")
        return self


class STFT(nn.Module):
    """Analysis and synthesis without anything to train.

    The Hamming window is nowhere zero: any hop up to the window's length can be inverted.

    Args:
        settings: window and hop.
        sample_rate: of the recordings, in Hz.
    """

    window: Tensor

    def __init__(self, settings: STFTSettings, sample_rate: int) -> None:
        super().__init__()
        self.size, self.hop, self.sample_rate = settings.window, settings.hop, sample_rate
        self.register_buffer("window", torch.hamming_window(self.size), persistent=False)

    def analyze(self, waveform: Tensor) -> Tensor:
        """Map batch x samples to complex batch x bins x frames."""
        return torch.stft(
            F.pad(waveform, (0, self.hop)),  # so that the last samples are in a frame
            self.size,
            self.hop,
            window=self.window,
            center=True,
            pad_mode="constant",
            return_complex=True,
        )

    def synthesize(self, spectrum: Tensor, samples: int) -> Tensor:
        """Map complex batch x bins x frames to batch x samples."""
        return torch.istft(spectrum, self.size, self.hop, window=self.window, length=samples)


class InformedSTFT:
    """The mask of the true stems, made from magnitudes of the STFT and applied to the STFT.

    Args:
        stft: the transform.
        mask: where the mask comes from; see :class:`stemproof.separators.rsvm.separator`.
    """

    channels = 1

    def __init__(self, stft: STFT, mask: MaskKind = "fixed") -> None:
        self.stft = stft
        self.mask = mask
        self.sample_rate = stft.sample_rate

    @property
    def twin(self) -> InformedSTFT:
        """The same with the other kind of mask."""
        return InformedSTFT(self.stft, other(self.mask))

    def doubled(self) -> InformedSTFT:
        """The same in double precision."""
        return InformedSTFT(copy.deepcopy(self.stft).double(), self.mask)

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        """The binary mask (batch x bins x frames), or the vocals (batch x 1 x samples)."""
        if self.mask == "recomputed":
            return vocals
        rest = self.stft.analyze((mixture - vocals)[:, 0])
        return binary_mask(self.stft.analyze(vocals[:, 0]).abs(), rest.abs())

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Invert the masked STFT of the mixture; batch x 1 x samples."""
        if side is None:
            raise ValueError("the STFT needs its mask")
        spectrum = self.stft.analyze(mixture[:, 0])
        if self.mask == "recomputed":
            rest = self.stft.analyze((mixture - side)[:, 0])
            mask = straight_through_mask(self.stft.analyze(side[:, 0]).abs(), rest.abs())
        else:
            mask = side
        return self.stft.synthesize(spectrum * mask, mixture.shape[-1])[:, None]

    def reconstruct(self, vocals: Tensor) -> Tensor:
        """There and back: the vocals, up to rounding; batch x 1 x samples."""
        spectrum = self.stft.analyze(vocals[:, 0])
        return self.stft.synthesize(spectrum, vocals.shape[-1])[:, None]


def _make(making: Making) -> Made:
    """Nothing to train: the geometry is all there is."""
    settings = _untrained(making.settings, making.data.sample_rate)
    model = _rebuild(settings)
    row = validate(InformedSTFT(model), making.data.tracks("valid"), making.segments)
    return Made(model, settings, [{"epoch": 0, **row}], trained=False)


def _ready(settings: Section, wanted: ReadyFor) -> Made:
    """For recordings of any rate."""
    own = _untrained(settings, wanted.sample_rate)
    return Made(_rebuild(own), own, [{"epoch": 0}], trained=False)


def _untrained(settings: Section, sample_rate: int) -> Mapping[str, Any]:
    return {**settings.model_dump(), "sample_rate": sample_rate}


def _rebuild(settings: Mapping[str, Any]) -> STFT:
    own = {key: value for key, value in settings.items() if key != "sample_rate"}
    return STFT(STFTSettings(**own), int(settings["sample_rate"]))


def _separator(model: nn.Module, mask: MaskKind) -> InformedSTFT:
    assert isinstance(model, STFT)
    return InformedSTFT(model, mask)


KIND = Kind(
    name="stft",
    settings=STFTSettings,
    make=_make,
    rebuild=_rebuild,
    separator=_separator,
    summary="no training: the binary mask of the true stems on the STFT, an oracle",
    is_trained=lambda _: False,
    untrained=_untrained,
    ready=_ready,
)
