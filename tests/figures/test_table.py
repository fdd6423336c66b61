"""Every figure of the table on hand-made signals, against formulas of its own."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stemproof.figures import table
from stemproof.figures.figure import Figure
from stemproof.figures.played import Played
from stemproof.figures.table import by_key, compared, measured, per_segment

Signal = NDArray[np.float64]
DRAWS = 4


def signals(seed: int = 0) -> dict[str, Signal]:
    """Two segments of 200 samples of everything that was played."""
    draw = np.random.default_rng(seed)
    shape = (2, 200)
    vocals = draw.standard_normal(shape)
    mixture = vocals + 0.7 * draw.standard_normal(shape)
    return {
        "vocals": vocals,
        "mixture": mixture,
        "adversarial": mixture + 0.01 * draw.choice([-1, 1], shape),
        "clean": vocals + 0.3 * draw.standard_normal(shape),
        "attacked": vocals + 0.5 * draw.standard_normal(shape),
        "noisy": vocals + 0.35 * draw.standard_normal((DRAWS, *shape)),
        "reconstruction": 3 * vocals + 0.1 * draw.standard_normal(shape),
        "oracle": vocals + 0.2 * draw.standard_normal(shape),
    }


def played(**changes: None) -> Played:
    known = {key: torch.from_numpy(value) for key, value in signals().items()}
    noisy = list(known.pop("noisy"))
    return Played(**{**known, "noisy": noisy, **changes})  # type: ignore[arg-type]


def angle_sdr(vocals: Signal, estimate: Signal) -> float:
    """SI-SDR through the angle between the two: cot^2 of it, in dB."""
    cosine = vocals @ estimate / (np.linalg.norm(vocals) * np.linalg.norm(estimate))
    return 10 * math.log10(cosine**2 / (1 - cosine**2))


def sdr(heard: str) -> Callable[[dict[str, Signal], int], float]:
    return lambda s, n: angle_sdr(s["vocals"][n], s[heard][n])


def noise_sdr(s: dict[str, Signal], n: int) -> list[float]:
    return [angle_sdr(s["vocals"][n], draw[n]) for draw in s["noisy"]]


def gain(s: dict[str, Signal], n: int) -> float:
    moved = math.dist(s["attacked"][n], s["clean"][n])
    return moved / math.dist(s["adversarial"][n], s["mixture"][n])


FORMULAS: dict[str, Callable[[dict[str, Signal], int], float]] = {
    "si_sdr": sdr("reconstruction"),
    "bs": sdr("clean"),
    "at_bs": sdr("attacked"),
    "drop": lambda s, n: sdr("clean")(s, n) - sdr("attacked")(s, n),
    "noise_bs": lambda s, n: sum(noise_sdr(s, n)) / DRAWS,
    "noise_drop": lambda s, n: sdr("clean")(s, n) - sum(noise_sdr(s, n)) / DRAWS,
    "noise_worst_drop": lambda s, n: sdr("clean")(s, n) - min(noise_sdr(s, n)),
    "mixture_si_sdr": sdr("mixture"),
    "stft_bs": sdr("oracle"),
    # Every sample moves by 0.01.
    "perturbation_snr": lambda s, n: (
        20 * math.log10(np.linalg.norm(s["mixture"][n]) / 0.01) - 10 * math.log10(200)
    ),
    "output_gain": gain,
    # Over all that is heard at once, and not per segment.
    "excerpt_bs": sdr("clean"),
    "excerpt_at_bs": sdr("attacked"),
    "excerpt_drop": lambda s, n: sdr("clean")(s, n) - sdr("attacked")(s, n),
}
MINUS = {"rb": ("bs", "at_bs"), "rb_net": ("noise_bs", "at_bs")}


def test_every_figure_has_a_formula_here() -> None:
    assert set(FORMULAS) == {figure.key for figure in per_segment()}
    assert {key: figure.minus for key, figure in by_key().items() if figure.minus} == MINUS


@pytest.mark.parametrize("key", FORMULAS)
def test_a_figure_is_its_formula(key: str) -> None:
    found = measured(played(), by_key()[key].per)[key]
    expected = [FORMULAS[key](signals(), number) for number in range(2)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("lacks", "absent"), [("reconstruction", {"si_sdr"}), ("oracle", {"stft_bs"})]
)
def test_what_does_not_apply_is_left_out(lacks: str, absent: set[str]) -> None:
    figures = measured(played(**{lacks: None}))
    assert set(measured(played())) - set(figures) == absent
    assert all(torch.isfinite(values).all() for values in figures.values())


def test_figures_are_of_a_segment_or_of_an_excerpt() -> None:
    of_excerpts = {key for key in FORMULAS if key.startswith("excerpt_")}
    assert set(measured(played(), "excerpt")) == of_excerpts
    assert set(measured(played())) == set(FORMULAS) - of_excerpts


def test_keys_are_different_and_differences_are_of_what_is_measured() -> None:
    assert len(by_key()) == len(table.FIGURES)
    count = sum(bool(figure.compared) + figure.song_by_song for figure in table.FIGURES)
    assert len(compared()) == count
    measured_keys = {figure.key for figure in per_segment()}
    for figure in table.FIGURES:
        assert set(figure.minus or ()) <= measured_keys


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "either `measure` or `minus`"),
        ({"measure": lambda p: p.mixture, "minus": ("bs", "at_bs")}, "either `measure` or"),
        ({"minus": ("bs", "at_bs"), "part": "clean"}, "a figure of a claim has an interval"),
    ],
)
def test_an_entry_that_says_too_much_or_too_little(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Figure("x", "x", "dB", "x", **change)  # type: ignore[arg-type]
