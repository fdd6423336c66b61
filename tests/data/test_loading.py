"""Training segments from a device's memory are those of the file, and only where they fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import AllParams

from stemproof.core.shards import Shard
from stemproof.data import loading
from stemproof.data.loading import ResidentSegments, on_device, training_batches
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData, PreparedTrack, TrainingSegments

CPU = torch.device("cpu")


@pytest.fixture
def segments(
    songs: Path, tmp_path: Path, make_params: Callable[..., AllParams]
) -> TrainingSegments:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared").training_segments(params.segments)


@pytest.fixture
def stereo() -> TrainingSegments:
    draw = np.random.default_rng(0)
    tracks = [
        PreparedTrack(name, f"{name}.npy", draw.standard_normal((2, 2, 90)).astype(np.float32))
        for name in ("a", "b")
    ]
    return TrainingSegments(tracks, 20, 0.5)


@pytest.mark.parametrize("kind", ["segments", "stereo"])
def test_segments_in_memory_are_those_of_the_files(
    kind: str, request: pytest.FixtureRequest
) -> None:
    segments: TrainingSegments = request.getfixturevalue(kind)
    resident = ResidentSegments(segments, CPU)
    assert len(resident) == len(segments) > 10
    numbers = [0, len(segments) - 1, 9, 3]
    assert torch.allclose(resident.vocals(numbers), segments.vocals(numbers))
    there, here = resident.accompaniment(numbers), segments.accompaniment(numbers)
    assert torch.allclose(there, here, atol=1e-6)


@pytest.mark.parametrize("kind", ["segments", "stereo"])
@pytest.mark.parametrize("fits", [True, False])
def test_recordings_go_to_a_device_only_where_they_fit(
    kind: str,
    fits: bool,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segments: TrainingSegments = request.getfixturevalue(kind)
    needed = ResidentSegments(segments, CPU).audio.nbytes
    free = round(needed / loading.MEMORY_SHARE) + (8 if fits else -8)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 2 * free))
    monkeypatch.setattr(loading, "ResidentSegments", lambda *_: "in memory")
    assert (on_device(segments, torch.device("cuda")) == "in memory") == fits
    assert on_device(segments, CPU) is segments


def test_the_shares_of_processes_make_up_the_batches_of_one(segments: TrainingSegments) -> None:
    def epoch(rank: int, count: int) -> list[torch.Tensor]:
        torch.manual_seed(1)
        batches = training_batches(segments, 4, Shard(rank, count), CPU)
        return [torch.stack(pair) for pair in batches]

    whole, parts = epoch(0, 1), [epoch(rank, 2) for rank in range(2)]
    assert len(whole) == len(segments) // 4
    for number, batch in enumerate(whole):
        for rank in range(2):
            assert torch.equal(parts[rank][number], batch[:, rank::2])
