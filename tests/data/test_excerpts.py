"""Excerpts: they cover a recording, and hold the segments that everything is scored on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import AllParams
from hypothesis import given
from hypothesis import strategies as st

from stemproof.core.random import derive_seed
from stemproof.data.excerpts import Excerpts, part_seed
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData, PreparedTrack

SEGMENT = 20


def tracks_of(samples: Sequence[int], channels: int = 2) -> list[PreparedTrack]:
    """Noise; of every track the second segment has no vocals."""
    tracks = []
    for number, count in enumerate(samples):
        draw = np.random.default_rng(number)
        audio = draw.standard_normal((2, channels, count)).astype(np.float32)
        audio[1, :, SEGMENT : 2 * SEGMENT] = 0
        tracks.append(PreparedTrack(f"song {number}", f"{number}.npy", audio))
    return tracks


lengths = st.lists(st.integers(SEGMENT, 12 * SEGMENT), min_size=1, max_size=4)
asked = st.none() | st.integers(1, 9 * SEGMENT)


def windows(excerpts: Excerpts) -> list[tuple[int, int, int]]:
    """Track, first sample and end of every segment that is scored."""
    return [
        (place.track, start, start + excerpts.segment)
        for number, place in enumerate(excerpts.places)
        for start in range(
            place.start,
            place.start + excerpts.counted(number) * excerpts.segment,
            excerpts.segment,
        )
    ]


@given(lengths, asked)
def test_excerpts_cover_every_track(samples: list[int], longest: int | None) -> None:
    excerpts = Excerpts.recordings(tracks_of(samples), SEGMENT, longest)
    whole = None if longest is None else max(longest // SEGMENT, 1) * SEGMENT
    assert sorted(n for track in range(len(samples)) for n in excerpts.of_track(track)) == list(
        range(len(excerpts))
    )
    for track, count in enumerate(samples):
        places = [excerpts.places[number] for number in excerpts.of_track(track)]
        assert [place.track for place in places] == [track] * len(places)
        assert [place.number for place in places] == list(range(len(places)))
        # From the beginning to the end, without a gap and without overlap.
        edges = [places[0].start, *(place.stop for place in places)]
        assert [place.start for place in places] == edges[:-1]
        assert (edges[0], edges[-1]) == (0, count)
        assert all(place.start % SEGMENT == 0 for place in places)
        assert all(place.samples >= SEGMENT for place in places)
        if whole is None:
            assert len(places) == 1
        else:
            assert all(place.samples == whole for place in places[:-1])
            assert places[-1].samples < whole + SEGMENT


@given(lengths, asked)
def test_what_is_scored_are_the_segments(samples: list[int], longest: int | None) -> None:
    tracks = tracks_of(samples)
    mono = Excerpts.segments(tracks, SEGMENT)
    assert windows(Excerpts.recordings(tracks, SEGMENT, longest)) == windows(mono)
    assert windows(mono) == [
        (track, start, start + SEGMENT)
        for track, count in enumerate(samples)
        for start in range(0, count - SEGMENT + 1, SEGMENT)
    ]


@given(lengths, asked)
def test_the_same_segments_count_whatever_is_heard(samples: list[int], longest: int | None) -> None:
    tracks = tracks_of(samples)
    mono, heard = (
        Excerpts.segments(tracks, SEGMENT),
        Excerpts.recordings(tracks, SEGMENT, longest),
    )
    counts = [
        torch.cat([excerpts.loud_segments(number, 0.0) for number in range(len(excerpts))])
        for excerpts in (mono, heard)
    ]
    assert torch.equal(*counts)
    # The norm of the vocals in mono is at least one; the second segment of every track is silent.
    expected = []
    for track, start, stop in windows(mono):
        vocals = np.asarray(tracks[track].vocals, dtype=np.float64).mean(0)[start:stop]
        expected.append(bool((vocals**2).sum() >= 1))
    assert counts[0].tolist() == expected
    starts = [start for _, start, _ in windows(mono)]
    assert not any(e for e, start in zip(expected, starts, strict=True) if start == SEGMENT)
    for excerpts in (mono, heard):
        loud = [n for n in range(len(excerpts)) if excerpts.loud_segments(n, 0.0).any()]
        assert excerpts.loud(0.0) == loud


def test_vocals_that_cancel_in_mono_do_not_count() -> None:
    (track,) = tracks_of([5 * SEGMENT])
    track.audio[1, 1, :SEGMENT] = -track.audio[1, 0, :SEGMENT]
    (counts,) = (Excerpts.recordings([track], SEGMENT).loud_segments(0, -100),)
    assert counts.tolist() == [False, False, True, True, True]


@given(lengths, asked, st.integers(1, 30))
def test_a_batch_is_of_one_length_and_no_larger_than_asked(
    samples: list[int], longest: int | None, size: int
) -> None:
    excerpts = Excerpts.recordings(tracks_of(samples), SEGMENT, longest)
    numbers = list(range(len(excerpts)))
    found = list(excerpts.batches(numbers, size))
    assert [number for batch in found for number in batch] == numbers
    for batch in found:
        assert len({excerpts.places[number].samples for number in batch}) == 1
        assert len(batch) == 1 or sum(excerpts.counted(number) for number in batch) <= size
    # No batch could have taken what the next one begins with.
    for batch, after in itertools.pairwise(found):
        same = excerpts.places[after[0]].samples == excerpts.places[batch[0]].samples
        assert not same or sum(map(excerpts.counted, [*batch, after[0]])) > size


def test_segments_fill_a_batch() -> None:
    segments = Excerpts.segments(tracks_of([90, 50]), SEGMENT)
    assert list(segments.batches(range(6), 4)) == [[0, 1, 2, 3], [4, 5]]
    assert list(segments.batches([5, 0, 2], 2)) == [[5, 0], [2]]
    assert list(segments.batches([], 2)) == []


@given(lengths, asked, st.sampled_from([1, 2, 3]))
def test_what_is_read_is_the_recording(
    samples: list[int], longest: int | None, channels: int
) -> None:
    tracks = tracks_of(samples, channels)
    heard = Excerpts.recordings(tracks, SEGMENT, longest)
    assert heard.channels == channels
    for number, place in enumerate(heard.places):
        audio = tracks[place.track].audio[..., place.start : place.stop]
        for stem, found in zip(audio, heard.read([number]), strict=True):
            assert found.shape == (1, channels, place.samples)
            assert np.array_equal(found[0].numpy(), stem)
    mono = Excerpts.segments(tracks, SEGMENT)
    assert mono.channels == 1
    pair = mono.read(range(len(mono)))
    for number, place in enumerate(mono.places):
        audio = tracks[place.track].audio[..., place.start : place.stop]
        for stem, found in zip(audio, pair, strict=True):
            # Bit for bit: figures of informed systems do not move.
            assert np.array_equal(found[number].numpy(), stem.mean(axis=0, keepdims=True))


def test_files_are_read_as_what_is_in_memory_is(
    songs: Path, tmp_path: Path, make_params: Callable[..., AllParams]
) -> None:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    mapped = PreparedData(tmp_path / "prepared").tracks("test")
    inside = [PreparedTrack(t.name, t.file, np.array(t.audio)) for t in mapped]
    for cut in (
        lambda tracks: Excerpts.segments(tracks, 1000),
        lambda tracks: Excerpts.recordings(tracks, 1000),
        lambda tracks: Excerpts.recordings(tracks, 1000, 2000),
    ):
        files, memory = cut(mapped), cut(inside)
        assert files.places == memory.places
        for number in range(len(files)):
            for one, other in zip(files.read([number]), memory.read([number]), strict=True):
                assert torch.equal(one, other)
            assert torch.equal(files.loud_segments(number, -5), memory.loud_segments(number, -5))


@given(lengths, asked, st.integers(1, 6 * SEGMENT))
def test_parts_of_one_length_are_the_beginnings_of_longer_ones(
    samples: list[int], longest: int | None, length: int
) -> None:
    whole = Excerpts.recordings(tracks_of(samples), SEGMENT, longest)
    cut = whole.of_length(length)
    long = [number for number, place in enumerate(whole.places) if place.samples >= length]
    assert [place.samples for place in cut.places] == [length] * len(long)
    for number, of in enumerate(long):
        assert cut.seed(number, "x") == whole.seed(of, "x")
        pair = zip(cut.read([number]), whole.read([of]), strict=True)
        assert all(torch.equal(one, other[..., :length]) for one, other in pair)


def test_a_seed_is_of_the_name_the_place_and_the_purpose() -> None:
    tracks = tracks_of([90, 130])
    excerpts = Excerpts.recordings(tracks, SEGMENT, 2 * SEGMENT)
    seeds = [excerpts.seed(number, "attack", 3) for number in range(len(excerpts))]
    assert len(excerpts) == 5 and len(set(seeds)) == 5
    # The track as it is, in another list of tracks; and the value that results were stored under.
    alone = Excerpts.recordings(tracks[1:], SEGMENT, 2 * SEGMENT)
    assert [alone.seed(number, "attack", 3) for number in range(3)] == seeds[2:]
    assert seeds[3] == part_seed("song 1", 1, "attack", 3) == derive_seed("attack", 3, "song 1", 1)
    others = [excerpts.seed(3, "attack", 4), excerpts.seed(3, "evaluate", 3)]
    assert len({*others, seeds[3]}) == 3
    assert [excerpts.track(number) for number in range(5)] == ["song 0"] * 2 + ["song 1"] * 3


@pytest.mark.parametrize("longest", [None, 1, 50])
def test_a_track_shorter_than_a_segment_is_one_part_without_any(longest: int | None) -> None:
    excerpts = Excerpts.recordings(tracks_of([7]), SEGMENT, longest)
    assert [(place.start, place.stop) for place in excerpts.places] == [(0, 7)]
    assert excerpts.counted(0) == 0
    assert len(Excerpts.segments(excerpts.tracks, SEGMENT)) == 0
