"""RSVM as a separator: informed by the binary mask of the true stems."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from stemproof.separators.masks import binary_mask, other, straight_through_mask
from stemproof.separators.protocol import MaskKind, Separator, Side, View
from stemproof.separators.rsvm.model import RSVM
from stemproof.separators.rsvm.views import views_of
from stemproof.separators.wrappers.draws import FixedDraws


class InformedRSVM:
    """RSVM with the binary mask of the true stems: an *informed* separator.

    With a ``fixed`` mask the side information is the mask of the clean stems, which does not
    change under attack. With a ``recomputed`` one it is the true vocals, and what remains of the
    mixture that is heard takes the accompaniment's place: an attack changes the mask too.

    Args:
        model: has ``encode`` and ``decode``; call its ``freeze`` first, unless it is in training.
        mask: where the mask comes from.
    """

    channels = 1

    def __init__(self, model: RSVM, mask: MaskKind = "fixed") -> None:
        self.model = model
        self.mask = mask
        self.sample_rate = model.sample_rate

    @property
    def twin(self) -> InformedRSVM:
        """The same model with the other kind of mask."""
        return type(self)(self.model, other(self.mask))

    def doubled(self) -> InformedRSVM:
        """The same system in double precision."""
        return type(self)(copy.deepcopy(self.model).double(), self.mask)

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        """The binary mask (batch x filters x frames), or the vocals (batch x 1 x samples)."""
        if self.mask == "recomputed":
            return vocals
        # Side information does not vary from pass to pass, also where dropout stays on.
        with torch.no_grad(), self.model.encoder.dropout.off():
            rest = (mixture - vocals)[:, 0]
            return binary_mask(self.model.encode(vocals[:, 0]), self.model.encode(rest))

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Decode the masked coefficients of the mixture; batch x 1 x samples."""
        if side is None:
            raise ValueError("RSVM needs its mask")
        coefficients = self.model.encode(mixture[:, 0])
        if self.mask == "recomputed":
            with torch.no_grad():
                vocals = self.model.encode(side[:, 0])
            mask = straight_through_mask(vocals, self.model.encode((mixture - side)[:, 0]))
        else:
            mask = side
        return self.model.decode(coefficients * mask, mixture.shape[-1])[:, None]

    def reconstruct(self, vocals: Tensor) -> Tensor:
        """Decode the coefficients of the true vocals: what the representation can hold."""
        with torch.no_grad():
            output: Tensor = self.model(vocals[:, 0])
        return output[:, None]

    def views(self, mixture: Tensor) -> list[View]:
        """What the model has learned, by a mixture, 1 x 1 x samples."""
        return views_of(self.model, mixture[:, 0])


class RandomRSVM(InformedRSVM):
    """RSVM that leaves dropout on at test time: a system with random draws."""

    def redrawn(self, seeds: Sequence[int]) -> Separator:
        """The same system with its draws fixed, one seed an item of the batch."""
        return FixedDraws(self, tuple(seeds))


def as_separator(model: RSVM, mask: MaskKind = "fixed") -> InformedRSVM:
    """The separator of a trained model, which is frozen."""
    random = model.encoder.dropout.at_test
    return (RandomRSVM if random else InformedRSVM)(model.freeze(), mask)
