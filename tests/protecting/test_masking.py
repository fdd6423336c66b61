"""The masking threshold: published values, and what must hold of any masker."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemproof.core.random import Draws
from stemproof.protecting.hearing import (
    FULL_SCALE_SPL,
    HIGHEST,
    bark,
    noise_index,
    quiet,
    spreading,
    tonal_index,
)
from stemproof.protecting.masked import MaskedBudget
from stemproof.protecting.masking import STEP, model_for

RATE = 44_100
# Of ISO/IEC 11172-3:1993, table D.1b (layer I, 44.1 kHz): Hz, Bark, threshold in quiet in dB.
TABLE = [
    (86.13, 0.850, 25.87),
    (172.27, 1.694, 14.85),
    (258.40, 2.525, 10.72),
    (344.53, 3.337, 8.50),
    (430.66, 4.124, 7.10),
    (516.80, 4.882, 6.11),
    (602.93, 5.608, 5.37),
    (689.06, 6.301, 4.79),
    (775.20, 6.959, 4.32),
    (861.33, 7.581, 3.92),
    (947.46, 8.169, 3.57),
    (1033.59, 8.723, 3.25),
]
# Edges of the critical bands of Zwicker (1961), in Hz: one Bark each.
EDGES = [100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720, 2000, 2320, 2700, 3150]
EDGES += [3700, 4400, 5300, 6400, 7700, 9500, 12_000, 15_500]


def levels(signal: np.ndarray) -> np.ndarray:
    model = model_for(RATE)
    return model.spl(model.spectra(torch.from_numpy(signal)))


def tone(hertz: float, decibels: float, seconds: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return 10 ** (decibels / 20) * np.sin(2 * np.pi * hertz * time)


def near(hertz: float) -> int:
    return int(np.argmin(np.abs(model_for(RATE).hertz - hertz)))


@pytest.mark.parametrize(("hertz", "z", "threshold"), TABLE)
def test_the_tables_of_the_standard(hertz: float, z: float, threshold: float) -> None:
    assert float(bark(hertz)) == pytest.approx(z, abs=0.002)
    assert float(quiet(hertz)) == pytest.approx(threshold, abs=0.02)


def test_critical_bands_are_those_of_zwicker_and_near_traunmueller() -> None:
    for number, edge in enumerate(EDGES, start=1):
        assert float(bark(edge)) == pytest.approx(number, abs=0.25)
    hertz = np.linspace(300, 6000, 50)
    traunmueller = 26.81 * hertz / (1960 + hertz) - 0.53  # 1990, eq. 6
    assert np.abs(bark(hertz) - traunmueller).max() < 0.35


def test_the_threshold_in_quiet_is_lowest_where_ears_are_best() -> None:
    hertz = np.arange(20, 20_000)
    assert 3000 < hertz[np.argmin(quiet(hertz))] < 3600
    assert quiet(hertz).min() == pytest.approx(-4.98, abs=0.02)
    assert quiet(1.0) == quiet(20.0)
    assert quiet(22_000.0) == HIGHEST


@pytest.mark.parametrize(
    ("apart", "level", "below"),
    [
        (0.0, 60, 0.0),
        (0.5, 60, -8.5),  # 17 dB a Bark
        (1.0, 60, -17.0),
        (2.0, 60, -25.0),  # then 17 - 0.15 * 60 = 8
        (2.0, 100, -19.0),  # the louder, the further up
        (-1.0, 60, -30.0),  # 0.4 * 60 + 6
        (-0.5, 60, -15.0),
        (-2.0, 60, -47.0),  # and 17 more a Bark
        (-3.5, 60, -np.inf),
        (8.0, 60, -np.inf),
    ],
)
def test_the_slopes_of_a_masker(apart: float, level: float, below: float) -> None:
    assert float(spreading(apart, level)) == pytest.approx(below)


def test_tones_mask_less_than_noise() -> None:
    z = np.linspace(1, 24, 20)
    assert (tonal_index(z) < noise_index(z)).all()
    assert float(tonal_index(10)) == pytest.approx(-8.775)
    assert float(noise_index(10)) == pytest.approx(-3.775)


def test_a_sine_of_full_scale_is_as_loud_as_is_said() -> None:
    hertz = model_for(RATE).hertz[100]
    assert levels(tone(hertz, 0)).max() == pytest.approx(FULL_SCALE_SPL, abs=0.01)
    assert levels(tone(hertz, -20)).max() == pytest.approx(FULL_SCALE_SPL - 20, abs=0.01)


def test_silence_gives_the_threshold_in_quiet() -> None:
    model = model_for(RATE)
    found = model.threshold(levels(np.zeros(3 * model.size)))
    assert np.allclose(found, model.quiet[:, None])
    assert not model.allowed(torch.zeros(1, 3 * model.size), 0.0).gt(1e-3).any()


def test_a_tone_is_found_and_masks_by_the_formula() -> None:
    model, hertz = model_for(RATE), model_for(RATE).hertz[near(1000)]
    level = levels(tone(hertz, -20))[:, 3]
    loud, places, is_tone = model.maskers(level, model.tonal(level[:, None])[:, 0])
    assert loud[is_tone] == pytest.approx([FULL_SCALE_SPL - 20 + 10 * np.log10(1.5)], abs=0.05)
    assert places[is_tone] == pytest.approx(bark([hertz]))
    found = model.threshold(level[:, None])[:, 0]
    for other in (700, 1000, 1200, 1600, 2500):
        k = near(other)
        wanted = loud[0] + float(tonal_index(places[0]))
        wanted += float(spreading(model.z[k] - places[0], loud[0]))
        both = 10 * np.log10(10 ** (wanted / 10) + 10 ** (model.quiet[k] / 10))
        # Between the places of the model it is interpolated.
        assert found[k] == pytest.approx(both, abs=27 * STEP)
        assert found[k] >= both - 0.5


def test_what_is_louder_masks_more_and_nothing_lies_below_quiet() -> None:
    model = model_for(RATE)
    draw = np.random.default_rng(3).standard_normal(4 * model.size) * 0.01
    signal = draw + tone(440, -30, 4 * model.size / RATE)
    soft, loud = (model.threshold(levels(signal * gain)) for gain in (1.0, 4.0))
    assert (loud >= soft - 1e-9).mean() > 0.99
    assert np.median(loud - soft) == pytest.approx(12, abs=2)
    assert (soft >= model.quiet[:, None] - 1e-9).all()


def test_noise_masks_up_more_than_down() -> None:
    model = model_for(RATE)
    found = model.threshold(levels(tone(2000, -10)))[:, 3]
    above, below = (np.searchsorted(model.z, bark(2000) + step) for step in (3, -3))
    assert found[above] > found[below] + 10


def test_a_perturbation_of_the_budget_stays_below_the_threshold() -> None:
    model, draw = model_for(RATE), np.random.default_rng(5)
    time = np.arange(RATE) / RATE
    song = 0.3 * np.sin(2 * np.pi * 330 * time) * np.exp(-3 * time) + 0.02 * draw.standard_normal(
        (2, RATE)
    )
    song[:, 20_000:24_000] = 0
    half = model.size // 2
    around = torch.from_numpy(np.pad(song, [(0, 0), (half, half)]).astype(np.float32))
    for margin in (0.0, 12.0):
        budget = MaskedBudget.of(around, half, margin, RATE)
        flat = torch.zeros(1, 2 * RATE)
        found = budget.inside(3 * budget.start(flat, Draws.of([0], "x")))
        assert float(budget.excess(found).max()) <= 1.001
        # Held against the threshold itself, by critical bands: one share a bin and no more.
        own = model.spl(budget.spectra(found))
        limit = np.stack([model.threshold(one) for one in model.spl(model.spectra(around))])
        assert (model.in_bands(own) <= limit + 0.5 - margin).mean() > 0.9995
        assert float(found.reshape(2, -1)[:, 21_500:22_500].abs().max()) < 1e-4
        assert float(found.abs().max()) > 1e-3
    assert float(budget.excess(budget.steepest(torch.randn(1, 2 * RATE))).median()) > 0.3
