"""Blind systems are attacked on recordings, and scored segment by segment and as a whole.

What is expected is computed here once more, from the recordings and from what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from blind_cases import LENGTH, RATE, SAMPLES, SILENT, Crosstalk, Mono, stereo_data
from conftest import AllParams
from numpy.typing import NDArray
from small import CPU, attack, new_model, opened, score

from stemproof.attacks.stored import Adversarials
from stemproof.attacks.threat import fitted, threat_of
from stemproof.core.errors import InputError
from stemproof.core.shards import Shard
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.figures.summary import Scored
from stemproof.separators.protocol import Separator
from stemproof.separators.rsvm.separator import as_separator

MakeParams = Callable[..., AllParams]
Signal = NDArray[np.float64]
LOUD = 0.0  # dB: a norm of one
CLOSE = 1e-3  # dB
EXCERPTS = [None, 0.5, 0.1]  # seconds; the last is less than a segment


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return stereo_data(tmp_path_factory.mktemp("stereo") / "prepared")


def parameters(make_params: MakeParams, batch: int = 5, **changes: Any) -> AllParams:
    quick = {"batch": batch, "eps": 0.02, "pgd": {"steps": 3}, **changes}
    return make_params(attack=quick, segments={"loud_db": LOUD}, evaluate={"batch": batch})


def cuts(samples: int, seconds: float | None) -> Iterator[tuple[int, int]]:
    """First sample and end of the excerpts of a recording."""
    if seconds is None:
        yield 0, samples
        return
    own = max(int(seconds * RATE) // LENGTH, 1) * LENGTH
    start = 0
    while samples - start >= own + LENGTH:
        yield start, start + own
        start += own
    yield start, samples


def si_sdr(reference: Signal, estimate: Signal) -> float:
    """Le Roux et al. (2019), equation 4, over all channels together."""
    s, e = np.ravel(reference), np.ravel(estimate)
    target = (s @ e) / (s @ s) * s
    return float(10 * np.log10((target @ target) / ((target - e) @ (target - e))))


def ratio(signal: Signal, noise: Signal) -> float:
    return float(10 * np.log10(np.sum(np.square(signal)) / np.sum(np.square(noise))))


def figures(x: Signal, s: Signal, x_adv: Signal, clean: Signal, attacked: Signal) -> dict[str, Any]:
    bs, at_bs = si_sdr(s, clean), si_sdr(s, attacked)
    return {
        "bs": bs,
        "at_bs": at_bs,
        "drop": bs - at_bs,
        "perturbation_snr": ratio(x, x_adv - x),
        "output_gain": float(np.linalg.norm(attacked - clean) / np.linalg.norm(x_adv - x)),
        "mixture_si_sdr": si_sdr(s, x),
    }


def expected(
    separator: Separator, data: PreparedData, stored: Adversarials, seconds: float | None
) -> pd.DataFrame:
    """Medians over the loud segments, and over the excerpts with one, of every track."""
    rows = {}
    for track in data.tracks("test"):
        adversarial = np.load(stored.files[track.file])
        mixture, vocals = np.array(track.audio)
        segments, whole = [], []
        for start, stop in cuts(track.samples, seconds):
            heard = [signal[:, start:stop] for signal in (mixture, adversarial)]
            clean, attacked = (separator.separate(torch.from_numpy(h)[None])[0] for h in heard)
            parts = [
                np.asarray(part, dtype=np.float64)
                for part in (heard[0], vocals[:, start:stop], heard[1], clean, attacked)
            ]
            loud = []
            for first in range(0, stop - start - LENGTH + 1, LENGTH):
                window = [part[:, first : first + LENGTH] for part in parts]
                loud.append(np.linalg.norm(window[1].mean(0)) >= 10 ** (LOUD / 10))
                if loud[-1]:
                    segments.append(figures(*window))
            if any(loud):
                found = figures(*parts)
                whole.append({f"excerpt_{key}": found[key] for key in ("bs", "at_bs", "drop")})
        if segments:
            medians = {**pd.DataFrame(segments).median(), **pd.DataFrame(whole).median()}
            rows[track.name] = {"segments": len(segments), **medians}
    return pd.DataFrame.from_dict(rows, orient="index")


def close(found: pd.DataFrame, other: pd.DataFrame, tolerance: float = CLOSE) -> None:
    pd.testing.assert_frame_equal(
        found, other, check_exact=False, rtol=0, atol=tolerance, check_names=False,
        check_dtype=False,
    )  # fmt: skip


@pytest.mark.parametrize("seconds", EXCERPTS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_figures_are_those_of_what_is_stored(
    data: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    norm: str,
    seconds: float | None,
) -> None:
    params = parameters(make_params, norm=norm, excerpt=seconds)
    system = fitted(Crosstalk(), data)
    assert threat_of(system) == "blind"
    stored = attack(params, system, data, tmp_path)
    found = score(params, system, data, stored)
    wanted = expected(system, data, stored, seconds)
    close(found.tracks[wanted.columns], wanted)
    assert wanted["drop"].min() > 0.1  # an attack
    # Of an excerpt that is a segment the two are one.
    differ = (wanted["drop"] - wanted["excerpt_drop"]).abs() > 1e-6
    assert differ.to_dict() == {"test 0": True, "test 1": seconds != 0.1, "test 2": True}
    # The rest: the controls, and nothing that a blind system has not.
    more = set(found.tracks.columns) - set(wanted.columns)
    assert more == {"noise_bs", "noise_drop", "noise_worst_drop"}
    assert (found.tracks["noise_bs"] > found.tracks["at_bs"]).all()


@pytest.mark.parametrize("seconds", EXCERPTS)
def test_silence_is_left_out_and_counted(
    data: PreparedData, tmp_path: Path, make_params: MakeParams, seconds: float | None
) -> None:
    """As for a system that hears segments: one of every track, and a track without vocals."""
    params = parameters(make_params, excerpt=seconds)
    told = as_separator(new_model(params, "baseline", 1))
    counts = []
    for name, system in (("told", told), ("blind", Crosstalk())):
        stored = attack(params, system, data, tmp_path / name)
        found = score(params, system, data, stored)
        assert found.tracks["segments"].to_dict() == {"test 0": 3, "test 1": 6, "test 2": 2}
        assert SILENT not in found.tracks.index
        counts.append({key: found.counts[key] for key in ("n_segments", "n_skipped")})
    assert counts[0] == counts[1] == {"n_segments": 11, "n_skipped": 3 + 2}


@pytest.mark.parametrize("seconds", EXCERPTS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_budget_is_of_what_is_heard_at_once(
    data: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    norm: str,
    seconds: float | None,
) -> None:
    params = parameters(make_params, norm=norm, snr=25.0, excerpt=seconds)
    stored = attack(params, Crosstalk(), data, tmp_path)
    largest = []
    for track in data.tracks("test"):
        adversarial = np.load(stored.files[track.file])
        # Channels x samples of the whole recording, with the rest behind the last segment.
        assert adversarial.shape == track.mixture.shape and adversarial.dtype == np.float32
        clean = np.asarray(track.mixture, dtype=np.float64)
        delta = adversarial.astype(np.float64) - clean
        for start, stop in cuts(track.samples, seconds):
            part = delta[:, start:stop]
            if norm == "linf":
                used = np.abs(part).max(-1) / 0.02  # of every channel
            else:
                radius = np.linalg.norm(clean[:, start:stop]) * 10 ** (-25 / 20)
                used = np.linalg.norm(part) / np.float32(radius)
            assert np.all(used > 0.5) and np.all(used <= 1)
            largest.append(np.max(used))
    assert stored.budget_used == pytest.approx(max(largest), rel=1e-6)
    assert len(largest) == {None: 4, 0.5: 2 + 4 + 2 + 1, 0.1: 4 + 7 + 3 + 2}[seconds]


def test_without_a_length_a_system_hears_the_whole_recording(
    data: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    heard: set[int] = set()

    class Listening(Crosstalk):
        def separate(self, mixture: torch.Tensor, side: Any = None) -> torch.Tensor:
            heard.add(mixture.shape[-1])
            return super().separate(mixture, side)

    params = parameters(make_params)
    assert params.attack.excerpt is None
    score(params, Listening(), data, attack(params, Listening(), data, tmp_path / "whole"))
    assert heard == set(SAMPLES["test"])
    heard.clear()
    params = parameters(make_params, excerpt=0.5)
    score(params, Listening(), data, attack(params, Listening(), data, tmp_path / "excerpts"))
    assert heard == {2000, 2017, 1000, 1400, 2300}


@pytest.mark.parametrize("seconds", EXCERPTS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_batch_changes_no_figure(
    data: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    norm: str,
    seconds: float | None,
) -> None:
    tables = []
    for batch in (1, 6, 64):
        params = parameters(make_params, batch, norm=norm, excerpt=seconds)
        stored = attack(params, Crosstalk(), data, tmp_path / str(batch))
        tables.append(score(params, Crosstalk(), data, stored).tracks)
    close(tables[1], tables[0], 1e-4)
    close(tables[2], tables[0], 1e-4)


class Alone(Shard):
    """One of two processes that do not run at the same time."""

    def wait(self) -> None:
        pass

    def gathered(self, own: Sequence[Any]) -> list[Any]:
        return list(own)


@pytest.mark.parametrize("seconds", [None, 0.5])
def test_processes_share_the_tracks(
    data: PreparedData, tmp_path: Path, make_params: MakeParams, seconds: float | None
) -> None:
    params = parameters(make_params, excerpt=seconds)
    whole = attack(params, Crosstalk(), data, tmp_path / "one")
    with pytest.raises(InputError, match="no such file"):  # the first one stores what all found
        attack(params, Crosstalk(), data, tmp_path / "two", shard=Alone(1, 2))
    shared = attack(params, Crosstalk(), data, tmp_path / "two", shard=Alone(0, 2))
    for file in whole.folder.iterdir():
        assert file.read_bytes() == (shared.folder / file.name).read_bytes(), file.name
    table = score(params, Crosstalk(), data, whole).tracks
    settings = (params.evaluate, params.attack, params.segments, params.workers, params.processes)
    parts = [
        Evaluator("x", Crosstalk(), None, *settings, CPU).evaluate(data, shared, Alone(rank, 2))
        for rank in (0, 1)
    ]
    assert [list(part.tracks.index) for part in parts] == [["test 0", "test 2"], ["test 1"]]
    together: Scored = parts[0]
    close(pd.concat([together.tracks, parts[1].tracks]).loc[table.index], table, 1e-4)


@pytest.mark.parametrize("seconds", [None, 0.5])
def test_a_system_of_another_rate_is_attacked_on_the_recording(
    data: PreparedData, tmp_path: Path, make_params: MakeParams, seconds: float | None
) -> None:
    """A mono system for 8 kHz, on stereo recordings of 4 kHz."""
    inside = Mono()
    system = fitted(inside, data)
    assert (system.sample_rate, system.channels) == (RATE, 2)
    params = parameters(make_params, excerpt=seconds)
    stored = attack(params, system, data, tmp_path)
    assert {shape[1] for shape in inside.heard} == {1}
    lengths = {stop - start for n in SAMPLES["test"] for start, stop in cuts(n, seconds)}
    assert {shape[2] for shape in inside.heard} == {2 * length for length in lengths}
    for track in data.tracks("test"):
        delta = np.load(stored.files[track.file]).astype(np.float64) - track.mixture
        assert delta.shape == (2, track.samples)
        assert (np.abs(delta).max(-1) > 0.01).all() and np.abs(delta).max() <= 0.02
        assert not np.allclose(delta[0], delta[1], atol=0.01)  # channels are attacked apart
    found = score(params, system, data, stored)
    wanted = expected(system, data, stored, seconds)
    close(found.tracks[wanted.columns], wanted)
    # What was found for one system can be played to any other.
    played = score(params, fitted(Crosstalk(), data), data, stored)
    other = expected(Crosstalk(), data, stored, seconds)
    close(played.tracks[other.columns], other)
    assert (other["drop"] < wanted["drop"]).all()


@pytest.mark.parametrize("seconds", [None, 0.5, 0.1])
def test_one_perturbation_for_all_is_played_from_its_beginning(
    tmp_path: Path, make_params: MakeParams, seconds: float | None
) -> None:
    """To excerpts of all lengths; it is learned on parts of the longest one's length."""
    samples = {"train": (9003, 7003), "test": SAMPLES["test"]}
    data = stereo_data(tmp_path / "prepared", samples)
    changes = {"method": "universal", "universal": {"epochs": 3}, "excerpt": seconds}
    params = parameters(make_params, **changes)
    stored = attack(params, Crosstalk(), data, tmp_path)
    longest = {None: 7000, 0.5: 2300, 0.1: 1400}[seconds]
    delta = stored.universal.numpy().reshape(2, longest)
    assert np.abs(delta).max() == pytest.approx(0.02)
    assert (delta[0] != delta[1]).any()
    for track in data.tracks("test"):
        found = np.load(stored.files[track.file]) - track.mixture
        for start, stop in cuts(track.samples, seconds):
            assert np.allclose(found[:, start:stop], delta[:, : stop - start], atol=1e-6)
    wanted = expected(Crosstalk(), data, stored, seconds)
    close(score(params, Crosstalk(), data, stored).tracks[wanted.columns], wanted)


@pytest.mark.parametrize(("seconds", "longest"), [(None, 7000), (1.0, 4017)])
def test_training_recordings_too_short_for_one_perturbation(
    tmp_path: Path, make_params: MakeParams, seconds: float | None, longest: int
) -> None:
    data = stereo_data(tmp_path / "prepared", {"train": (4016, 3000), "test": SAMPLES["test"]})
    params = parameters(make_params, method="universal", excerpt=seconds)
    with pytest.raises(InputError, match=rf"no training .* has the {longest} samples .* attack.ex"):
        attack(params, Crosstalk(), data, tmp_path)
    # One that is long enough suffices.
    data = stereo_data(tmp_path / "other", {"train": (longest, 3000), "test": SAMPLES["test"]})
    stored = attack(params, Crosstalk(), data, tmp_path)
    assert stored.universal.shape == (1, 2 * longest)


def test_an_excerpt_of_other_seconds_is_another_attack(
    data: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    attack(parameters(make_params, excerpt=0.5), Crosstalk(), data, tmp_path)
    for seconds in (None, 0.75):
        params = parameters(make_params, excerpt=seconds)
        with pytest.raises(InputError, match=r"made with attack.excerpt = 0.5, but params.yaml s"):
            opened(params, data, tmp_path)


@pytest.mark.parametrize("method", ["pgd", "universal"])
def test_an_informed_system_hears_the_mean_of_the_channels(
    tmp_path: Path, make_params: MakeParams, method: str
) -> None:
    """Bit for bit what it gives on recordings that were mixed to mono beforehand."""
    stereo, mono = (stereo_data(tmp_path / f"mono {m}", mono=m) for m in (False, True))
    assert (stereo.channels, mono.channels) == (2, 1)
    # No excerpt of it: a parameter of blind systems.
    params = parameters(make_params, method=method, excerpt=0.7)
    system = as_separator(new_model(params, "improved", 1))
    found = []
    for name, data in (("stereo", stereo), ("mono", mono)):
        stored = attack(params, fitted(system, data), data, tmp_path / name)
        found.append(score(params, system, data, stored))
        assert np.load(stored.files["test-0.npy"]).shape == (1, 4 * LENGTH)
    pd.testing.assert_frame_equal(found[0].tracks, found[1].tracks, check_exact=True)
    assert found[0].counts == found[1].counts
    assert "excerpt_bs" not in found[0].tracks
    names = {file.name for file in (tmp_path / "mono/adversarial").iterdir()} - {"index.json"}
    assert len(names) >= len(SAMPLES["test"]) + 2
    for name in names:
        one, other = (tmp_path / kind / "adversarial" / name for kind in ("stereo", "mono"))
        assert one.read_bytes() == other.read_bytes(), name
