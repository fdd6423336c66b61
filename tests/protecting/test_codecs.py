"""Transforms: real codecs that move nothing, gradients straight through, and what is undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfiltfilt
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.protecting.transforms import MIXES, SURVIVAL, TRANSFORMS, UNDOING, tuned
from stemproof.protecting.transforms.codecs import AAC, CODECS, MP3, OPUS, encoded, round_trip


def music(rate: int, samples: int, channels: int = 2) -> np.ndarray:
    """Noise below 6 kHz, which no codec leaves out."""
    draw = np.random.default_rng(0).standard_normal((channels, samples)) * 0.1
    low = butter(4, min(6000, rate / 3), fs=rate, output="sos")
    return sosfiltfilt(low, draw).astype(np.float32)


def lag(song: np.ndarray, coded: np.ndarray) -> int:
    """By how many samples one is later than the other, by all that they have in common."""
    size = 2 * song.shape[1]
    product = np.conj(np.fft.rfft(song[0], size)) * np.fft.rfft(coded[0], size)
    found = int(np.argmax(np.fft.irfft(product, size)))
    return found if found < song.shape[1] else found - size


@pytest.mark.parametrize(
    ("codec", "rate"), [(MP3, 44_100), (MP3, 48_000), (AAC, 44_100), (AAC, 48_000), (OPUS, 48_000)]
)
@pytest.mark.parametrize(("samples", "channels"), [(30_011, 2), (9000, 1)])
def test_codecs_move_nothing_by_a_sample(
    codec: object, rate: int, samples: int, channels: int
) -> None:
    song = music(rate, samples, channels)
    coded = round_trip(song, rate, codec, 128)  # type: ignore[arg-type]
    assert coded.shape == song.shape
    assert coded.dtype == np.float32
    assert lag(song, coded) == 0
    assert np.corrcoef(song.ravel(), coded.ravel())[0, 1] > 0.85
    assert not np.array_equal(song, coded)


@pytest.mark.parametrize("name", ["mp3", "aac", "opus"])
def test_more_bits_are_nearer_and_as_many_as_asked_for(name: str) -> None:
    song = music(48_000, 96_000)
    error, sizes = {}, {}
    for kilobits in (128, 256):
        coded = round_trip(song, 48_000, CODECS[name], kilobits)
        error[kilobits] = np.square(coded - song).sum()
        sizes[kilobits] = len(encoded(song, 48_000, CODECS[name], kilobits)) * 8 / 2 / 1000
    assert error[256] < 0.6 * error[128]
    for kilobits, size in sizes.items():
        assert size == pytest.approx(kilobits, rel=0.15)


@pytest.mark.parametrize("name", sorted({*SURVIVAL, *UNDOING}))
@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (48_000, 1), (8000, 2)])
def test_a_song_stays_where_it_is_and_a_gradient_comes_back(
    name: str, rate: int, channels: int
) -> None:
    song = torch.from_numpy(music(rate, 6000, channels))[None].requires_grad_(True)
    transform = TRANSFORMS[name]
    changed = transform.song(song, rate, 5)
    assert changed.shape == song.shape
    assert torch.isfinite(changed).all()
    (gradient,) = torch.autograd.grad(changed.square().sum(), song)
    assert torch.isfinite(gradient).all()
    assert gradient.norm() > 0
    again = transform.song(song.detach(), rate, 5)
    assert torch.equal(again, changed.detach())
    if transform.drawn:
        assert not torch.equal(transform.song(song.detach(), rate, 6), again)
    if name != "shift":
        assert lag(song.detach()[0].numpy(), changed.detach()[0].numpy()) == 0


def test_a_codec_is_the_codec_forwards_and_nothing_backwards() -> None:
    song = torch.from_numpy(music(44_100, 20_000))[None].requires_grad_(True)
    changed = TRANSFORMS["mp3-128"].song(song, 44_100, 0)
    assert np.allclose(
        changed[0].detach(), round_trip(song.detach()[0].numpy(), 44_100, MP3, 128), atol=1e-6
    )
    weight = torch.randn_like(song)
    (gradient,) = torch.autograd.grad((weight * changed).sum(), song)
    assert torch.equal(gradient, weight)


def test_opus_of_a_song_of_another_rate_is_where_it_was() -> None:
    song = music(44_100, 44_100)
    changed = TRANSFORMS["opus-128"].song(torch.from_numpy(song)[None], 44_100, 0)[0].numpy()
    assert lag(song, changed) == 0
    assert np.corrcoef(song.ravel(), changed.ravel())[0, 1] > 0.9


def tone(hertz: float, rate: int = 44_100) -> Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(rate) / rate)[None, None].float()


@pytest.mark.parametrize(("name", "cutoff"), [("low-pass-16k", 16_000), ("low-pass-11k", 11_000)])
def test_a_low_pass_takes_what_is_above_and_nothing_else(name: str, cutoff: float) -> None:
    inner = slice(2000, -2000)
    for factor, low, high in ((0.9, -0.1, 0.1), (1.0, -6.5, -5.5), (1.1, -200, -60)):
        given = tone(factor * cutoff)
        left = TRANSFORMS[name].song(given, 44_100, 0)
        gain = 20 * torch.log10(left[..., inner].norm() / given[..., inner].norm())
        assert low < float(gain) < high
    assert torch.equal(TRANSFORMS["low-pass-16k"].song(tone(3000, 8000), 8000, 0), tone(3000, 8000))


def test_handling_does_what_it_says() -> None:
    song = torch.from_numpy(music(44_100, 5000))[None]
    sixteen = TRANSFORMS["16-bit"].song(song, 44_100, 0)
    assert float((sixteen - song).abs().max()) <= 2**-16 + 1e-9
    assert torch.equal((sixteen * 2**15).round(), sixteen * 2**15)
    mono = TRANSFORMS["mono"].song(song, 44_100, 0)
    assert torch.allclose(mono[:, 0], song.mean(1))
    louder = TRANSFORMS["gain"].song(song, 44_100, 3)
    ratio = louder[0, 0, :10] / song[0, 0, :10]
    assert torch.allclose(ratio, ratio[0].expand(10))
    assert 0.4 < float(ratio[0]) < 2.1
    moved = TRANSFORMS["shift"].song(song, 44_100, 3)
    by = lag(song[0].numpy(), moved[0].numpy())
    assert 0 < abs(by) <= 64
    median = TRANSFORMS["median"].song(song, 44_100, 0)
    assert torch.equal(median[0, 0, 7], song[0, 0, 6:9].median())
    noisy = TRANSFORMS["noise"].song(song, 44_100, 0) - song
    assert float(10 * torch.log10(song.square().sum() / noisy.square().sum())) == pytest.approx(
        40, abs=0.2
    )
    there_and_back = TRANSFORMS["resampling"].song(song, 44_100, 0)
    assert float((there_and_back - song).square().sum() / song.square().sum()) < 1e-3


def test_mixes_name_what_is_there_and_leave_something_out() -> None:
    for mix in MIXES:
        assert set(tuned(mix)) <= set(TRANSFORMS)
        assert {name for name in SURVIVAL if "-" in name} - set(tuned(mix))
    assert tuned("file") == ("none",)
    assert set(tuned("file", diverse=True)) == {"none", "shift", "gain", "tilt", "fade"}
    assert len(tuned("everything", diverse=True)) == len(set(tuned("everything", diverse=True)))
    with pytest.raises(InputError, match="mix = radio: there is file, streaming, everything"):
        tuned("radio")
