"""What an RSVM has learned, to be looked at: coefficients, dictionary, attention."""

from __future__ import annotations

import torch
from torch import Tensor

from stemproof.separators.protocol import View
from stemproof.separators.rsvm.attention import FrameAttention
from stemproof.separators.rsvm.model import RSVM

FLOOR = -60.0  # dB below the largest coefficient


def views_of(model: RSVM, waveform: Tensor) -> list[View]:
    """Looks into a model while it hears one waveform.

    Args:
        model: frozen.
        waveform: 1 x samples.
    """
    encoder, decoder = model.encoder, model.decoder
    order = decoder.frequency_order()
    seconds = waveform.shape[-1] / model.sample_rate
    filters = (1.0, float(len(order)))
    with torch.no_grad(), encoder.dropout.off():
        coefficients = model.encode(waveform)[0, order]
        largest = coefficients.max().clamp(min=torch.finfo(coefficients.dtype).tiny)
        levels = 20 * torch.log10((coefficients / largest).clamp(min=10 ** (FLOOR / 20)))
        # A carrier goes around f^2 times a sample.
        carriers = decoder.freq_mat.square().flatten()[order] * model.sample_rate
        found = [
            View(
                "Coefficients of the mixture",
                "What the encoder makes of the segment: one row a filter of the dictionary, from "
                "the lowest carrier to the highest.",
                levels,
                "time in s",
                "filter",
                (0.0, seconds),
                filters,
                "dB against the largest",
            ),
            View(
                "Carriers of the dictionary",
                "The frequencies that the decoder's filters have after training, sorted.",
                carriers,
                "filter",
                "carrier in Hz",
                filters,
            ),
        ]
        if isinstance(encoder.attention, FrameAttention):
            found.append(
                View(
                    "Attention",
                    "How much every frame (row) takes from every frame (column), mean over heads. "
                    "One colour all over means that attention does not choose.",
                    encoder.attention.weights(encoder.attended(waveform))[0].mean(0),
                    "from the frame at, in s",
                    "frame at, in s",
                    (0.0, seconds),
                    (0.0, seconds),
                    "share of the whole",
                )
            )
    return found
