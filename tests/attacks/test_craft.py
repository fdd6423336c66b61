"""What a segment gets does not depend on the batch that it is attacked in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from attack_toys import Gain, Saturating, small_rsvm, small_segments, small_tracks
from torch import Tensor

from stemproof.attacks.budgets import Bound
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case, Found
from stemproof.attacks.craft import Crafted, case_of, craft, prepared
from stemproof.attacks.params import AttackSection
from stemproof.core.errors import InputError
from stemproof.core.random import Draws
from stemproof.data.excerpts import Excerpts
from stemproof.data.store import PreparedTrack
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.protocol import Separator, Side, redrawn, side_of

MakeParams = Callable[..., Any]
CPU = torch.device("cpu")
QUICK = {
    "eps": 0.02,
    "pgd": {"steps": 4},
    "search": {"queries": 25},
    "nes": {"queries": 40, "population": 6},
    "minimal": {"drop": 1.0},
    "sparse": {"rounds": 4},
}
COUNTS = (7, 6, 4)  # segments of each track
LENGTH = 600


def crafted(
    make_params: MakeParams, separator: Separator, segments: Excerpts, **attack: Any
) -> Crafted:
    params = make_params(attack={**QUICK, **attack}).attack
    ready = prepared(params, separator, segments, -100.0, CPU)
    return craft(params, ready, separator, segments, range(len(segments)), CPU)


def scores(separator: Separator, segments: Excerpts, adversarial: Any) -> Tensor:
    """SI-SDR of every segment, under draws of its own."""
    mixture, vocals = segments.read(range(len(segments)))
    seeds = [segments.seed(number, "test") for number in range(len(segments))]
    side = side_of(separator, mixture, vocals)
    heard = torch.from_numpy(np.stack(adversarial))
    estimate = redrawn(separator, seeds).separate(heard, side)
    return si_sdr(vocals.flatten(1), estimate.flatten(1))


def assert_the_batch_does_not_matter(
    make_params: MakeParams, separator: Separator, segments: Excerpts, **attack: Any
) -> None:
    found = {
        batch: crafted(make_params, separator, segments, batch=batch, **attack)
        for batch in (1, 5, 16)
    }
    alone = scores(separator, segments, found[1].adversarial)
    mixture, _ = segments.read(range(len(segments)))
    assert (scores(separator, segments, mixture.numpy()) - alone).abs().max() > 0.01  # an attack
    for batch in (5, 16):
        assert found[batch].losses.shape == found[1].losses.shape
        together = scores(separator, segments, found[batch].adversarial)
        assert (together - alone).abs().max() < 1e-4
        assert np.abs(found[batch].losses - found[1].losses).max() < 1e-4


EVERY = [
    ("pgd", "linf"),
    ("pgd", "l2"),
    ("search", "linf"),
    ("nes", "linf"),
    ("noise", "linf"),
    ("noise", "l0"),
    ("fgsm", "linf"),
    ("minimal", "l2"),
    ("sparse", "l0"),
]


@pytest.mark.parametrize(("method", "norm"), EVERY)
def test_a_figure_does_not_depend_on_the_batch(
    make_params: MakeParams, method: str, norm: str
) -> None:
    separator = small_rsvm(make_params)
    segments = small_segments(COUNTS, LENGTH)
    assert_the_batch_does_not_matter(make_params, separator, segments, method=method, norm=norm)


@pytest.mark.slow
@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize(("method", "norm"), EVERY)
def test_nor_does_it_for_a_random_system(
    make_params: MakeParams, method: str, norm: str, passes: int
) -> None:
    separator = small_rsvm(make_params, dropout=0.2, dropout_at_test=True)
    segments = small_segments((3, 3), LENGTH)
    attack = {"method": method, "norm": norm, "eot_samples": passes}
    assert_the_batch_does_not_matter(make_params, separator, segments, **attack)


def test_restarts_do_not_depend_on_the_batch_either(make_params: MakeParams) -> None:
    separator = small_rsvm(make_params)
    segments = small_segments((3, 3), LENGTH)
    assert_the_batch_does_not_matter(make_params, separator, segments, restarts=3)
    once = crafted(make_params, separator, segments)
    often = crafted(make_params, separator, segments, restarts=3)
    assert (often.losses[:, -1] >= once.losses[:, -1]).all()
    assert (often.losses[:, -1] > once.losses[:, -1]).any()


@pytest.mark.parametrize("norm", ["linf", "l2", "l0"])
def test_random_starts_are_the_same_numbers_in_any_company(norm: Any) -> None:
    mixture = torch.randn(6, 1, 300, generator=torch.Generator().manual_seed(0))
    bound = Bound(norm, eps=0.01, snr=30, samples=9, amplitude=0.1)
    seeds = [11, 12, 13, 14, 15, 16]

    def starts(items: list[int]) -> Tensor:
        flat = mixture[items].flatten(1)
        return bound.budget(flat).start(flat, Draws.of([seeds[item] for item in items], "start"))

    everyone = starts(list(range(6)))
    for company in ([2], [2, 0], [5, 4, 2]):
        assert torch.equal(starts(company)[company.index(2)], everyone[2])
    assert not torch.equal(everyone[0], everyone[1])


def test_a_start_is_of_the_track_the_place_and_the_seed(make_params: MakeParams) -> None:
    params = make_params(attack=QUICK).attack
    other = make_params(attack={**QUICK, "seed": 1}).attack
    system, segments = Gain(1.0), small_segments((3, 2), LENGTH)
    case = case_of(params, system, segments, range(5), CPU)
    assert len(set(case.seeds)) == 5
    assert case_of(params, system, segments, [3], CPU).seeds == case.seeds[3:4]
    # The track as it is, in another list of tracks.
    alone = Excerpts.segments(segments.tracks[1:], LENGTH)
    assert case_of(params, system, alone, [0], CPU).seeds == case.seeds[3:4]
    assert not set(case_of(other, system, segments, range(5), CPU).seeds) & set(case.seeds)


def test_passes_and_bound_are_those_of_the_parameters(make_params: MakeParams) -> None:
    params = make_params(attack={**QUICK, "eot_samples": 4}).attack
    case = case_of(params, Gain(1.0), small_segments((2,), LENGTH), [0, 1], CPU)
    assert case.passes == 4
    assert torch.allclose(case.budget.radius, torch.full((2, 1), 0.02))


def test_channels_come_back_as_channels(make_params: MakeParams) -> None:
    excerpts = Excerpts.recordings(small_tracks((2, 1), 300, channels=2), 300, 300)
    found = crafted(make_params, Saturating(3.0, channels=2), excerpts)
    # The rest of 17 samples belongs to the last excerpt of a track.
    assert [part.shape for part in found.adversarial] == [(2, 300), (2, 317), (2, 317)]
    assert found.losses.shape == (3, 5)
    for number, part in enumerate(found.adversarial):
        mixture, _ = excerpts.read([number])
        assert np.abs(part - mixture[0].numpy()).max() <= 0.02 + 1e-6
        assert (np.abs(part - mixture[0].numpy()).max(-1) > 0.01).all()  # in every channel


def test_the_track_that_gives_no_number_is_named(make_params: MakeParams) -> None:
    class Broken(Saturating):
        def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
            loud = mixture.abs().amax(-1, keepdim=True) > 5
            return torch.where(loud, torch.nan, 1.0) * super().separate(mixture, side)

    segments = small_segments((2, 2, 1), 300)
    np.asarray(segments.tracks[1].audio)[0, 0, 310] = 7.0  # in its second segment
    with pytest.raises(InputError) as error:
        crafted(make_params, Broken(3.0), segments)
    said = str(error.value)
    assert said.startswith("track 1: output, loss or gradient is not a number on 1 of 5 parts")
    assert "whose samples reach 7" in said


def test_a_universal_perturbation_is_learned_on_the_training_split(
    make_params: MakeParams,
) -> None:
    params = make_params(attack={**QUICK, "method": "universal"}).attack
    training, test = small_segments((5,), 300), small_segments((2,), 300)
    system = Saturating(3.0)
    learned: Any = prepared(params, system, training, -100.0, CPU)
    assert learned.delta.shape == (1, 300)
    found = craft(params, learned, system, test, [0, 1], CPU)
    mixture, _ = test.read([0, 1])
    delta = torch.from_numpy(np.stack(found.adversarial)) - mixture
    assert torch.allclose(delta[0], delta[1], atol=1e-6)
    known: Any = prepared(params, system, training, -100.0, CPU, learned.delta)
    assert torch.equal(known.delta, learned.delta)
    assert known.objective is build_attack(params).objective  # type: ignore[attr-defined]
    with pytest.raises(InputError, match=r"no training segment has audible vocals.*loud_db"):
        prepared(params, system, training, 100.0, CPU)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (lambda f: (f.adversarial, f.losses), "gives tuple, not Found"),
        (lambda f: replace(f, adversarial=f.adversarial[:, 1:]), r"gives mixtures of \(2, 999\)"),
        (
            lambda f: replace(f, adversarial=f.adversarial.double()),
            "gives mixtures in torch.float64",
        ),
        (lambda f: replace(f, losses=f.losses[:, 0]), r"gives losses of \(2,\), not batch x steps"),
    ],
)
def test_what_an_attack_gives_is_checked(found: Any, said: str) -> None:
    def attack(case: Case) -> Any:
        return found(Found(case.mixture, torch.zeros(len(case.mixture), 2)))

    with pytest.raises(InputError, match=f"attack.method = pgd {said}"):
        craft(AttackSection(), attack, Shorter(0), two_segments(), [0, 1], CPU)


class Shorter:
    """A separator that loses samples, or an axis."""

    sample_rate, channels = 4000, 1

    def __init__(self, lost: int) -> None:
        self.lost = lost

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return mixture[:, 0] if self.lost < 0 else mixture[..., self.lost :]


def two_segments() -> Excerpts:
    audio = 0.1 * np.random.default_rng(0).standard_normal((2, 1, 2000)).astype(np.float32)
    return Excerpts.segments([PreparedTrack("song", "song.npy", audio)], 1000)


@pytest.mark.parametrize("lost", [3, -1])
def test_a_separator_that_gives_another_shape_is_refused(lost: int) -> None:
    params = AttackSection()
    with pytest.raises(InputError, match=r"separator Shorter gives .* for a mixture of \(2, 1, 1"):
        craft(
            params, build_attack(params), Shorter(lost), two_segments(), [0, 1], torch.device("cpu")
        )
