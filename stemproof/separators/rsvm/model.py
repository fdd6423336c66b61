"""The whole of RSVM: encoder, decoder, and the binary mask between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stemproof.separators.rsvm.decoder import Decoder
from stemproof.separators.rsvm.encoder import Encoder
from stemproof.separators.rsvm.params import RSVMSettings, Sizes


class RSVM(nn.Module):
    """Representation learning for singing voice separation (Mimilakis et al., 2020).

    Args:
        sizes: channels, kernel and hop.
        variant: attention and dropout of the encoder.
        sample_rate: in Hz; it only sets the initial carriers.
        segment_samples: length that :meth:`decode` gives when none is named.
    """

    def __init__(
        self, sizes: Sizes, variant: RSVMSettings, sample_rate: int, segment_samples: int
    ) -> None:
        super().__init__()
        self.sizes, self.variant = sizes, variant
        self.sample_rate, self.segment_samples = sample_rate, segment_samples
        self.encoder = Encoder(sizes, variant)
        self.decoder = Decoder(sizes, sample_rate)
        self._frozen_dictionary: Tensor | None = None

    def encode(self, waveform: Tensor) -> Tensor:
        """Map batch x samples to batch x channels x frames, non-negative."""
        coefficients: Tensor = self.encoder(waveform)
        return coefficients

    def decode(self, coefficients: Tensor, samples: int | None = None) -> Tensor:
        """Map batch x channels x frames to batch x samples (by default one segment)."""
        waveform: Tensor = self.decoder(
            coefficients, samples or self.segment_samples, self._frozen_dictionary
        )
        return waveform

    def forward(self, waveform: Tensor) -> Tensor:
        """Encode and decode: the reconstruction, batch x samples."""
        return self.decode(self.encode(waveform), waveform.shape[-1])

    def compile_parts(self) -> None:
        """Let ``torch.compile`` translate encoder and decoder at their first call."""
        self.encoder.compile()
        self.decoder.compile()

    def freeze(self) -> RSVM:
        """Switch to evaluation: no dropout, no weight gradients, the dictionary made once."""
        self.eval().requires_grad_(False)
        with torch.no_grad():
            self._frozen_dictionary = self.decoder.dictionary()
        return self


def build_model(
    sizes: Sizes, variant: RSVMSettings, sample_rate: int, segment_samples: int, seed: int
) -> RSVM:
    """A new model with seeded weights.

    Variants of one seed share the initial weights of everything they have in common, so that
    a difference between them is not one of luck at the start.

    Args:
        sizes: channels, kernel and hop.
        variant: what sets it apart.
        sample_rate: in Hz.
        segment_samples: length of a segment.
        seed: of the training.
    """
    torch.manual_seed(seed)
    plain = RSVM(sizes, RSVMSettings(), sample_rate, segment_samples)
    model = RSVM(sizes, variant, sample_rate, segment_samples)
    model.load_state_dict(plain.state_dict(), strict=False)
    return model
