"""What was crafted on one system, as another hears it: stated here once more, sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blind_cases import LENGTH, RATE, SAMPLES, SILENT, Crosstalk, stereo_data
from conftest import AllParams
from small import CPU, attack
from torch import Tensor

from stemproof.attacks.stored import Adversarials
from stemproof.auditing.bench import Bench
from stemproof.auditing.material import Material, choose_material
from stemproof.auditing.transfer import as_heard, played_across
from stemproof.data.store import PreparedData, PreparedTrack
from stemproof.separators.protocol import Side

EPS = 0.02
BATCH = 5


class Told:
    """Hears mono segments, and is told where the vocals are loud."""

    sample_rate, channels, twin = RATE, 1, None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return (vocals.abs() > 0.05).to(vocals)

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        assert side is not None
        return torch.tanh(3 * mixture) * (0.3 + side)


@dataclass(frozen=True)
class Attacked:
    """A system, what was stored for it, and what it is audited on."""

    separator: Any
    stored: Adversarials
    material: Material
    params: AllParams


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return stereo_data(tmp_path_factory.mktemp("stereo") / "prepared")


@pytest.fixture
def make(
    data: PreparedData, tmp_path: Path, make_params: Callable[..., AllParams]
) -> Callable[..., Attacked]:
    def make(name: str, seconds: float | None = None, norm: str = "linf") -> Attacked:
        quick = {"batch": BATCH, "eps": EPS, "pgd": {"steps": 3}, "excerpt": seconds, "norm": norm}
        everything = {"segments": 1000, "sparse_samples": 0}
        params = make_params(
            attack=quick, segments={"loud_db": 0.0}, audit={**everything, "excerpts": everything}
        )
        separator: Any = Told() if name == "informed" else Crosstalk()
        stored = attack(params, separator, data, tmp_path / f"{name}{seconds}{norm}")
        sections = params.attack, params.segments, data
        suite = params.audit.of("informed" if name == "informed" else "blind")
        found = choose_material(suite, *sections, "test", separator, CPU)
        return Attacked(separator, stored, found, params)

    return make


def track_of(data: PreparedData, name: str) -> PreparedTrack:
    return next(track for track in data.tracks("test") if track.name == name)


def parts_of(material: Material) -> list[tuple[str, int, int]]:
    """Track, first sample and end of every part."""
    assert material.excerpts is not None
    return [
        (material.excerpts.tracks[place.track].name, place.start, place.stop)
        for place in material.excerpts.places
    ]


EXCERPTS = pytest.mark.parametrize("seconds", [None, 0.5, 0.1])


@EXCERPTS
def test_a_perturbation_of_two_channels_reaches_mono_as_their_mean(
    data: PreparedData, make: Callable[..., Attacked], seconds: float | None
) -> None:
    blind, told = make("blind", seconds), make("informed")
    heard, known = as_heard(blind.stored, told.material)
    assert known.all()
    for row, (name, start, stop) in zip(heard, parts_of(told.material), strict=True):
        track = track_of(data, name)
        left, right = np.load(blind.stored.files[track.file]).astype(np.float64)[:, start:stop]
        first, second = track.mixture[:, start:stop].astype(np.float64)
        wanted = (first + second) / 2 + ((left - first) + (right - second)) / 2
        np.testing.assert_allclose(row.numpy(), wanted, atol=1e-7)
        delta = row.double().numpy() - (first + second) / 2
        assert 0.1 * EPS < np.abs(delta).max() <= EPS + 1e-7
        # Not what either channel by itself would be.
        assert np.abs(delta - (left - first)).max() > 1e-3


@EXCERPTS
def test_a_perturbation_in_mono_is_added_to_every_channel(
    data: PreparedData, make: Callable[..., Attacked], seconds: float | None
) -> None:
    told, blind = make("informed"), make("blind", seconds)
    heard, known = as_heard(told.stored, blind.material)
    assert known.all()
    rows = heard.reshape(len(heard), 2, -1).double().numpy()
    rests = 0
    for row, (name, start, stop) in zip(rows, parts_of(blind.material), strict=True):
        track = track_of(data, name)
        recording = track.mixture[:, start:stop].astype(np.float64)
        mono = track.mixture.astype(np.float64).mean(axis=0)
        attacked = np.load(told.stored.files[track.file])[0].astype(np.float64)
        assert len(attacked) == track.samples // LENGTH * LENGTH
        for sample in range(start, stop):
            # Behind the last whole segment nothing was attacked.
            added = attacked[sample] - mono[sample] if sample < len(attacked) else 0.0
            wanted = recording[:, sample - start] + added
            assert np.abs(row[:, sample - start] - wanted).max() < 1e-7
        delta = row - recording
        assert 0.5 * EPS < np.abs(delta).max() <= EPS + 1e-7
        rest = delta[:, max(len(attacked) - start, 0) :]
        rests += rest.shape[1] > 0
        assert not rest.any()
    # Parts are cut to the shortest, which ends behind a last segment, or is one.
    assert rests == {None: 1, 0.5: 0, 0.1: 0}[seconds]


@EXCERPTS
def test_what_was_crafted_on_the_system_itself_is_heard_as_it_was(
    data: PreparedData, make: Callable[..., Attacked], seconds: float | None
) -> None:
    for own in (make("informed"), make("blind", seconds)):
        heard, known = as_heard(own.stored, own.material)
        assert known.all()
        rows = heard.reshape(own.material.mixture.shape).numpy()
        for row, (name, start, stop) in zip(rows, parts_of(own.material), strict=True):
            stored = np.load(own.stored.files[track_of(data, name).file])
            assert np.array_equal(row, stored[:, start:stop])


@pytest.mark.parametrize("other", [0.5, 0.1])
def test_excerpts_of_other_lengths_are_of_the_same_recording(
    data: PreparedData, make: Callable[..., Attacked], other: float
) -> None:
    """A perturbation belongs to the recording, and not to the parts it was crafted in."""
    source, hears = make("blind", None), make("blind", other)
    heard, known = as_heard(source.stored, hears.material)
    assert known.all()
    rows = heard.reshape(hears.material.mixture.shape).numpy()
    assert rows.shape[-1] < min(SAMPLES["test"])
    for row, (name, start, stop) in zip(rows, parts_of(hears.material), strict=True):
        stored = np.load(source.stored.files[track_of(data, name).file])
        assert np.array_equal(row, stored[:, start:stop])


def test_recordings_that_were_not_attacked_are_left_out_and_counted(
    make: Callable[..., Attacked],
) -> None:
    told, blind = make("informed"), make("blind")
    kept = {file: path for file, path in blind.stored.files.items() if file != "test-1.npy"}
    partial = replace(blind.stored, files=kept)
    heard, known = as_heard(partial, told.material)
    names = np.array(told.material.tracks)
    assert (known == (names != "test 1")).all() and 0 < known.sum() < len(known)
    missing = torch.from_numpy(~known)
    assert torch.equal(heard[missing], told.material.mixture.flatten(1)[missing])
    benches = {
        name: Bench(of.separator, of.material, of.material, of.params.attack)
        for name, of in (("told", told), ("blind", blind))
    }
    crossed = played_across(benches, {"told": told.stored, "blind": partial})
    assert crossed["told"]["told"]["parts"] == len(known)
    assert crossed["told"]["blind"]["parts"] == known.sum()
    # Medians are over the parts that both were crafted on.
    clean, whole = (benches["told"].outcome(x) for x in (benches["told"].mixture, heard))
    own = benches["told"].outcome(as_heard(told.stored, told.material)[0])
    for key, before in (("drop", clean), ("gain", own)):
        losses = [(before - whole)[(names == name) & known] for name in ("test 0", "test 2")]
        wanted = float(np.median([np.median(loss) for loss in losses]))
        assert crossed["told"]["blind"][key] == pytest.approx(wanted, abs=1e-9)
    # A system's own is the reference of its gain, and costs more than what came from elsewhere.
    for name in benches:
        assert crossed[name][name]["gain"] == 0
    assert crossed["told"]["blind"]["gain"] < 0 < crossed["told"]["blind"]["drop"]
    # Nothing of the recording was attacked: no figure, and none of it counts.
    empty = played_across(benches, {"told": told.stored, "blind": replace(partial, files={})})
    assert empty["told"]["blind"]["parts"] == 0
    assert np.isnan(empty["told"]["blind"]["drop"])


def test_the_silent_track_is_nobodys_part(make: Callable[..., Attacked]) -> None:
    for own in (make("informed"), make("blind")):
        assert SILENT not in own.material.tracks
