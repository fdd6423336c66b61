"""What somebody who wants to separate a protected song can do to get rid of the protection."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from stemproof.core.random import Draws
from stemproof.protecting.transforms.protocol import Transform

TAPS = 511  # of the low-pass
NOISE_DB = 40.0  # song over noise
WIDTH = 3  # samples of the median


def low_pass(cutoff: float) -> Callable[[Tensor, int, int], Tensor]:
    """A linear-phase low-pass (windowed sinc), without delay.

    Args:
        cutoff: where half of the amplitude is left, in Hz.
    """

    def change(song: Tensor, rate: int, seed: int) -> Tensor:
        if cutoff >= rate / 2:
            return song
        place = torch.arange(TAPS, dtype=torch.float64) - TAPS // 2
        taps = torch.sinc(2 * cutoff / rate * place) * torch.blackman_window(
            TAPS, periodic=False, dtype=torch.float64
        )
        taps = (taps / taps.sum()).to(song)
        flat = song.reshape(-1, 1, song.shape[-1])
        return conv1d(flat, taps[None, None], padding=TAPS // 2).reshape(song.shape)

    return change


def _noise(song: Tensor, rate: int, seed: int) -> Tensor:
    noise = Draws.of([seed], "opponent's noise").normal(*song.shape[1:]).to(song)
    level = song.detach().square().mean((1, 2), keepdim=True).sqrt() * 10 ** (-NOISE_DB / 20)
    return song + level * noise


def _median(song: Tensor, rate: int, seed: int) -> Tensor:
    padded = pad(song, (WIDTH // 2, WIDTH // 2), mode="replicate")
    return padded.unfold(-1, WIDTH, 1).median(-1).values


OPPONENT = (
    Transform("low-pass-16k", "low-pass at 16 kHz", low_pass(16_000)),
    Transform("low-pass-11k", "low-pass at 11 kHz", low_pass(11_000)),
    Transform("noise", f"noise, {NOISE_DB:g} dB below the song", _noise, linear=False),
    Transform("median", f"median of {WIDTH} samples", _median, linear=False),
)
