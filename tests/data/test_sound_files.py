"""What a file must hold to be a song: five streams, sound samples, stems that add up."""

from __future__ import annotations

import io
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from conftest import RATE as WAV_RATE
from numpy.typing import NDArray
from stem_files import RATE, SAMPLES, stems_of, write_stems

from stemproof.core.errors import InputError
from stemproof.data import checks
from stemproof.data.audio import read_audio
from stemproof.data.beside import sound
from stemproof.data.checks import (
    audio_hash,
    check_channels,
    check_held,
    check_samples,
    check_sum,
    power,
)
from stemproof.data.codec import announced_samples, announced_values, example_stem
from stemproof.data.long import lay_out
from stemproof.data.params import SegmentParams
from stemproof.data.prepare import _decode
from stemproof.data.recordings.musdb import MusdbLayout, MusdbRecording, _check_file
from stemproof.data.recordings.musdb18hq import SOURCE as MUSDB18HQ
from stemproof.data.recordings.setup import STEMS
from stemproof.data.songs import find_songs, prepare_songs

CUT = SegmentParams(seconds=0.1)


def song(path: Path, name: str = "x") -> MusdbRecording:
    parts = ("mixture", *STEMS)
    return MusdbRecording(
        "test", name, dict.fromkeys(parts, path), {p: n for n, p in enumerate(parts)}, "pyav"
    )


def refused(path: Path, said: str) -> None:
    """By the pipeline and by the audit of a folder, in one line."""
    with pytest.raises(InputError, match=said) as error:
        _check_file(path, RATE, 100, as_wav=False)
        _decode(song(path), 100)
    assert str(path) in str(error.value)
    (path.parent / "prepared").mkdir()
    with pytest.raises(InputError) as error:
        prepare_songs(find_songs(path.parent), path.parent / "prepared", CUT)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_six_streams_are_refused(tmp_path: Path) -> None:
    stems = stems_of(0)
    path = write_stems(tmp_path / "x.stem.mp4", [*stems, stems[1]])
    refused(path, "5 audio streams were expected, it has 6")
    with pytest.raises(InputError, match="6 audio streams, and a .stem.mp4 has 5"):
        read_audio(path)


@pytest.mark.parametrize("count", [1, 4])
def test_fewer_streams_are_refused(tmp_path: Path, count: int) -> None:
    path = write_stems(tmp_path / "x.stem.mp4", stems_of(0)[:count])
    refused(path, f"5 audio streams were expected, it has {count}")
    with pytest.raises(InputError, match=f"{count} audio streams?, and a .stem.mp4 has 5"):
        read_audio(path)


def test_a_picture_before_the_audio_changes_nothing(tmp_path: Path) -> None:
    stems = stems_of(0)
    path = write_stems(tmp_path / "x.STEM.mp4", stems, cover=True)
    _check_file(path, RATE, SAMPLES, as_wav=False)
    for number, name in enumerate(("mixture", *STEMS)):
        wanted = stems[number] / np.float32(32768)
        assert np.array_equal(song(path).read(name).T, wanted)
        assert np.array_equal(read_audio(path, number).samples, wanted)
    kept, left = _decode(song(path), 100)
    assert left is None
    assert np.array_equal(kept[1], stems[4] / np.float32(32768))


@pytest.mark.parametrize("which", ["all stems", "the vocals"])
def test_stems_of_another_recording_are_refused(tmp_path: Path, which: str) -> None:
    stems, others = stems_of(0), stems_of(1)
    mixed = [stems[0], *others[1:]] if which == "all stems" else [*stems[:4], others[4]]
    wrong = stems[0] - np.sum(mixed[1:], axis=0, dtype=np.float64)
    said = 10 * np.log10(np.sum(stems[0].astype(float) ** 2) / np.sum(wrong**2))
    path = write_stems(tmp_path / "x.stem.mp4", mixed)
    refused(path, f"what they miss lies {said:.1f} dB below it, and 10 dB at least are expected")


@pytest.mark.parametrize("stem", STEMS)
def test_wav_stems_of_another_recording_are_refused(songs: Path, tmp_path: Path, stem: str) -> None:
    """In the pipeline and by the commands; where one is missing the vocals are still looked for."""
    folder = songs / "test" / "test 0"
    samples, rate = soundfile.read(folder / f"{stem}.wav", dtype="float32")
    soundfile.write(folder / f"{stem}.wav", np.roll(samples[::-1] * 3, 99, axis=0), rate)
    said = r"mixture\.wav: the stems do not add up to the mixture"
    found = MUSDB18HQ.find(songs, "pyav", WAV_RATE, 1000)
    with pytest.raises(InputError, match=said):
        _decode(next(song for song in found if song.name == "test 0"), 1000)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=said):
        prepare_songs(find_songs(songs), tmp_path / "out", CUT)
    (folder / ("bass" if stem == "drums" else "drums")).with_suffix(".wav").unlink()
    if stem == "vocals":
        with pytest.raises(
            InputError, match=r"vocals\.wav: these vocals are not in .*mixture\.wav"
        ):
            prepare_songs(find_songs(songs), tmp_path / "out", CUT)
    else:
        prepare_songs(find_songs(songs), tmp_path / "out", CUT)


@pytest.mark.parametrize(
    "change", ["of another song", "late", "upside down", "three times as loud"]
)
def test_vocals_that_the_mixture_does_not_hold_are_refused(
    songs: Path, tmp_path: Path, change: str
) -> None:
    """A plausible table would come of them: of how little a system finds what is not there."""
    for stem in ("drums", "bass", "other"):
        for file in songs.glob(f"test/*/{stem}.wav"):
            file.unlink()
    first = sorted(songs.glob("test/*/vocals.wav"))[0]
    samples, rate = soundfile.read(first, dtype="float32")
    (tmp_path / "out").mkdir()
    prepare_songs(find_songs(songs), tmp_path / "out", CUT)
    other = 0.2 * np.random.default_rng(9).standard_normal(samples.shape)
    changed = {
        "of another song": other,
        "late": np.roll(samples, 371, axis=0),
        "upside down": -samples,
        "three times as loud": 3 * samples,
    }
    soundfile.write(first, changed[change], rate, subtype="FLOAT")
    with pytest.raises(InputError, match=r"vocals\.wav: these vocals are not in .*mixture\.wav"):
        prepare_songs(find_songs(songs), tmp_path / "out", CUT)


def test_soft_vocals_of_another_song_are_refused_beside_all_stems(
    songs: Path, tmp_path: Path
) -> None:
    """What is missing of them is too little to be missed in the sum."""
    folder = songs / "test" / "test 0"
    stems = {}
    for stem in STEMS:
        stems[stem], rate = soundfile.read(folder / f"{stem}.wav", dtype="float32")
    rest = sum(stems[stem] for stem in STEMS if stem != "vocals")
    vocals = stems["vocals"]
    vocals *= 10 ** (-16 / 20) * np.linalg.norm(rest) / np.linalg.norm(vocals)
    soundfile.write(folder / "mixture.wav", rest + vocals, rate, subtype="FLOAT")
    soundfile.write(folder / "vocals.wav", vocals, rate, subtype="FLOAT")
    (tmp_path / "out").mkdir()
    prepare_songs(find_songs(songs), tmp_path / "out", CUT)
    found = MUSDB18HQ.find(songs, "pyav", WAV_RATE, 1000)
    track = next(song for song in found if song.name == "test 0")
    _decode(track, 1000)
    other = np.random.default_rng(9).standard_normal(vocals.shape)
    other *= np.linalg.norm(vocals) / np.linalg.norm(other)
    soundfile.write(folder / "vocals.wav", other, rate, subtype="FLOAT")
    said = r"vocals\.wav: these vocals are not in .*"
    with pytest.raises(InputError, match=said):
        _decode(track, 1000)
    with pytest.raises(InputError, match=said):
        prepare_songs(find_songs(songs), tmp_path / "out", CUT)


def test_vocals_too_soft_to_be_found_are_believed() -> None:
    """What the rest has in common with them by chance is as large as they are."""
    draws = np.random.default_rng(0)
    rest, vocals = draws.standard_normal((2, 2, 4000))
    soft = 0.05 * vocals
    check_held(Path("v"), Path("m"), [(rest - 3 * soft, soft)])
    check_held(Path("v"), Path("m"), [(rest + vocals, vocals)])
    with pytest.raises(InputError, match=r"v: these vocals are not in m.* holds -2\.\d\d times"):
        check_held(Path("v"), Path("m"), [(rest - 2 * vocals, vocals)])


def test_two_files_of_one_stem_are_one_too_many(songs: Path) -> None:
    folder = songs / "test" / "test 0"
    samples, rate = soundfile.read(folder / "mixture.wav")
    soundfile.write(folder / "mixture.flac", samples, rate)
    with pytest.raises(InputError, match=r"test 0: mixture.wav and mixture.flac, of which one is"):
        find_songs(songs)


def test_where_the_limit_of_the_sum_lies(tmp_path: Path) -> None:
    path = Path("x")
    check_sum(path, "x", None)
    check_sum(path, "x", checks.STEMS_SUM_DB)
    check_sum(path, "PR - Oh No", 7.3)  # as it was published
    for found in (checks.STEMS_SUM_DB - 0.01, -np.inf):
        with pytest.raises(InputError, match="x: the stems do not add up"):
            check_sum(path, "x", found)


def test_the_stems_of_a_real_recording_are_far_from_the_limit() -> None:
    _, left = _decode(song(example_stem()), 44_100)
    assert left is not None
    assert left == pytest.approx(15.37, abs=0.05)
    assert left > checks.STEMS_SUM_DB + 5


def test_limits_have_a_margin_on_real_music(previews: Path) -> None:
    """Of three songs; those nearest to a limit, and the one that has an erratum."""
    for name, least, most in (
        ("test/PR - Oh No", 7, 8),
        ("test/The Easton Ellises (Baumi) - SDRNR", 21, 22),
        ("train/Giselle - Moss", 20, 40),  # vocals whose mean is 14 dB below them
    ):
        path = previews / f"{name}.stem.mp4"
        kept, left = _decode(song(path, path.name.removesuffix(".stem.mp4")), 44_100)
        assert left is not None
        assert least < left < most
        assert np.abs(kept).max() <= 1


@pytest.mark.parametrize("value", [32768.0, 1e30, -2.01])
def test_samples_far_beyond_full_scale(songs: Path, tmp_path: Path, value: float) -> None:
    track = songs / "test/test 0"
    audio, rate = soundfile.read(track / "vocals.wav")
    audio[3, 1] = value
    soundfile.write(track / "vocals.wav", audio, rate, subtype="FLOAT")
    found = MUSDB18HQ.find(songs, "pyav", WAV_RATE, 1000)
    said = (
        rf"vocals.wav: its samples reach {f'{abs(value):.4g}'.replace('+', '.')}, full scale is 1"
    )
    with pytest.raises(InputError, match=said):
        _decode(next(song for song in found if song.name == "test 0"), 1000)
    with pytest.raises(InputError, match=said):
        prepare_songs(find_songs(songs), tmp_path, CUT)


def test_a_little_beyond_full_scale_is_read_as_it_is() -> None:
    check_samples(Path("x"), np.array([[checks.LOUDEST, -checks.LOUDEST]], np.float32))
    for value in (np.nan, np.inf, -np.inf):
        for place in (0, 1, 2):
            audio = np.zeros((1, 3), np.float32)
            audio[0, place] = value
            with pytest.raises(InputError, match="x: holds samples that are not numbers"):
                check_samples(Path("x"), audio)


@pytest.mark.parametrize("stem", ["mixture", "vocals"])
def test_channels_that_cancel_are_named(songs: Path, tmp_path: Path, stem: str) -> None:
    """In mono they are silent, and would be taken for a song without vocals."""
    track = songs / "test/test 0"
    for path in track.iterdir():
        audio, rate = soundfile.read(path, dtype="int16")
        audio[:, 1] = audio[:, 0] if path.stem != stem and stem == "vocals" else -audio[:, 0]
        soundfile.write(path, audio, rate, subtype="PCM_16")
    if stem == "vocals":  # a mixture to which the stems add up
        parts = [soundfile.read(track / f"{name}.wav", dtype="int16")[0] for name in STEMS]
        soundfile.write(track / "mixture.wav", sum(parts), WAV_RATE, subtype="PCM_16")
    found = MUSDB18HQ.find(songs, "pyav", WAV_RATE, 1000)
    said = f"{stem}.wav: the channels of the {stem} cancel each other, their mean is silent"
    with pytest.raises(InputError, match=said):
        _decode(next(song for song in found if song.name == "test 0"), 1000)
    with pytest.raises(InputError, match=said):
        prepare_songs(find_songs(songs), tmp_path, CUT)


def test_where_the_limit_of_cancelling_lies() -> None:
    draw = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    for rest_db, fails in ((-39.5, False), (-40.5, True)):
        # Mean g and difference 1: the mean lies 20 log10(g) below the channels, nearly.
        g = 10 ** (rest_db / 20)
        audio = np.stack([draw * (g + 1), draw * (g - 1)]).astype(np.float32)
        if fails:
            with pytest.raises(InputError, match="their mean is 4[01] dB below them"):
                check_channels(Path("x"), "vocals", audio)
        else:
            check_channels(Path("x"), "vocals", audio)
    check_channels(Path("x"), "vocals", np.zeros((2, 9), np.float32))
    check_channels(Path("x"), "vocals", draw[None])


def test_power_and_hash_are_of_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "BLOCK", 64)
    audio = np.random.default_rng(0).standard_normal((2, 1000)).astype(np.float32)
    assert power(audio) == pytest.approx(np.sum(audio.astype(np.float64) ** 2), rel=1e-12)
    assert audio_hash(audio) == audio_hash(np.asfortranarray(audio))
    changed = audio.copy()
    changed[1, 999] += 1e-6
    assert len({audio_hash(a) for a in (audio, changed, audio.reshape(4, 500))}) == 3


def test_a_title_that_is_no_text_is_no_matter(tmp_path: Path) -> None:
    path = write_stems(tmp_path / "x.stem.mp4", stems_of(0), title="QQQQQQ")
    content = path.read_bytes()
    assert content.count(b"QQQQQQ") == 1
    path.write_bytes(content.replace(b"QQQQQQ", b"QQ\xffQQQ"))
    _check_file(path, RATE, 100, as_wav=False)
    assert np.array_equal(song(path).read("bass").T, stems_of(0)[2] / np.float32(32768))
    assert np.array_equal(read_audio(path).samples, stems_of(0)[0] / np.float32(32768))


def wav(audio: NDArray[np.int16], size: int | None = None, kind: bytes = b"RIFF") -> bytes:
    """A wav file of 2 x samples, with any size in its header."""
    data = audio.T.astype("<i2").tobytes()
    size = len(data) if size is None else size
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, WAV_RATE, WAV_RATE * 4, 4, 16)
    long = b""
    if kind == b"RF64":
        long = struct.pack("<4sIQQQI", b"ds64", 28, len(data) + 72, len(data), audio.shape[1], 0)
    body = b"WAVE" + long + form + struct.pack("<4sI", b"data", size) + data
    return kind + struct.pack("<I", min(len(body), size)) + body


def as_read(path: Path) -> list[Any]:
    """By the pipeline, and by the commands."""
    recording = MusdbRecording("test", "x", {"mixture": path}, {"mixture": 0}, "pyav")
    _check_file(path, WAV_RATE, 100, as_wav=True)
    return [recording.read("mixture").T, read_audio(path).samples]


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        (None, b"RIFF"),
        (0xFFFFFFFF, b"RIFF"),  # FFmpeg into a pipe
        (0x7FFFF000, b"RIFF"),  # SoX into a pipe
        (0, b"RIFF"),
        (0xFFFFFFFF, b"RF64"),
    ],
)
def test_sizes_that_a_pipe_leaves_and_long_wav_files(
    tmp_path: Path, size: int | None, kind: bytes
) -> None:
    audio = stems_of(0)[0]
    path = tmp_path / "x.wav"
    path.write_bytes(wav(audio, size, kind))
    for found in as_read(path):
        assert np.array_equal(found, audio / np.float32(32768))


@pytest.mark.parametrize("kind", [b"RIFF", b"RF64"])
def test_truncated_wav_files_are_told(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.wav"
    size = 0xFFFFFFFF if kind == b"RF64" else None
    path.write_bytes(wav(stems_of(0)[0], size, kind)[: -4 * 1000])
    assert announced_samples(path, 0) == SAMPLES
    recording = MusdbRecording("test", "x", {"mixture": path}, {"mixture": 0}, "pyav")
    said = f"truncated; {SAMPLES - 1000} of {SAMPLES} samples could be read"
    for read in (lambda: recording.read("mixture"), lambda: read_audio(path)):
        with pytest.raises(InputError, match=said):
            read()


def test_values_that_a_header_announces(tmp_path: Path) -> None:
    """Of a data set of one's own, whose songs need not be audio files, none."""
    path = tmp_path / "x.wav"
    path.write_bytes(wav(stems_of(0)[0]))
    assert announced_values(path) == 2 * SAMPLES
    assert announced_values(example_stem()) > 0
    text = tmp_path / "x.txt"
    text.write_text("0.1 0.2\n")
    for other in (text, tmp_path, tmp_path / "none"):
        assert announced_values(other) == 0


def test_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav(np.zeros((2, 0), np.int16)))
    with pytest.raises(InputError, match="x.wav: 0 samples, shorter than one segment"):
        _check_file(path, WAV_RATE, 100, as_wav=True)
    with pytest.raises(InputError, match="x.wav: no samples in it; name another recording"):
        read_audio(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: [*s[:3], s[3][:, :-9], s[4]], "4087 samples, but the mixture has 4096"),
        (lambda s: [*s[:3], s[3][:1], s[4]], r"stereo was expected, it has 1 channel"),
        (lambda s: [part[:1] for part in s], r"stereo was expected, it has 1 channel"),
    ],
)
def test_streams_that_differ(
    tmp_path: Path, change: Callable[[list[NDArray[Any]]], list[NDArray[Any]]], said: str
) -> None:
    path = write_stems(tmp_path / "x.stem.mp4", change(stems_of(0)))
    with pytest.raises(InputError, match=f"{path}: {said}"):
        _check_file(path, RATE, 100, as_wav=False)
        _decode(song(path), 100)


def test_a_rate_that_differs(tmp_path: Path) -> None:
    path = write_stems(tmp_path / "x.stem.mp4", stems_of(0), rate=16_000)
    with pytest.raises(InputError, match=f"{path}: sample rate 16000 Hz, but data.sample_rate"):
        _check_file(path, RATE, 100, as_wav=False)


def test_recordings_of_other_channels_are_named(tmp_path: Path) -> None:
    about = {"audio": "a", "channels": 2, "path": tmp_path / "a", "samples": 9, "low": ""}
    other = {**about, "audio": "b", "channels": 1, "path": tmp_path / "b"}
    with pytest.raises(InputError, match=rf"b: 1 channel\(s\), but {tmp_path}/a has 2"):
        sound([about, other], 44100)
    assert sound([about], 44100) == [about]


def test_a_source_of_wav_files_keeps_what_floats_hold(songs: Path) -> None:
    """Beyond full scale, and finer than 16 bits: nothing is rounded or cut."""
    path = songs / "test/test 0/mixture.wav"
    audio = soundfile.read(path, dtype="float32")[0] * np.float32(1.2345)
    audio[7] = 1.5
    soundfile.write(path, audio, WAV_RATE, subtype="FLOAT")
    found = MusdbLayout("x", "x").find(songs, "pyav", WAV_RATE, 1000)
    read = next(song for song in found if song.name == "test 0").read("mixture")
    assert np.array_equal(read, audio)
    shutil.rmtree(songs)


def flac(samples: int) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(-9999, 9999, (samples, 2)).astype(np.int16)
    soundfile.write(stream, noise, RATE, format="FLAC")
    return stream.getvalue()


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9, 0.999])
def test_a_flac_file_with_one_bit_changed_is_refused(tmp_path: Path, place: float) -> None:
    """FFmpeg would give all of its samples, some of them others, and say nothing."""
    path, content = tmp_path / "x.flac", bytearray(flac(20_000))
    path.write_bytes(content)
    assert read_audio(path).samples.shape == (2, 20_000)
    content[int(place * len(content))] ^= 8
    path.write_bytes(content)
    for read in (read_audio, lambda path: lay_out(path, tmp_path / "laid out")):
        with pytest.raises(InputError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: not readable as audio (")
        assert len(str(error.value).splitlines()) == 1


def test_a_flac_file_that_announces_more_than_memory_holds(tmp_path: Path) -> None:
    path, content = tmp_path / "x.flac", bytearray(flac(100))
    content[21] |= 0x0F  # the number of samples, in 36 bits
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_audio(path)
    assert str(error.value).startswith(f"{path}: not readable as audio (")


def with_index_in_front(path: Path, out: Path) -> bytes:
    """The same streams, in a file that can be cut and still be opened."""
    with av.open(str(path)) as old, av.open(
        str(out), "w", format="mp4", options={"movflags": "+faststart"}
    ) as new:  # fmt: skip
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return out.read_bytes()


def test_a_stem_file_whose_end_is_missing_is_refused_in_blocks_too(tmp_path: Path) -> None:
    path = tmp_path / "x.stem.mp4"
    whole = with_index_in_front(write_stems(tmp_path / "y", stems_of(0, 20_000)), path)
    assert lay_out(path, tmp_path / "laid out").samples == 20_000
    path.write_bytes(whole[: len(whole) // 2])
    for read in (read_audio, lambda path: lay_out(path, tmp_path / "laid out")):
        with pytest.raises(InputError, match=r"truncated; \d+ of 20000 samples could be read"):
            read(path)
