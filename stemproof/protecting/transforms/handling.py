"""What a player, a studio or a platform does to a song without a codec."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from stemproof.core.random import Draws
from stemproof.protecting.transforms.protocol import Transform, straight_through
from stemproof.separators.wrappers.rate import resampled

GAIN_DB = 6.0  # up to so much louder or softer
SHIFT = 64  # samples, up to
FADE_DB = 12.0  # up to so much softer at one end
TILT_DB = 3.0  # up to so much more or less at one end of the spectrum
DOWN = 32_000  # Hz; half of it is the highest frequency of FM radio and of many streams


def drawn(seed: int, purpose: str) -> float:
    """A number from -1 to 1."""
    return 2 * float(Draws.of([seed], purpose).uniform(1)) - 1


def _as_it_is(song: Tensor, rate: int, seed: int) -> Tensor:
    return song


def _sixteen(song: Tensor, rate: int, seed: int) -> Tensor:
    """Rounded, without dither: what a simple converter does."""
    return straight_through(song, (song * 2**15).round().clamp(-(2**15), 2**15 - 1) / 2**15)


def _resampling(song: Tensor, rate: int, seed: int) -> Tensor:
    """To another rate and back: 48 kHz for 44.1, 44.1 for all others below 96."""
    other = 48_000 if rate == 44_100 else 44_100
    samples = song.shape[-1]
    return resampled(
        resampled(song, rate, other, -(-samples * other // rate)), other, rate, samples
    )


def _gain(song: Tensor, rate: int, seed: int) -> Tensor:
    return song * 10 ** (GAIN_DB * drawn(seed, "gain") / 20)


def _shift(song: Tensor, rate: int, seed: int) -> Tensor:
    by = round(SHIFT * drawn(seed, "shift")) or 1
    if by > 0:
        return pad(song, (by, 0))[..., : song.shape[-1]]
    return pad(song, (0, -by))[..., -song.shape[-1] :]


def _fade(song: Tensor, rate: int, seed: int) -> Tensor:
    depth = drawn(seed, "fade")
    ramp = torch.linspace(0, 1, song.shape[-1], device=song.device, dtype=song.dtype)
    ramp = ramp if depth > 0 else ramp.flip(0)
    return song * 10 ** (-FADE_DB * abs(depth) * ramp / 20)


def _mono(song: Tensor, rate: int, seed: int) -> Tensor:
    return song.mean(1, keepdim=True).expand_as(song)


def _tilt(song: Tensor, rate: int, seed: int) -> Tensor:
    """A tone control: a straight line of dB over octaves, around 1 kHz."""
    spectrum = torch.fft.rfft(song)
    hertz = torch.fft.rfftfreq(song.shape[-1], 1 / rate, device=song.device).clamp(min=30)
    slope = TILT_DB * drawn(seed, "tilt") / 4  # dB per octave
    curve = 10 ** (slope * (hertz / 1000).log2() / 20)
    return torch.fft.irfft(spectrum * curve, song.shape[-1])


HANDLING = (
    Transform("none", "the file as it is", _as_it_is),
    Transform("16-bit", "rounded to 16 bits", _sixteen, linear=False),
    Transform("resampling", "another sample rate and back", _resampling),
    Transform("gain", f"up to {GAIN_DB:g} dB louder or softer", _gain, drawn=True),
    Transform("shift", f"shifted by up to {SHIFT} samples", _shift, drawn=True),
    Transform("fade", f"faded by up to {FADE_DB:g} dB", _fade, drawn=True),
    Transform("mono", "mixed to mono", _mono),
    Transform("tilt", f"tone control, up to {TILT_DB:g} dB at 30 Hz", _tilt, drawn=True),
)
