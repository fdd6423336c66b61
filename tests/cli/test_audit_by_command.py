"""``audit`` of a folder of songs: its figures are those of the songs, its estimate is counted."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from song_toys import RATE, Folder, folder, make_song, read, sdr, system

from stemproof.api import costing
from stemproof.api.choosing import choose
from stemproof.api.folder import audit_folder, expected_seconds, open_systems
from stemproof.api.folder_params import FolderParams
from stemproof.attacks.params import AttackSection
from stemproof.attacks.passes import Cost
from stemproof.core.errors import InputError
from stemproof.data.songs import find_songs, loudest, prepare_songs

__all__ = ["folder"]
CPU = torch.device("cpu")
QUICK = "--steps", "3", "--queries", "6"


def by_seconds(song: Path) -> list[float]:
    """SI-SDR of the vocals of every second of a song, computed here."""
    mixture, vocals = (read(song / f"{stem}.wav") for stem in ("mixture", "vocals"))
    found = system(torch.from_numpy(mixture)[None])[0].numpy()
    cuts = [slice(at, at + RATE) for at in range(0, mixture.shape[1] - RATE + 1, RATE)]
    return [sdr(vocals[:, cut], found[:, cut]) for cut in cuts]


def test_the_figures_are_those_of_the_songs(folder: Folder) -> None:
    said = folder.good(
        "audit", "songs", "--with", "mine", *QUICK, "--eps", "0.02", "--out", "r.json"
    )
    found = folder.json("r.json")
    one = found["systems"]["mine"]
    songs = [folder.root / "songs" / name for name in found["songs"]]
    clean = [float(np.median(by_seconds(song))) for song in songs]
    figures = one["figures"]
    assert found["songs"] == ["song 0", "song 1"]
    assert figures["bs"] == pytest.approx(np.median(clean), abs=1e-3)
    assert figures["bs_low"] == pytest.approx(min(clean), abs=1e-3)
    assert figures["bs_high"] == pytest.approx(max(clean), abs=1e-3)
    assert figures["drop"] > max(0.5, 4 * figures["noise_drop"])
    assert figures["break_1db"] > figures["break_3db"] > figures["break_6db"] > 0
    assert figures["n_collapsed"] == 0
    assert one["gate"]["passed"]
    assert one["threat"] == "blind"
    assert found["params"]["attack"]["eps"] == 0.02
    lines = said.splitlines()
    assert lines[0].split() == ["dB", "mine"]
    row = f"{figures['bs']:.2f} [{figures['bs_low']:.2f}, {figures['bs_high']:.2f}]"
    assert re.fullmatch(rf"clean +{re.escape(row)}", lines[1])
    assert lines[9].split() == ["collapsed", "segments", "0", "of", "6"]
    raised = [flag for flag in one["flags"] if flag[1] == "RAISED"]
    assert sum(" RAISED " in line for line in lines) == len(raised)
    measured = sum(flag[1] != "not measured" for flag in one["flags"])
    assert f"mine (blind, pgd, linf): {len(raised)} of {measured} flags raised; " in said
    assert lines[-1] == "written to r.json"


def test_a_single_song_has_no_intervals(folder: Folder) -> None:
    shutil.rmtree(folder.root / "songs/song 1")
    said = folder.good("audit", "songs", "--with", "mine", *QUICK, "--out", "r.json")
    figures = folder.json("r.json")["systems"]["mine"]["figures"]
    assert not [key for key in figures if key.endswith(("_low", "_high"))]
    assert "[" not in said


def test_two_systems_and_one_without_a_gradient(folder: Folder) -> None:
    said = folder.good(
        "audit", "songs", "--with", "mine", "--with", "opaque", *QUICK, "--out", "r.json"
    )
    found = folder.json("r.json")["systems"]
    assert list(found) == ["mine", "opaque"]
    assert found["opaque"]["figures"]["bs"] == pytest.approx(found["mine"]["figures"]["bs"])
    assert found["opaque"]["figures"]["drop"] < found["mine"]["figures"]["drop"]
    assert not found["opaque"]["gate"]["passed"]
    assert "opaque: RAISED no white box: the figures are of attacks without gradients" in said
    # What was crafted with the gradient of the one breaks the other, which is the same function.
    assert "opaque: RAISED stronger from elsewhere: what was crafted on mine-0 costs" in said
    assert "mine: RAISED no white box" not in said


def test_a_system_that_puts_out_nothing_is_said_to(folder: Folder) -> None:
    said = folder.good("audit", "songs", "--with", "nothing", *QUICK, "--out", "r.json")
    assert re.search(r"^clean +none$", said, re.MULTILINE)
    assert re.search(r"^collapsed segments +6 of 6$", said, re.MULTILINE)
    assert "nothing: RAISED collapsed: " in said
    assert "bs" not in folder.json("r.json")["systems"]["nothing"]["figures"]


def test_a_program_and_an_informed_system_are_audited(folder: Folder) -> None:
    command = ["--set", "command=[cp, '{input}', '{output}']", "--set", "channels=2"]
    said = folder.good(
        "audit", "songs", "--with", "command", *command, "--set", f"sample_rate={RATE}",
        "--queries", "2", "--excerpt", "1", "--out", "a.json",
    )  # fmt: skip
    assert "a program of its own computes the vocals" in said
    figures = folder.json("a.json")["systems"]["command"]["figures"]
    assert figures["bs"] == pytest.approx(figures["mixture_si_sdr"])
    said = folder.good(
        "audit", "songs", "--with", "stft", "--set", "window=256", "--set", "hop=64", *QUICK
    )
    assert "stft (informed, pgd, linf): " in said


def test_the_test_songs_of_a_data_set_are_taken(folder: Folder) -> None:
    for split in ("train", "test"):
        make_song(folder.root / "data" / split / f"a {split}", 7)
    assert [song.name for song in find_songs(folder.root / "data")] == ["a test"]
    (folder.root / "data/test/b.stem.mp4").touch()
    (folder.root / "data/test/notes").mkdir()
    assert [song.name for song in find_songs(folder.root / "data")] == ["a test", "b"]


def test_an_excerpt_is_where_the_vocals_are_loudest(folder: Folder, tmp_path: Path) -> None:
    song = make_song(folder.root / "long" / "x", 3, seconds=8, loud_from=5)
    data = prepare_songs(find_songs(song.parent), tmp_path / "prepared", FolderParams().cut, 3.0)
    (track,) = data.tracks("test")
    mixture, vocals = (read(song / f"{stem}.wav") for stem in ("mixture", "vocals"))
    at = track.samples
    assert at == 3 * RATE
    starts = [
        n
        for n in range(mixture.shape[1] - at + 1)
        if np.array_equal(mixture[:, n : n + at], track.mixture)
    ]
    assert len(starts) == 1
    assert starts[0] == pytest.approx(5 * RATE, abs=20)
    assert np.array_equal(vocals[:, starts[0] : starts[0] + at], track.vocals)


def test_the_loudest_part() -> None:
    draw = np.random.default_rng(1).standard_normal((2, 50)).astype(np.float32)
    energies = [float((draw[:, at : at + 7] ** 2).sum()) for at in range(44)]
    assert loudest(draw, 7) == int(np.argmax(energies))
    assert loudest(draw, 50) == loudest(draw, 99) == 0


@pytest.mark.parametrize(("name", "queries"), [("mine", 6), ("opaque", 40)])
def test_the_estimate_counts_the_passes(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, queries: int
) -> None:
    attack = AttackSection(pgd={"steps": 3}, search={"queries": queries})
    params = FolderParams(attack)
    data = prepare_songs(find_songs(folder.root / "songs"), tmp_path / "prepared", params.cut)
    systems = open_systems([choose(name)], data, tmp_path, CPU)
    module = next(m for key, m in sys.modules.items() if key.startswith("somebody_"))
    monkeypatch.setattr(costing, "timed", lambda *_: Cost(1.0, 1.0))
    estimate = expected_seconds(systems, data, params, CPU)
    module.HEARD.clear()
    audit_folder(systems, data, params, tmp_path, CPU)
    assert estimate == pytest.approx(sum(module.HEARD) / RATE, rel=0.1)


def spoilt(folder: Folder, what: str) -> None:
    place = folder.root / "songs/song 1"
    vocals, mixture = place / "vocals.wav", place / "mixture.wav"
    song = read(mixture).T
    if what == "missing":
        vocals.unlink()
    elif what == "short":
        soundfile.write(vocals, song[:9000], RATE)
    elif what == "rate":
        for file in (vocals, mixture):
            soundfile.write(file, song, 2 * RATE)
    elif what == "mono":
        for file in (vocals, mixture):
            soundfile.write(file, song[:, 0], RATE)
    elif what == "silent":
        soundfile.write(vocals, 0 * song, RATE)
    elif what == "brief":
        for file in (vocals, mixture):
            soundfile.write(file, song[:3000], RATE)
    elif what == "text":
        vocals.write_text("no audio")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", "songs/song 1: no vocals.wav; a song is a folder with mixture.wav and"),
        ("short", "songs/song 1/vocals.wav: 9000 samples, but songs/song 1/mixture.wav has 12000"),
        ("rate", "songs/song 1/mixture.wav: 8000 Hz and 2 channel.s., but songs/song 0/mixture"),
        ("mono", "songs/song 1/mixture.wav: 4000 Hz and 1 channel.s., but songs/song 0/mixture"),
        ("silent", "songs/song 1/vocals.wav: silent, or nearly so, in every second"),
        ("brief", "songs/song 1/mixture.wav: shorter than the 1 s that figures"),
        ("text", "songs/song 1/vocals.wav: not readable as audio"),
    ],
)
def test_songs_that_cannot_be_used_are_named(folder: Folder, what: str, said: str) -> None:
    spoilt(folder, what)
    assert re.match(said, folder.run("audit", "songs", "--with", "mine").error)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("audit nowhere --with mine", "nowhere: no such folder; name one with songs"),
        ("audit params.yaml --with mine", "params.yaml: no folder; name one with songs"),
        ("audit empty --with mine", "empty: no song in it; a song is a folder"),
        ("audit songs --with mine --with mine", "mine is named twice"),
        ("audit songs --with mine --out params.yaml", "params.yaml: there already; name another"),
        ("audit songs --with mine --with stft --set hop=1", "--set hop=1: of which of mine, stft"),
        ("audit songs --with rsvm", "--with rsvm: a system of kind rsvm has to be trained first"),
    ],
)
def test_bad_words_are_one_sentence(folder: Folder, words: str, said: str) -> None:
    (folder.root / "empty").mkdir()
    assert folder.run(*words.split()).error.startswith(said)


def test_a_name_of_a_kind_that_is_an_entry_is_the_entry(folder: Folder) -> None:
    entries: Any = {"stft": {"kind": "stft", "window": 64, "hop": 16}}
    settings: Any = choose("stft", entries=entries).settings
    assert settings.window == 64
    settings = choose("stft", {"window": 32, "hop": 8}, entries).settings
    assert settings.window == 32
    with pytest.raises(InputError, match="separators.x: unknown parameter windo"):
        choose("x", entries={"x": {"kind": "stft", "windo": 1}})


def test_bars_and_what_stages_say_are_not_the_result(folder: Folder) -> None:
    ran = folder.run("audit", "songs", "--with", "mine", *QUICK)
    assert ran.code == 0
    assert ran.out.startswith("dB ")
    assert "2 songs, 6 s, mine: less than two minutes" in ran.err
    assert "the gradient passes its checks" in ran.err
