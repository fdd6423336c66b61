"""``protect``: a song goes in, one that a system stumbles over comes out, with honest figures."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from song_toys import RATE, Folder, folder, read, sdr

import stemproof
from stemproof.api.protecting import protect as protect_song
from stemproof.core.errors import InputError
from stemproof.data import tags
from stemproof.data.audio import read_audio
from stemproof.data.tags import copy_tags
from stemproof.protecting import run
from stemproof.protecting.params import ProtectParams
from stemproof.protecting.transforms import DIVERSITY, TRANSFORMS

__all__ = ["folder"]
SONG = "songs/song 0/mixture.wav"
QUICK = "--against", "mine", "--steps", "6", "--window", "1.5", "--for", "file"
LEFT = ".stemproof-protect"


MASKER = '''
import torch

torch.manual_seed(0)
FIRST, SECOND = (torch.randn(*shape) / 8 for shape in ((24, 65), (65, 24)))
WINDOW = torch.hann_window(128)


def system(mixture):
    """A small network that makes a mask of the spectrum."""
    flat = mixture.reshape(-1, mixture.shape[-1])
    if flat.shape[-1] < 128:
        return 0 * mixture
    spectra = torch.stft(flat, 128, 32, window=WINDOW, return_complex=True)
    loud = (spectra.abs().square() + 1e-8).sqrt()
    mask = torch.sigmoid(6 * SECOND @ torch.relu(FIRST @ torch.log(loud + 1e-3)))
    found = torch.istft(spectra * mask, 128, 32, window=WINDOW, length=flat.shape[-1])
    return found.reshape(mixture.shape)


def opaque(mixture):
    return system(mixture.detach())


def liar(mixture):
    found = system(mixture)
    return found.detach() + 0.01 * (mixture - mixture.detach()).flip(-1)


def mono(mixture):
    return torch.tanh(2 * mixture)


def nothing(mixture):
    return 0 * mixture
'''


@pytest.fixture(autouse=True)
def _alone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """No system is at hand but those of the folder, and a few changes are measured."""
    monkeypatch.setattr("stemproof.api.at_hand.COMPLETE", ())
    monkeypatch.setattr(run, "SURVIVAL", ("none", "16-bit", "mp3-128"))
    monkeypatch.setattr(run, "UNDOING", ("low-pass-11k",))
    monkeypatch.setattr(
        run, "TRANSFORMS", {n: TRANSFORMS[n] for n in (*run.SURVIVAL, *run.UNDOING, *DIVERSITY)}
    )
    (module,) = folder.root.glob("somebody_*.py")
    module.write_text(MASKER)
    lines = ["separators:"]
    for name in ("mine", "opaque", "liar", "mono", "nothing"):
        function = f"{module.stem}:{'system' if name == 'mine' else name}"
        channels = 1 if name == "mono" else 2
        about = f"function: '{function}', sample_rate: {RATE}, channels: {channels}"
        lines.append(f"  {name}: {{kind: callable, {about}}}")
    Path("params.yaml").write_text("\n".join(lines) + "\n")


def vocals(folder: Folder, song: Any) -> Any:
    (module,) = folder.root.glob("somebody_*.py")
    space: dict[str, Any] = {}
    exec(module.read_text(), space)
    # In tiles of 3000 samples, each with 1500 on both sides.
    padded, found = np.pad(song, [(0, 0), (1500, 4500)]), []
    for start in range(0, song.shape[1], 3000):
        stop = min(start + 3000, song.shape[1])
        heard = torch.from_numpy(padded[None, :, start : stop + 3000])
        found.append(space["system"](heard)[0, :, 1500:-1500].numpy())
    return np.concatenate(found, axis=1)


@pytest.mark.slow
def test_figures_are_those_of_the_file_that_is_written(folder: Folder) -> None:
    said = folder.good("protect", SONG, "p.wav", *QUICK, "--snr", "30", "--report", "p.html")
    found, song, protected = folder.json("p.json"), read(folder.root / SONG), read(Path("p.wav"))
    assert protected.shape == song.shape
    assert soundfile.info("p.wav").subtype == "PCM_24"
    change = protected.astype(np.float64) - song
    snr = 10 * np.log10(np.sum(song.astype(np.float64) ** 2) / np.sum(change**2))
    assert found["costs"]["snr"] == pytest.approx(snr, abs=1e-3)
    assert 30 <= snr < 33
    assert np.abs(protected).max() <= np.abs(song).max()
    assert found["costs"]["peak"]["perturbation"] == pytest.approx(np.abs(change).max(), abs=1e-7)
    own = found["effects"]["aimed"]["mine"]
    after = sdr(vocals(folder, song), vocals(folder, protected))
    assert own["output"]["protected"] == pytest.approx(after, abs=0.01)
    assert own["output"]["noise"] > after + 2
    assert own["verdict"] != "nil"
    assert set(found["effects"]["others"]) == {*("repeating", "mono", "opaque", "liar", "nothing")}
    assert "true" not in own
    assert re.search(rf"^mine +{after:.1f} dB +", said, re.MULTILINE)
    assert said.splitlines()[-1] == "written to p.wav, p.json, p.html"
    assert "no listening test was made" in said
    assert not (folder.root / LEFT).exists()
    page = Path("p.html").read_text()
    assert page.count("<audio") == 3 + 2 * (1 + len(found["effects"]["others"]))
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page.replace("http-equiv", "")
    for words in ("RAISES the cost".lower(), "low-pass at 11 kHz", found["sha256"]):
        assert words in page


def test_true_vocals_give_true_figures(folder: Folder) -> None:
    song = "songs/song 0"
    folder.good("protect", SONG, "p.flac", *QUICK, "--eps", "0.01", "--stems", song)
    found = folder.json("p.json")
    clean, true, protected = (
        read(folder.root / SONG),
        read(folder.root / song / "vocals.wav"),
        read(Path("p.flac")),
    )
    own = found["effects"]["aimed"]["mine"]["true"]
    assert own["clean"] == pytest.approx(sdr(true, vocals(folder, clean)), abs=0.01)
    assert own["protected"] == pytest.approx(sdr(true, vocals(folder, protected)), abs=0.01)
    assert own["clean"] - own["protected"] > 2 * max(own["clean"] - own["noise"], 0.05)
    assert np.abs(protected.astype(np.float64) - clean).max() <= 0.01


@pytest.mark.slow
def test_a_masked_song_in_mono_of_another_rate(folder: Folder) -> None:
    time = np.arange(3 * 22_050) / 22_050
    song = 0.2 * np.sin(2 * np.pi * 220 * time) + 0.02 * np.random.default_rng(0).standard_normal(
        len(time)
    )
    soundfile.write("m.wav", song, 22_050, subtype="PCM_16")
    folder.good("protect", "m.wav", "p.wav", *QUICK, "--masking", "3", "--diverse")
    found = folder.json("p.json")
    assert (found["channels"], found["sample_rate"]) == (1, 22_050)
    assert found["costs"]["below"] > 0.97
    assert found["costs"]["snr"] > 6
    assert read(Path("p.wav")).shape == (1, len(time))
    assert abs(found["costs"]["lufs"]["protected"] - found["costs"]["lufs"]["song"]) < 0.5


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.slow
def test_a_song_survives_real_codecs(
    folder: Folder, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("mp3-128", "mp3-192", "mp3-320", "aac-256", "opus-192", "gain", "shift")
    monkeypatch.setattr(run, "SURVIVAL", ("none", *names))
    monkeypatch.setattr(run, "TRANSFORMS", TRANSFORMS)
    draw, time = np.random.default_rng(1), np.arange(2 * rate) / rate
    song = 0.2 * np.sin(2 * np.pi * 300 * time + [[0.0], [0.7]])
    song += 0.05 * draw.standard_normal(song.shape)
    soundfile.write("s.flac", song.T, rate, subtype="PCM_24")
    words = "--against", "mine", "--steps", "12", "--window", "2", "--for", "streaming"
    folder.good("protect", "s.flac", "p.flac", *words, "--snr", "20")
    own = folder.json("p.json")["effects"]["aimed"]["mine"]
    assert own["survives"]["mp3-192"]["tuned"]
    assert not own["survives"]["mp3-320"]["tuned"]
    for name in ("mp3-128", "mp3-320", "aac-256", "opus-192", "gain", "shift"):
        found = own["survives"][name]["output"]
        assert found["protected"] < found["noise"]


def encode(path: str, codec: str, tags: dict[str, str]) -> np.ndarray:
    time = np.arange(44_100) / 44_100
    song = (0.4 * np.sin(2 * np.pi * 300 * time + np.array([[0.0], [1.0]]))).astype(np.float32)
    with av.open(path, "w") as container:
        container.metadata.update(tags)
        stream: Any = container.add_stream(codec, rate=44_100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(song, format="fltp", layout="stereo")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return song


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec", "out"), [("a.mp3", "libmp3lame", "p.wav"), ("a.m4a", "aac", "p.flac")]
)
def test_lossy_songs_keep_their_tags(folder: Folder, name: str, codec: str, out: str) -> None:
    encode(name, codec, {"title": "Ein Lied, süß", "artist": "Jemand"})
    folder.good("protect", name, out, *QUICK, "--snr", "30", "--steps", "1")
    assert folder.json("p.json")["tags"]["kept"][:2] == ["title", "artist"]
    with av.open(out) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    assert tags["title"] == "Ein Lied, süß"
    assert tags["artist"] == "Jemand"
    assert read(Path(out)).shape[1] in range(44_100, 44_100 + 2300)


def test_tags_of_the_same_format_are_copied_to_the_byte(tmp_path: Path) -> None:
    for suffix in (".wav", ".flac"):
        source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        with soundfile.SoundFile(source, "w", 8000, 1, "PCM_16") as file:
            file.title, file.artist = "A title of odd length", "Jemand"
            file.write(np.zeros(777))
        other = np.random.default_rng(0).integers(-99, 99, 501).astype(np.int16)
        soundfile.write(target, other, 8000, subtype="PCM_16")
        kept = copy_tags(source, target)["kept"]
        assert kept
        with soundfile.SoundFile(target) as file:
            assert (file.title, file.artist) == ("A title of odd length", "Jemand")
            assert np.array_equal(file.read(dtype="int16"), other)
        with av.open(str(target)) as container:
            assert sum(frame.samples for frame in container.decode(audio=0)) == 501


def test_a_chunk_that_announces_more_than_there_is_is_not_read(tmp_path: Path) -> None:
    source, target = tmp_path / "a.wav", tmp_path / "b.wav"
    for path in (source, target):
        soundfile.write(path, np.zeros(100), 8000)
    with source.open("ab") as stream:
        stream.write(b"LIST" + (2**32 - 2).to_bytes(4, "little") + b"INFO")
    before = target.read_bytes()
    tracemalloc.start()
    assert copy_tags(source, target) == {"kept": [], "cannot": []}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
    assert target.read_bytes() == before


@pytest.mark.parametrize(("size", "whole"), [(9, 2), (10, 1), (2**24 - 1, 1)])
def test_blocks_of_flac_that_have_no_last_end_with_the_file(
    tmp_path: Path, size: int, whole: int
) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(100), 8000)
    padding = b"\x01" + size.to_bytes(3, "big") + bytes(9)
    path.write_bytes(b"fLaC" + b"\0\0\0\x22" + path.read_bytes()[8:42] + padding)
    assert [kind for kind, _ in tags._blocks(path)[0]] == [0, 1][:whole]


def test_tags_of_what_ffmpeg_does_not_read_are_told(tmp_path: Path) -> None:
    """libsndfile takes some files for layer I of MPEG that FFmpeg takes for nothing."""
    source, target = tmp_path / "a.wav", tmp_path / "b.wav"
    source.write_bytes(b"\xff\xff\x02\0" * 9)
    soundfile.write(target, np.zeros(100), 8000)
    with pytest.raises(InputError) as error:
        copy_tags(source, target)
    said = str(error.value)
    assert said.startswith(f"{source}: its tags cannot be read (") and "\n" not in said


def test_damaged_comments_do_not_damage_what_is_made_of_a_song(tmp_path: Path) -> None:
    """FFmpeg reads such a file, and libsndfile nothing into which they are copied."""
    source, target = tmp_path / "a.flac", tmp_path / "b.flac"
    for path in (source, target):
        soundfile.write(path, np.zeros(100), 8000)
    content = bytearray(source.read_bytes())
    assert content[42] & 0x7F == 4  # the comments: a text, its length in front
    content[46:50] = b"\xff\xff\0\0"
    source.write_bytes(content)
    assert read_audio(source).samples.shape == (1, 100)
    copy_tags(source, target)
    assert len(soundfile.read(target)[0]) == 100


def test_pictures_are_kept_in_flac_and_said_to_be_lost_in_wav(tmp_path: Path) -> None:
    image = b"\x89PNG made up"
    source = tmp_path / "a.flac"
    soundfile.write(source, np.zeros(100), 8000)
    tags._write_flac(source, [(tags.PICTURE, tags._picture(image, "image/png", (1, 1)))])
    soundfile.write(tmp_path / "b.flac", np.ones(50) / 2, 8000)
    assert copy_tags(source, tmp_path / "b.flac") == {"kept": ["picture"], "cannot": []}
    assert image in (tmp_path / "b.flac").read_bytes()
    assert len(soundfile.read(tmp_path / "b.flac")[0]) == 50


@pytest.mark.slow
def test_the_same_song_gives_the_same_bytes_from_python_and_twice(folder: Folder) -> None:
    folder.good("protect", SONG, "a.wav", *QUICK, "--snr", "30")
    found = stemproof.protect(
        SONG, "b.wav", against=["mine"], budget="snr", size=30.0, steps=6, window=1.5,
        fade=0.375, mix="file",
    )  # fmt: skip
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert found.song == Path("b.wav")
    assert found.document["effects"] == folder.json("a.json")["effects"]


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    words = "protect", SONG, "p.wav", *QUICK, "--snr", "30"
    folder.good(*words)
    wanted = Path("p.wav").read_bytes()
    count, real, done = 0, run.craft, []

    def ended(window: Any, *rest: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        done.append(window.number)
        return real(window, *rest)

    monkeypatch.setattr(run, "craft", ended)
    with pytest.raises(KeyboardInterrupt):
        protect_song(
            SONG, "p.wav", against=["mine"], force=True, budget="snr", size=30.0, steps=6,
            window=1.5, fade=0.375, mix="file",
        )  # fmt: skip
    assert len(list((folder.root / LEFT).rglob("window-*.npy"))) == 1
    assert Path("p.wav").read_bytes() == wanted
    folder.good(*words, "--force")
    assert sorted(done) == list(range(len(done)))
    assert Path("p.wav").read_bytes() == wanted
    assert not (folder.root / LEFT).exists()


# The command in a process of its own, which measures little.
COMMAND = """
import sys
from stemproof.api import at_hand
from stemproof.cli import main
from stemproof.protecting import run

at_hand.COMPLETE, run.SURVIVAL, run.UNDOING = (), ("none",), ("median",)
run.TRANSFORMS = {name: run.TRANSFORMS[name] for name in ("none", "median")}
sys.argv = ["stemproof", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(folder: Folder) -> None:
    words = [sys.executable, "-c", COMMAND, "protect", SONG, "p.wav", *QUICK, "--snr", "30"]
    words[words.index("6")] = "60"
    room, about = folder.root / LEFT, {"cwd": folder.root, "env": environment(folder)}
    # A window counts when its hash stands beside it.
    with subprocess.Popen(words, **about) as started:  # type: ignore[call-overload]
        while not list(room.rglob("window-*.npy.sha256")) and started.poll() is None:
            time.sleep(0.02)
        started.kill()
    done = len(list(room.rglob("window-*.npy.sha256")))
    assert done >= 1
    assert not Path("p.wav").exists()
    again = subprocess.run(words, capture_output=True, text=True, **about)  # type: ignore[call-overload]
    assert again.returncode == 0, again.stderr
    assert f"done before: {done} window" in again.stderr
    assert not room.exists()
    killed = Path("p.wav").read_bytes()
    subprocess.run([*words, "--force"], check=True, capture_output=True, **about)  # type: ignore[call-overload]
    assert Path("p.wav").read_bytes() == killed


def environment(folder: Folder) -> dict[str, str]:
    path = f"{Path(stemproof.__file__).parent.parent}{os.pathsep}{folder.root}"
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def spoilt(folder: Folder, what: str) -> str:
    song = read(folder.root / SONG).T
    if what == "text":
        Path("x.wav").write_text("no audio")
    elif what == "truncated":
        whole = (folder.root / SONG).read_bytes()
        Path("x.wav").write_bytes(whole[: len(whole) // 2])
    elif what == "silent":
        soundfile.write("x.wav", 0 * song, RATE)
    elif what == "short":
        soundfile.write("x.wav", song[:900], RATE)
    elif what == "clipping":
        soundfile.write("x.wav", 1.2 * song / np.abs(song).max(), RATE, subtype="FLOAT")
    elif what == "eight":
        soundfile.write("x.wav", np.tile(song, (1, 4)), RATE)
    return "x.wav"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", "x.wav: no such file; correct its name"),
        ("text", "x.wav: not readable as audio"),
        ("truncated", r"x.wav: not readable as audio \(truncated; 599[0-9] of 12000 samples"),
        ("silent", "x.wav: silent from beginning to end; name a song"),
        ("short", "x.wav: 0.2. s, in which there is nothing to separate"),
        ("clipping", "x.wav: its samples go 1.58 dB beyond full scale.*softer with --gain -1.6"),
        ("eight", "x.wav: 8 channels, and songs of one or two can be protected"),
    ],
)
def test_songs_that_cannot_be_protected(folder: Folder, what: str, said: str) -> None:
    song = spoilt(folder, what)
    assert re.match(said, folder.run("protect", song, "p.wav", *QUICK).error)
    assert not (folder.root / LEFT).exists()
    assert not Path("p.wav").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("p.mp3 --against mine", "p.mp3: protected songs are written as wav or flac"),
        ("params.wav --against mine", "params.wav: there already; name another file, or add"),
        ("songs/x/p.wav --against mine", ".*songs/x: no such folder; make it, or name another"),
        ("p.wav --against mine --snr 30 --eps 0.1", "--snr and --eps are several budgets; name"),
        ("p.wav --against mine --eps 0", "protect: eps = 0 must lie above 0"),
        ("p.wav --against mine --against mine", "mine is named twice"),
        ("p.wav --against opaque", "opaque cannot be aimed at: no gradient: .* with --also"),
        ("p.wav --against liar", "liar cannot be aimed at: in 3 directions the gradient differs"),
        ("p.wav --against nothing", "nothing cannot be aimed at: it puts out nothing for the loud"),
        ("p.wav --against stft", "stft is told something of the true stems, as nobody is who"),
        ("p.wav --against mine --stems songs", "songs: no vocals.wav in it"),
        ("p.wav --set a=1", "--set a=1: name the one system that it belongs to"),
        ("p.wav --against mine --bits 20", "protect: bits = 20 is not allowed"),
        ("p.wav --against mine --report p.wav", "p.wav: two things shall be written there"),
        ("p.wav --against mnie", "unknown system `mnie`, did you mean `mine`"),
    ],
)
def test_words_that_do_not_fit(folder: Folder, words: str, said: str) -> None:
    Path("params.wav").touch()
    assert re.match(said, folder.run("protect", SONG, *words.split()).error)
    assert not (folder.root / LEFT).exists()


def test_the_song_itself_is_not_written_over(folder: Folder) -> None:
    before = (folder.root / SONG).read_bytes()
    ran = folder.run("protect", SONG, SONG, *QUICK, "--force")
    assert ran.error == f"{SONG}: the song itself, or its vocals; name another file to write to"
    assert (folder.root / SONG).read_bytes() == before


def test_no_separator_at_all(folder: Folder) -> None:
    Path("params.yaml").unlink()
    assert folder.run("protect", SONG, "p.wav").error == (
        "no separator to protect against: name one with --against, install one (pip install "
        "'stemproof[spleeter]'), or give an entry of params.yaml its weights"
    )


def test_all_that_are_at_hand_and_can_be_aimed_at(folder: Folder) -> None:
    ran = folder.run("protect", SONG, "p.wav", *QUICK[2:], "--snr", "30", "--also", "mono")
    assert ran.code == 0, ran.err
    found = folder.json("p.json")
    assert found["against"] == ["mine"]
    assert list(found["effects"]["others"]) == ["mono", "opaque", "liar", "repeating"]
    assert "note: not aimed at: liar: in 3 directions the gradient differs" in ran.err
    # The same function without a gradient is another system that it works on.
    effects = found["effects"]
    assert effects["others"]["opaque"]["output"] == effects["aimed"]["mine"]["output"]
    assert "on systems that it was not made for: something on opaque" in ran.out


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file can be longer, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_windows_are_kept(folder: Folder) -> None:
    song = read(folder.root / SONG)
    raw = 4 * song.size
    words = "protect", SONG, "p.wav", *QUICK, "--snr", "30"
    with files_up_to(raw // 2):
        error = folder.run(*words).error
    assert "song.f32: cannot be written (File too large); raise the limit" in error
    assert not (folder.root / LEFT).exists()
    # Then everything fits but the page.
    with files_up_to(raw + 9000):
        error = folder.run(*words, "--report", "p.html").error
    assert "p.html: cannot be written (File too large); raise the limit" in error
    assert not Path("p.html").exists()
    done = len(list((folder.root / LEFT).rglob("window-*.npy")))
    ran = folder.run(*words, "--force", "--report", "p.html")
    assert ran.code == 0, ran.err
    assert f"done before: {done} window" in ran.out + ran.err
    assert Path("p.html").exists()


def test_too_little_room_is_said_before(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 2**20})())
    error = folder.run("protect", SONG, "p.wav", *QUICK).error
    assert re.search(r"MB are needed there for a while, and 1 MB are free; free some space", error)


def test_params_are_checked() -> None:
    with pytest.raises(InputError, match="name either params or settings"):
        protect_song("x.wav", "y.wav", params=ProtectParams(), steps=3)
    with pytest.raises(InputError, match="unknown parameter setps, did you mean `steps`"):
        protect_song("x.wav", "y.wav", setps=3)
    assert ProtectParams(size=3).words == "3 dB below the masking threshold of the song"
    assert json.loads(ProtectParams().model_dump_json())["mix"] == "streaming"
