"""What attacks, evaluation and audit know of a separator, and the informed ones behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from rsvm.data.store import PreparedTrack
from rsvm.model.rsvm import MASK_THRESHOLD, RSVM, binary_mask
from rsvm.model.stft import STFT

Context = Tensor | None
# `fixed`: made once, from the clean stems. `recomputed`: made from the mixture that is heard.
MaskKind = Literal["fixed", "recomputed"]
LOUDEST = 100.0  # full scale is 1; of larger samples float32 may not hold what is computed


class Separator(Protocol):
    """A separator of vocals whose output is differentiable in the mixture."""

    def context(self, mixture: Tensor, vocals: Tensor) -> Context:
        """Side information that the separator is given beside the mixture, or None.

        Both arguments are batch x samples; the first axis of the result is the batch.
        """
        ...

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        """Estimate the vocals of batch x samples; differentiable in ``mixture``."""
        ...


class ReconstructingSeparator(Separator, Protocol):
    """A separator through a representation, which can also be asked what that can hold."""

    def reconstruct(self, vocals: Tensor) -> Tensor:
        """Through the representation and back, without a mask; batch x samples."""
        ...


class InformedRSVM:
    """RSVM with the binary mask of the true stems: an *informed* separator.

    With a ``fixed`` mask the context is the mask of the clean stems, which does not change under
    attack. With a ``recomputed`` one the context is the true vocals, and what remains of the
    mixture that is heard takes the accompaniment's place: an attack changes the mask too.

    Args:
        model: has ``encode`` and ``decode``; call its ``freeze`` first, unless it is in training.
        mask: where the mask comes from.
    """

    def __init__(self, model: RSVM, mask: MaskKind = "fixed") -> None:
        self.model = model
        self.mask = mask

    def context(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        """The binary mask (batch x channels x frames), or the vocals (batch x samples)."""
        if self.mask == "recomputed":
            return vocals
        # Side information does not vary from pass to pass, also where dropout stays on.
        with torch.no_grad(), self.model.encoder.dropout.off():
            return binary_mask(self.model.encode(vocals), self.model.encode(mixture - vocals))

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        """Decode the masked coefficients of the mixture."""
        if context is None:
            raise ValueError("RSVM needs its mask")
        coefficients = self.model.encode(mixture)
        if self.mask == "recomputed":
            with torch.no_grad():
                vocals = self.model.encode(context)
            mask = straight_through_mask(vocals, self.model.encode(mixture - context))
        else:
            mask = context
        return self.model.decode(coefficients * mask, mixture.shape[-1])

    def reconstruct(self, vocals: Tensor) -> Tensor:
        """Decode the coefficients of the true vocals: what the representation can hold."""
        with torch.no_grad():
            output: Tensor = self.model(vocals)
        return output


class InformedSTFT:
    """The oracle: the same mask, made from magnitudes of the STFT and applied to the STFT."""

    def __init__(self, stft: STFT, mask: MaskKind = "fixed") -> None:
        self.stft = stft
        self.mask = mask

    def context(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        """The binary mask (batch x bins x frames), or the vocals (batch x samples)."""
        if self.mask == "recomputed":
            return vocals
        rest = self.stft.analyze(mixture - vocals)
        return binary_mask(self.stft.analyze(vocals).abs(), rest.abs())

    def separate(self, mixture: Tensor, context: Context) -> Tensor:
        """Invert the masked STFT of the mixture."""
        if context is None:
            raise ValueError("the STFT needs its mask")
        spectrum = self.stft.analyze(mixture)
        if self.mask == "recomputed":
            rest = self.stft.analyze(mixture - context)
            mask = straight_through_mask(self.stft.analyze(context).abs(), rest.abs())
        else:
            mask = context
        return self.stft.synthesize(spectrum * mask, mixture.shape[-1])

    def reconstruct(self, vocals: Tensor) -> Tensor:
        """There and back: the vocals, up to rounding."""
        return self.stft.synthesize(self.stft.analyze(vocals), vocals.shape[-1])


def informed(model: RSVM | STFT, mask: MaskKind = "fixed") -> ReconstructingSeparator:
    """The separator of a trained model (which is frozen) or of the STFT."""
    if isinstance(model, STFT):
        return InformedSTFT(model, mask)
    return InformedRSVM(model.freeze(), mask)


def straight_through_mask(vocals: Tensor, accompaniment: Tensor) -> Tensor:
    """The binary mask going forward; the gradient of a soft one going back.

    A threshold has no gradient, which would hide the mask from an attack. In the backward pass
    ``v / (v + t a)`` takes its place (straight-through estimator; Bengio et al., 2013), with t the
    threshold: it is above one half exactly where the binary mask is 1.

    Args:
        vocals: coefficients of the true vocals, batch x channels x frames, non-negative.
        accompaniment: coefficients of the rest, same shape; carries the gradient.
    """
    soft = vocals / (vocals + MASK_THRESHOLD * accompaniment).clamp_min(1e-12)
    return binary_mask(vocals, accompaniment) + (soft - soft.detach())


def batches(total: int, size: int) -> Iterator[slice]:
    """Cut ``total`` items into slices of at most ``size``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def too_loud(tracks: Iterable[PreparedTrack]) -> str | None:
    """Whether samples are to blame for an output that is not a number.

    Returns:
        The first track whose samples no recording has, and what to do; None where there is none.
    """
    for track in tracks:
        largest = float(np.abs(track.audio).max(initial=0))
        if not largest <= LOUDEST:
            return (
                f"the samples of {track.name} reach {largest:.3g}, and full scale is 1: "
                "correct the recording and run prepare-musdb18 again"
            )
    return None
