"""Our BSSEval against museval: real, adversarial, silent, singular and short signals."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import AllParams

from stemproof.attacks.budgets import Bound
from stemproof.attacks.case import Case
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.objectives import OBJECTIVES
from stemproof.attacks.steps import STEP_RULES
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.figures.bsseval import (
    FIGURES,
    Estimate,
    Score,
    TrackEstimates,
    score,
    score_all,
    score_by_museval,
    score_sdr,
)
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.separator import InformedRSVM, as_separator

RATE = 2000


def separator_of(params: AllParams, name: str) -> InformedRSVM:
    _, settings = entry(params.separators, name)
    rate, samples = params.data.sample_rate, params.segment_samples
    return as_separator(build_model(params.rsvm.sizes, settings, rate, samples, 0))


def make_track(seed: int, samples: int = 6000, estimates: int = 2) -> TrackEstimates:
    """Colored noise, and estimates with interference, a filter and noise of their own."""
    draw = np.random.default_rng(seed)

    def noise() -> np.ndarray:
        return np.convolve(draw.standard_normal(samples), [1, 0.7, 0.3], "same")

    vocals, rest = noise(), noise()
    found = []
    for _ in range(estimates):
        estimate = np.convolve(vocals, [0.8, 0.2, -0.1])[:samples] + 0.2 * rest + 0.1 * noise()
        found.append(Estimate((vocals + rest).astype(np.float32), estimate.astype(np.float32)))
    mixture = (vocals + rest).astype(np.float32)
    return TrackEstimates(f"track {seed}", mixture, vocals.astype(np.float32), found)


def assert_same(ours: list[Score], theirs: list[Score], tolerance: float = 1e-5) -> None:
    assert len(ours) == len(theirs) > 0
    for own, their in zip(ours, theirs, strict=True):
        assert isinstance(own, dict), own
        assert isinstance(their, dict), their
        for figure in FIGURES:
            assert own[figure] == pytest.approx(their[figure], abs=tolerance), figure


@pytest.mark.parametrize("samples", [6000, 6789, 25_000, 1500])
def test_agrees_with_museval(samples: int) -> None:
    track = make_track(0, samples)
    assert_same(score(track, RATE), score_by_museval(track, RATE))


def test_the_sdr_is_the_windowed_snr() -> None:
    track = make_track(1)
    truth, estimate = (x.astype(np.float64) for x in (track.vocals, track.estimates[0].vocals))
    expected = [
        10
        * math.log10(
            np.sum(truth[w : w + RATE] ** 2)
            / np.sum((truth[w : w + RATE] - estimate[w : w + RATE]) ** 2)
        )
        for w in range(0, 6000, RATE)
    ]
    for method in (score, score_by_museval, score_sdr):
        figures = method(track, RATE)[0]
        assert isinstance(figures, dict)
        assert figures["sdr"] == pytest.approx(float(np.median(expected)), abs=1e-9)


def test_windows_with_silence_are_left_out_by_both() -> None:
    track = make_track(2, 10_000)
    track.vocals[2000:4000] = 0  # the true vocals
    track.estimates[0].vocals[4000:6000] = 0  # an estimate of the vocals
    track.estimates[1].heard[6000:8000] = track.estimates[1].vocals[6000:8000]  # of the rest
    theirs = score_by_museval(track, RATE)
    assert_same(score(track, RATE), theirs)
    for own, figures in zip(score_sdr(track, RATE), theirs, strict=True):
        assert isinstance(own, dict)
        assert isinstance(figures, dict)
        assert own == pytest.approx({"sdr": figures["sdr"]}, abs=1e-9)


@pytest.mark.slow
def test_what_cannot_be_scored_is_counted_not_fatal() -> None:
    silent, mute = make_track(3), make_track(4)
    silent.vocals[:] = 0
    mute.estimates[1].vocals[:] = 0
    for method in ("fast", "museval", "sdr"):
        of_silent, of_mute, of_good = score_all([silent, mute, make_track(5)], RATE, method, 2)
        assert all(isinstance(found, str) for found in of_silent), method
        assert isinstance(of_mute[0], dict)
        assert isinstance(of_mute[1], str)
        assert all(isinstance(found, dict) for found in of_good)


@pytest.mark.parametrize("method", [score, score_sdr])
def test_the_truth_itself_has_no_finite_figure(
    method: Callable[[TrackEstimates, int], list[Score]],
) -> None:
    track = make_track(8)
    track.estimates[0] = Estimate(track.mixture, track.vocals)
    perfect, good = method(track, RATE)
    assert isinstance(perfect, str)
    assert "infinite" in perfect
    assert isinstance(good, dict)


def test_dependent_references_are_solved_by_least_squares() -> None:
    """Accompaniment equal to the vocals: no unique filters, but figures nevertheless."""
    track = make_track(6)
    double = TrackEstimates("double", 2 * track.vocals, track.vocals, track.estimates)
    found = score(double, RATE)
    assert all(isinstance(figures, dict) for figures in found)


def test_adversarial_signals(make_params: Callable[..., AllParams]) -> None:
    params = make_params(segments={"seconds": 0.5})
    separator = separator_of(params, "improved")
    track = make_track(7, 4 * params.segment_samples, estimates=0)
    mixture, vocals = (torch.from_numpy(x).reshape(4, 1, -1) for x in (track.mixture, track.vocals))
    attack = GradientAttack(OBJECTIVES["si_sdr"], 10, 0.5, STEP_RULES["decaying"])
    case = Case.of(separator, mixture, vocals, Bound("linf", eps=0.05), seeds=range(4))
    for x in (case.mixture, attack(case).adversarial):
        estimate = case.separate(x).detach()
        track.estimates.append(Estimate(x.flatten().numpy(), estimate.flatten().numpy()))
    ours = score(track, RATE)
    assert_same(ours, score_by_museval(track, RATE), tolerance=1e-3)


@pytest.mark.slow
def test_real_music(previews: Path, tmp_path: Path, make_params: Callable[..., AllParams]) -> None:
    """Real songs, whose lossy coding makes the system of equations badly conditioned."""
    names = ["Al James - Schoolboy Facination", "PR - Oh No", "BKS - Too Much"]
    for split, chosen in (
        ("test", names),
        ("train", ["Actions - Devil's Words", "Actions - One Minute Smile"]),
    ):
        (tmp_path / "songs" / split).mkdir(parents=True)
        for name in chosen:
            file = f"{name}.stem.mp4"
            (tmp_path / "songs" / split / file).symlink_to(previews / split / file)
    params = make_params(
        data={"source": "musdb18", "root": str(tmp_path / "songs"), "sample_rate": 44_100}
    )
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    separator = separator_of(params, "baseline")
    for stored in PreparedData(tmp_path / "prepared").tracks("test"):
        mixture, vocals = (stored.mono(stem, 0, stored.samples) for stem in (0, 1))
        x, s = torch.from_numpy(mixture)[None, None], torch.from_numpy(vocals)[None, None]
        draw = np.random.default_rng(0)
        with torch.no_grad():
            blurred = separator.separate(x, separator.side(x, s))[0, 0].numpy()
        rough = 0.8 * vocals + 0.1 * (mixture - vocals) + 0.01 * draw.standard_normal(len(vocals))
        track = TrackEstimates(
            stored.name,
            mixture,
            vocals,
            [Estimate(mixture, blurred), Estimate(mixture, rough.astype(np.float32))],
        )
        assert_same(score(track, 44_100), score_by_museval(track, 44_100), tolerance=1e-3)
