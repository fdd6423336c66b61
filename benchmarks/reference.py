"""The way the public RSVM code goes about it, restated plainly: the yardstick of the benchmarks.

One segment at a time; convolutions with a stride; the decoder makes its dictionary anew for every
call and sorts filters and coefficients; training encodes noisy vocals and mix in two passes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.rsvm.framing import padding
from stemproof.separators.rsvm.losses import neg_snr, total_variation
from stemproof.separators.rsvm.model import RSVM


def encode(model: RSVM, waveform: Tensor) -> Tensor:
    """Batch x samples to batch x channels x frames."""
    encoder = model.encoder
    kernel = encoder.conv_a1.weight.shape[-1]
    padded = F.pad(waveform, padding(waveform.shape[-1], kernel, encoder.hop))
    spectrum = F.conv1d(padded.unsqueeze(1), encoder.conv_a1.weight, stride=encoder.hop)
    context = F.conv1d(spectrum, encoder.conv_a2.weight, dilation=10, padding=20)
    return torch.relu(context + spectrum)


def decode(model: RSVM, coefficients: Tensor, samples: int) -> Tensor:
    """Batch x channels x frames to batch x samples."""
    decoder = model.decoder
    order = torch.argsort(decoder.freq_mat.square().flatten())
    carriers = torch.cos(
        decoder.sample_times * decoder.freq_mat[order].square() + decoder.phi[order]
    )
    filters = carriers * decoder.norm_factor[order]
    before, _ = padding(samples, filters.shape[-1], decoder.hop)
    output = F.conv_transpose1d(coefficients[:, order], filters, stride=decoder.hop, padding=before)
    return output[:, 0, :samples]


def training_loss(model: RSVM, vocals: Tensor, accompaniment: Tensor) -> Tensor:
    """Two encoder passes, one for each part of the loss."""
    mix = vocals + accompaniment
    mix = mix - mix.mean()
    vocals = vocals - vocals.mean()
    noisy = vocals + 1e-4 * torch.randn_like(vocals)
    estimate = decode(model, encode(model, noisy), vocals.shape[-1])
    return neg_snr(vocals, estimate) + 0.5 * total_variation(encode(model, mix))


def test_loop(model: RSVM, mixture: Tensor, vocals: Tensor) -> Tensor:
    """SI-SDR of every segment, one at a time."""
    figures = []
    with torch.no_grad():
        for x, s in zip(torch.split(mixture, 1), torch.split(vocals, 1), strict=True):
            mask = (encode(model, s) / encode(model, x - s) > 0.5).float()
            estimate = decode(model, encode(model, x) * mask, x.shape[-1])
            figures.append(si_sdr(s, estimate))
    return torch.cat(figures)
