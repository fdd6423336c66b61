"""Budgets, windows, figures, loudness and stored samples: each promise by itself."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemproof.core.random import Draws
from stemproof.data.long import LongAudio, lay_out
from stemproof.figures.si_sdr import si_sdr
from stemproof.protecting.aims import distortion, loss
from stemproof.protecting.budgets import FadedL2
from stemproof.protecting.control import write_noise
from stemproof.protecting.costs import costs
from stemproof.protecting.loudness import k_weighting, loudness
from stemproof.protecting.measuring import undone, verdict
from stemproof.protecting.parts import Tiles, Windows
from stemproof.protecting.stored import Difference, whole_numbers, write_raw, write_song
from stemproof.protecting.sums import Sums
from stemproof.separators.repeating import Repeating


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(40, 700), st.integers(1, 350))
def test_weights_of_windows_add_up_to_one(samples: int, length: int, fade: int) -> None:
    windows = Windows(samples, length, min(fade, max(length // 2, 1)))
    total = torch.zeros(samples)
    for number in range(len(windows.starts)):
        start, stop = windows.span(number)
        weight = windows.weight(number)
        assert stop - start == min(length, samples)
        assert float(weight.min()) >= -1e-6
        total[start:stop] += weight
    assert torch.allclose(total, torch.ones(samples), atol=1e-5)


def test_a_cross_fade_has_no_step() -> None:
    windows = Windows(10_000, 3000, 500)
    for number in range(len(windows.starts)):
        weight = windows.weight(number)
        assert float(weight.diff().abs().max()) < 2 * math.pi / 2 / 500
    assert float(windows.weight(1)[0]) == float(windows.weight(1)[-1]) == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5000), st.integers(10, 700))
def test_tiles_cover_a_song_once(samples: int, length: int) -> None:
    tiles = Tiles(samples, length, length // 8)
    seen = np.zeros(samples, dtype=int)
    for number in range(len(tiles)):
        start, stop = tiles.span(number)
        place = tiles.inner(torch.arange(start, stop)[None])[0].numpy()
        seen[place] += 1
    assert (seen == 1).all()
    assert tiles.spread(3) == sorted(set(tiles.spread(3)))
    assert len(tiles.spread(10**6)) == len(tiles)


def test_faded_windows_keep_the_budget_of_the_whole_song() -> None:
    song, draws = torch.randn(9000), Draws.of([1], "x")
    song[3000:6000] *= 0.01
    windows, total = Windows(9000, 2500, 800), torch.zeros(9000)
    for number in range(len(windows.starts)):
        start, stop = windows.span(number)
        weight = windows.weight(number)[None]
        budget = FadedL2.of(song[None, start:stop], weight, 30.0)
        delta = budget.project(100 * draws.normal(stop - start))
        assert float(budget.size(delta)) == pytest.approx(float(budget.radius), rel=1e-4)
        assert float(budget.size(budget.steepest(delta))) == pytest.approx(1, rel=1e-4)
        total[start:stop] += (weight * delta)[0]
    snr = 10 * math.log10(float(song.square().sum() / total.square().sum()))
    assert 30.0 <= snr < 33.5


def test_figures_of_sums_are_those_of_the_whole() -> None:
    draw = torch.Generator().manual_seed(2)
    s, r, e = (torch.randn(2, 4000, generator=draw, dtype=torch.float64) for _ in range(3))
    estimate = 0.7 * s + 0.05 * r + 0.1 * e
    sums = Sums()
    for cut in (slice(0, 1500), slice(1500, 4000)):
        sums.add(s[:, cut], r[:, cut], estimate[:, cut])
    assert sums.si_sdr == pytest.approx(float(si_sdr(s.flatten(), estimate.flatten())), abs=1e-6)
    assert sums.leak == pytest.approx(20 * math.log10(0.05), abs=1.0)
    same = Sums()
    same.add(s, r, 3 * s)
    assert same.si_sdr is not None
    assert same.si_sdr > 100
    silent = Sums()
    silent.add(0 * s, r, estimate)
    assert silent.si_sdr is None


def test_a_distortion_is_minus_the_si_sdr_and_bounded_at_silence() -> None:
    draw = torch.Generator().manual_seed(3)
    s, x, e = (torch.randn(1, 2, 3000, generator=draw) for _ in range(3))
    wanted = -si_sdr(s.flatten(1), (s + 0.3 * e).flatten(1))
    assert torch.allclose(distortion(s, s + 0.3 * e, x), wanted, atol=1e-3)
    # Something is put out where nothing should be.
    quiet, loud = (float(distortion(0 * s, a * e, x)) for a in (0.001, 0.1))
    assert loud == pytest.approx(20, abs=0.5)
    assert quiet == pytest.approx(-20, abs=0.5)
    mixed = loss(0.5 * s + 0.5 * (x - s), x, s, x)
    assert float(mixed) > float(loss(0.9 * s + 0.1 * (x - s), x, s, x))


@pytest.mark.parametrize(
    ("own", "noise", "found"),
    [
        (2.0, 20.0, "strong"),
        (10.0, 25.0, "partial"),
        (25.0, 40.0, "weak"),
        (40.0, 60.0, "nil"),
        (10.0, 10.9, "nil"),
        (3.0, 5.5, "weak"),
        (None, 20.0, "nil"),
    ],
)
def test_verdicts(own: float | None, noise: float, found: str) -> None:
    assert verdict({"protected": own, "noise": noise}) == found
    assert verdict({"protected": None, "noise": 20.0}, silenced=True) == "strong"


def test_what_undoes_a_protection() -> None:
    words = ("nil", "weak", "partial", "strong")
    found = {(a, b): undone({"verdict": a}, {"verdict": b}) for a in words for b in words}
    assert found["strong", "weak"]
    assert found["weak", "nil"]
    assert not found["strong", "partial"]
    assert not found["nil", "nil"]


def test_the_filters_of_bs1770_are_those_that_are_printed() -> None:
    (b, a), (high_b, high_a) = k_weighting(48_000)
    assert b == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285], abs=1e-9)
    assert a == pytest.approx([1, -1.69065929318241, 0.73248077421585], abs=1e-9)
    assert high_b == pytest.approx([1, -2, 1])
    assert high_a == pytest.approx([1, -1.99004745483398, 0.99007225036621], abs=1e-9)


def sine(level: float, seconds: float, rate: int, hertz: float = 1000) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (10 ** (level / 20) * np.sin(2 * np.pi * hertz * time))[None].astype(np.float32)


@pytest.mark.parametrize("rate", [44_100, 48_000, 96_000])
def test_loudness_of_the_test_signals(rate: int) -> None:
    # ITU-R BS.1770-4: 997 Hz at full scale in one channel is -3.01 LKFS.
    assert loudness([sine(0, 5, rate, 997)], rate, 1) == pytest.approx(-3.01, abs=0.02)
    # EBU Tech 3341, cases 1 and 2: a stereo tone of so many dBFS has as many LUFS.
    for level in (-23.0, -33.0):
        stereo = sine(level, 5, rate).repeat(2, axis=0)
        assert loudness([stereo], rate, 2) == pytest.approx(level, abs=0.1)


def test_loudness_is_gated_and_the_same_in_parts() -> None:
    # EBU Tech 3341, cases 3 to 5.
    for steps in (
        [(-36, 10), (-23, 60), (-36, 10)],
        [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)],
        [(-26, 20), (-20, 20.1), (-26, 20)],
    ):
        whole = np.concatenate([sine(level, s, 8000) for level, s in steps], axis=1).repeat(2, 0)
        found = loudness([whole], 8000, 2)
        assert found == pytest.approx(-23.0, abs=0.15)
        parts = [whole[:, n : n + 3777] for n in range(0, whole.shape[1], 3777)]
        assert loudness(parts, 8000, 2) == pytest.approx(found, abs=1e-6)
    assert loudness([np.zeros((1, 8000), np.float32)], 8000, 1) is None


@pytest.mark.parametrize("bits", [16, 24])
def test_whole_numbers_keep_budget_and_peak(bits: int) -> None:
    draw = np.random.default_rng(0)
    song = draw.uniform(-1, 1, (2, 5000)).astype(np.float32)
    song[0, 0], eps = 1.0, 0.003
    changed = song + draw.choice([-eps, eps], song.shape).astype(np.float32)
    found = whole_numbers(song, changed, bits, 1.0, eps) / 2.0 ** (bits - 1)
    inside = np.abs(song) < 0.99
    assert np.abs(found - song.astype(np.float64))[inside].max() <= eps
    assert found.max() <= 1 - 2.0 ** (1 - bits)
    assert np.abs(whole_numbers(0.5 * song, changed, bits, 0.5)).max() <= 2 ** (bits - 2)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("bits", [16, 24])
def test_what_is_stored_is_what_was_rounded(tmp_path: Path, suffix: str, bits: int) -> None:
    draw = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (2, 3000))
    parts = [draw[:, :1000].astype(np.int32), draw[:, 1000:].astype(np.int32)]
    path = tmp_path / f"a{suffix}"
    write_song(parts, path, 48_000, 2, bits)
    assert soundfile.info(path).subtype == f"PCM_{bits}"
    found = lay_out(path, tmp_path / "raw")
    assert np.array_equal(found.read(0, 3000), (draw / 2 ** (bits - 1)).astype(np.float32))


def long(tmp_path: Path, samples: np.ndarray, name: str) -> LongAudio:
    return write_raw([samples], tmp_path / name, 44_100, len(samples))


def test_a_long_recording_is_read_in_parts(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    held = long(tmp_path, samples, "x")
    assert np.array_equal(held.read(100, 300), samples[:, 100:300])
    assert np.array_equal(held.read(-5, 1003), np.pad(samples, [(0, 0), (5, 3)]))
    assert not held.read(2000, 2010).any()
    assert np.array_equal(np.concatenate(list(held.blocks(300)), axis=1), samples)


def test_noise_is_as_loud_as_the_perturbation_and_elsewhere_in_its_phases(tmp_path: Path) -> None:
    time = np.arange(200_000) / 44_100
    delta = 0.01 * np.sin(2 * np.pi * 3000 * time) * (time % 1 < 0.5) * np.array([[1.0], [0.3]])
    song = np.random.default_rng(0).standard_normal(delta.shape).astype(np.float32) * 0.1
    own, changed = long(tmp_path, song, "a"), long(tmp_path, song + delta.astype(np.float32), "b")
    noise = write_noise(Difference(own, changed), tmp_path / "n", 0)
    found = noise.read(0, noise.samples)
    assert found.shape == song.shape
    assert np.square(found).sum() == pytest.approx(np.square(delta).sum(), rel=1e-3)
    assert abs(np.corrcoef(found[0], delta[0])[0, 1]) < 0.3
    assert np.square(found[1]).sum() == pytest.approx(0.09 * np.square(found[0]).sum(), rel=1e-2)
    loud, soft = found[:, 5000:20_000], found[:, 25_000:42_000]
    assert np.square(loud).mean() > 1000 * np.square(soft).mean()
    spectrum = np.abs(np.fft.rfft(loud[0]))
    assert abs(np.argmax(spectrum) * 44_100 / loud.shape[1] - 3000) < 60


def test_costs_are_those_of_the_samples(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    song = (0.1 * draw.standard_normal((2, 150_000))).astype(np.float32)
    faint = (1e-6 * draw.standard_normal(song.shape)).astype(np.float32)
    own = long(tmp_path, song, "a")
    loud, soft = (
        costs(own, long(tmp_path, song + delta, name), 24)
        for name, delta in (("b", song[:, ::-1] * np.float32(0.5)), ("c", faint))
    )
    assert loud["snr"] == pytest.approx(6.02, abs=0.01)
    assert loud["lufs"]["perturbation"] == pytest.approx(loud["lufs"]["song"] - 6.02, abs=0.1)
    assert loud["peak"]["perturbation"] == pytest.approx(0.5 * np.abs(song).max(), abs=1e-6)
    assert loud["below"] < 0.7
    assert loud["above_db"] > 3
    assert soft["below"] > 0.95
    # Rounding to 16 bits adds a twelfth of a step, squared.
    rounding = 10 * math.log10((1e-6) ** 2 / ((2.0**-15) ** 2 / 12))
    assert soft["sixteen_bits"] == pytest.approx(rounding, abs=0.5)


def test_what_does_not_repeat_is_the_voice() -> None:
    rate, draw = 8000, torch.Generator().manual_seed(0)
    beat = 0.3 * torch.randn(4096, generator=draw) * torch.linspace(1, 0, 4096)
    time = torch.arange(12 * 4096) / rate
    voice = 0.2 * torch.sin(2 * torch.pi * (400 * time + 60 * torch.sin(0.7 * time)))
    voice = voice * (time % 3 > 2.2)
    mixture = (beat.repeat(12) + voice)[None, None]
    found = Repeating(rate, 1).separate(mixture)
    assert found.shape == mixture.shape
    before = float(si_sdr(voice, mixture[0, 0]))
    assert float(si_sdr(voice, found[0, 0])) > before + 3
    assert not Repeating(rate, 1).separate(torch.zeros(1, 1, 100)).any()
