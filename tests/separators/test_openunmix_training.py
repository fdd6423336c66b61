"""Open-Unmix trained here: it learns, repeats itself, and goes on where it was stopped."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import rewrite_manifest
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.runtime import make_fabric
from stemproof.data import excerpts as heard
from stemproof.data.manifest import write_manifest
from stemproof.data.params import SegmentParams
from stemproof.data.store import MIXTURE, VOCALS, PreparedData
from stemproof.separators.checkpoint import load, read_header, save
from stemproof.separators.kind import Made, Making, described
from stemproof.separators.openunmix import KIND
from stemproof.separators.openunmix.excerpts import Excerpts, statistics
from stemproof.separators.openunmix.folder import read_folder
from stemproof.separators.openunmix.model import OpenUnmix
from stemproof.separators.openunmix.separator import BlindOpenUnmix
from stemproof.separators.openunmix.transform import Transform
from stemproof.separators.registry import entry
from stemproof.separators.validation import beside_bar, validate

RATE, N_FFT, HOP = 4000, 128, 32
CPU = torch.device("cpu")
SEGMENTS = SegmentParams(seconds=0.5)
NETWORK = {"n_fft": N_FFT, "n_hop": HOP, "bandwidth": 1500.0, "hidden_size": 16, "nb_layers": 2}
TRAINING = {"epochs": 4, "samples": 32, "batch_size": 8, "seconds": 0.5, "learning_rate": 0.01}


def track(seed: int, channels: int, samples: int) -> np.ndarray:
    """Mixture and vocals: a voice of harmonics that glides, over low tones and noise."""
    draw = np.random.default_rng(seed)
    time = np.arange(samples) / RATE
    pitch = 250 + 60 * np.sin(2 * np.pi * draw.uniform(0.5, 2) * time + draw.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = 0.1 * sum(np.sin(number * phase) / number for number in (1, 2, 3, 4))
    voice = voice * (1.2 + np.sin(2 * np.pi * 1.5 * time))
    low = 0.3 * np.sin(2 * np.pi * draw.uniform(50, 120) * time)
    rest = [low + 0.05 * draw.standard_normal(samples) for _ in range(channels)]
    vocals = [side * voice for side in (1.0, 0.7)[:channels]]
    return np.array([np.add(rest, vocals), vocals], dtype="<f4")


def write_data(folder: Path, channels: int = 2, samples: int = 2 * RATE + 11) -> PreparedData:
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, split in enumerate(["train"] * 5 + ["valid"] * 2):
        file = folder / f"{number}.npy"
        np.save(file, track(number, channels, samples))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        entries.append(
            {
                "split": split,
                "name": f"song {number}",
                "file": file.name,
                "samples": samples,
                "rendered": False,
                "sha256": digest,
            }
        )
    about = {"source": "test", "sample_rate": RATE, "channels": channels, "tracks": entries}
    write_manifest(folder, about)
    return PreparedData(folder)


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    return write_data(tmp_path / "prepared")


def made(data: PreparedData, resume: Path, seed: int = 3, **settings: Any) -> Made:
    training = {**TRAINING, **settings.pop("training", {})}
    about = {"kind": "openunmix", "network": NETWORK, "training": training, **settings}
    kind, own = entry({"small": about}, "small")
    assert kind.is_trained(own)
    fabric = make_fabric(RuntimeParams(accelerator="cpu", threads=1), ProcessParams())
    return kind.make(Making("small", own, seed, data, SEGMENTS, None, fabric, resume))


def stored(made: Made, path: Path) -> bytes:
    save(path, KIND, made.model, "small", 3, made.settings, made.trained)
    return path.read_bytes()


def test_training_makes_a_separator(data: PreparedData, tmp_path: Path) -> None:
    found = made(data, tmp_path / "a.ckpt", training={"epochs": 12})
    assert [row["epoch"] for row in found.curves] == list(range(1, 13))
    assert all(set(row) == {"epoch", "loss", "valid_loss", "valid_bs"} for row in found.curves)
    assert found.curves[-1]["loss"] < 0.5 * found.curves[0]["loss"]
    assert found.curves[-1]["valid_loss"] < 0.5 * found.curves[0]["valid_loss"]
    assert described(found)["valid_bs"] == found.curves[-1]["valid_bs"]
    held_out = data.tracks("valid")

    class Nothing:
        sample_rate, channels = RATE, 2

        def separate(self, mixture: Tensor, side: Any = None) -> Tensor:
            return mixture

    torch.manual_seed(0)
    untrained = BlindOpenUnmix(OpenUnmix(found.settings))
    for other in (Nothing(), untrained):
        known = validate(other, held_out, SEGMENTS)["valid_bs"]
        assert found.curves[-1]["valid_bs"] > known + 6
    # The last row is what the stored file does.
    file = tmp_path / "model.safetensors"
    stored(found, file)
    again = load(file, identity=("small", 3))
    assert (again.sample_rate, again.channels) == (RATE, 2)
    assert validate(again, held_out, SEGMENTS)["valid_bs"] == found.curves[-1]["valid_bs"]
    header = read_header(file)
    assert header.trained
    assert header.settings["training"]["epochs"] == 12


def test_the_same_seed_gives_the_same_bytes(data: PreparedData, tmp_path: Path) -> None:
    first, second = (made(data, tmp_path / f"{n}.ckpt") for n in range(2))
    assert first.curves == second.curves
    files = [stored(model, tmp_path / "model.safetensors") for model in (first, second)]
    assert files[0] == files[1]
    other = made(data, tmp_path / "c.ckpt", seed=4)
    assert other.curves != first.curves


@pytest.mark.parametrize("killed_in", [1, 3])
def test_a_killed_training_goes_on_to_the_same_bytes(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in: int
) -> None:
    whole = made(data, tmp_path / "whole.ckpt")
    epochs, batches = 0, Excerpts.batches

    def killed(*arguments: Any) -> Iterator[Any]:
        nonlocal epochs
        epochs += 1
        for step, batch in enumerate(batches(*arguments)):
            if epochs == killed_in and step == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(Excerpts, "batches", killed)
    with pytest.raises(KeyboardInterrupt):
        made(data, tmp_path / "killed.ckpt")
    monkeypatch.setattr(Excerpts, "batches", batches)
    assert (tmp_path / "killed.ckpt").exists() == (killed_in > 1)
    torch.manual_seed(99)  # whatever was drawn before
    resumed = made(data, tmp_path / "killed.ckpt")
    assert resumed.curves == whole.curves
    files = [stored(model, tmp_path / "model.safetensors") for model in (resumed, whole)]
    assert files[0] == files[1]


def test_only_the_same_run_is_gone_on_with(
    data: PreparedData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resume = tmp_path / "a.ckpt"
    short = {"epochs": 2}
    finished = made(data, resume, training=short)
    capsys.readouterr()
    again = made(data, resume, training=short)
    assert "going on after epoch 2" in capsys.readouterr().out
    assert again.curves == finished.curves
    changes: list[dict[str, Any]] = [{"learning_rate": 0.02}, {"samples": 40}, {"seconds": 0.6}]
    for change in changes:
        made(data, resume, training={**short, **change})
        assert "of other parameters, data or code, starting over" in capsys.readouterr().out


def test_the_mixture_can_be_mono(tmp_path: Path) -> None:
    found = made(write_data(tmp_path / "mono", channels=1), tmp_path / "a.ckpt")
    stored(found, tmp_path / "model.safetensors")
    separator = load(tmp_path / "model.safetensors")
    assert separator.channels == 1
    assert separator.separate(torch.zeros(2, 1, 1000)).shape == (2, 1, 1000)


def test_a_trained_model_can_be_filtered(data: PreparedData, tmp_path: Path) -> None:
    """One system by its weights: the filter has no part in the training."""
    curves = []
    for number, change in enumerate(({}, {"niter": 1, "residual": True})):
        found = made(data, tmp_path / f"{number}.ckpt", **change)
        stored(found, tmp_path / "model.safetensors")
        assert (load(tmp_path / "model.safetensors").model.wiener is None) == (number == 0)  # type: ignore[attr-defined]
        curves.append(found.curves)
    for plain, filtered in zip(*curves, strict=True):
        assert plain["loss"] == filtered["loss"]
        assert plain["valid_loss"] == filtered["valid_loss"]
        assert plain["valid_bs"] != filtered["valid_bs"]


def test_the_package_reads_what_was_trained(data: PreparedData, tmp_path: Path) -> None:
    if importlib.util.find_spec("openunmix") is None:
        pytest.skip("openunmix is not installed")
    training = {"epochs": 1}
    found = made(data, tmp_path / "a.ckpt", network={**NETWORK, "nb_layers": 3}, training=training)
    model: Any = found.model
    folder = tmp_path / "weights"
    folder.mkdir()
    about = {"sample_rate": RATE, "nfft": N_FFT, "nhop": HOP, "nb_channels": 2}
    (folder / "separator.json").write_text(json.dumps(about))
    arguments = {**about, "hidden_size": 16}
    (folder / "vocals.json").write_text(json.dumps({"args": arguments}))
    torch.save(model.networks[0].state_dict(), folder / "vocals.pth")
    excerpts = heard.Excerpts.segments(data.tracks("valid")[:1], 2000, channels=2)
    mixture, _ = excerpts.read(range(len(excerpts)))
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torchaudio") is None:
            patch.setitem(sys.modules, "torchaudio", types.ModuleType("torchaudio"))
        utils = importlib.import_module("openunmix.utils")
        theirs = utils.load_separator(str(folder), ["vocals"], niter=0).eval()
    for name in [name for name in sys.modules if name.split(".")[0] == "openunmix"]:
        del sys.modules[name]
    with torch.no_grad():
        expected = theirs(mixture)[:, 0]
    separator = BlindOpenUnmix(model)
    torch.testing.assert_close(separator.separate(mixture), expected, rtol=1e-4, atol=1e-5)
    assert read_folder(folder).targets[0].sizes == found.settings["networks"][0]


def test_statistics_are_those_of_all_frames(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracks = data.tracks("train")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    frames = []
    for song in tracks:
        for start in range(0, song.samples - N_FFT + 1, HOP):
            part = song.mixture[:, start : start + N_FFT].astype(np.float64)
            frames.append(np.abs(np.fft.rfft(part * window)).mean(axis=0))
    for taken in (1000, 7):
        monkeypatch.setattr("stemproof.separators.openunmix.excerpts.FRAMES", taken)
        mean, deviation = statistics(tracks, Transform(N_FFT, HOP), CPU)
        np.testing.assert_allclose(mean.numpy(), np.mean(frames, axis=0), rtol=1e-4)
        np.testing.assert_allclose(deviation.numpy(), np.std(frames, axis=0), rtol=1e-3)


def test_statistics_of_silence_are_finite(tmp_path: Path) -> None:
    data = write_data(tmp_path / "silent", samples=RATE)
    for song in data.tracks("train"):
        np.save(data.folder / song.file, np.zeros_like(song.audio))
    mean, deviation = statistics(data.tracks("train"), Transform(N_FFT, HOP), CPU)
    assert not mean.any()
    assert torch.equal(deviation, torch.ones_like(deviation))


def test_the_network_begins_with_the_statistics(data: PreparedData, tmp_path: Path) -> None:
    model: Any = made(
        data, tmp_path / "a.ckpt", training={"epochs": 1, "learning_rate": 1e-12}
    ).model
    mean, deviation = statistics(data.tracks("train"), Transform(N_FFT, HOP), CPU)
    heard = int(1500 * N_FFT / RATE) + 1
    network = model.networks[0]
    assert network.heard_bins == heard
    torch.testing.assert_close(network.input_mean.detach(), -mean[:heard].float())
    torch.testing.assert_close(network.input_scale.detach(), (1 / deviation[:heard]).float())


@pytest.mark.parametrize("channels", [1, 2])
def test_excerpts_are_sources_of_their_own_places(tmp_path: Path, channels: int) -> None:
    """Every source of a batch is one of the tracks, at some place, times a gain, maybe mirrored."""
    length = 400
    data = write_data(tmp_path / "prepared", channels, samples=length + 3)
    tracks = data.tracks("train")
    known = {
        source: [
            (number, start, swapped, cut[::-1] if swapped else cut)
            for number, song in enumerate(tracks)
            for start in range(4)
            for swapped in ([False, True] if channels == 2 else [False])
            for cut in [song.audio[0, :, start:][:, :length] - song.audio[1, :, start:][:, :length]]
            for cut in [cut if source == MIXTURE else song.audio[1, :, start : start + length]]
        ]
        for source in (MIXTURE, VOCALS)
    }
    torch.manual_seed(1)
    batches = list(Excerpts(tracks, length).batches(93, 10))
    assert len(batches) == 9
    found, gains = {MIXTURE: [], VOCALS: []}, []
    for mixture, vocals in batches:
        assert mixture.shape == vocals.shape == (10, channels, length)
        for source, sounds in ((VOCALS, vocals), (MIXTURE, mixture - vocals)):
            for sound in sounds.numpy():
                errors = []
                for *draw, cut in known[source]:
                    gain = float((sound * cut).sum() / np.square(cut).sum())
                    errors.append((np.abs(sound - gain * cut).max(), gain, tuple(draw)))
                error, gain, draw = min(errors)
                assert error < 1e-5
                gains.append(gain)
                found[source].append(draw)
    assert 0.25 <= min(gains) < 0.3
    assert 1.2 < max(gains) <= 1.25 + 1e-4
    for draws in found.values():
        numbers, starts, swaps = (set(part) for part in zip(*draws, strict=True))
        assert numbers == set(range(5))
        assert starts == set(range(4))
        assert swaps == ({False, True} if channels == 2 else {False})
    # Vocals and what they sing over are drawn apart.
    assert any(a[:2] != b[:2] for a, b in zip(*found.values(), strict=True))


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (
            {"seconds": 3.0},
            "separators.small.training.seconds = 3 makes excerpts of 12000 samples, b",
        ),
        (
            {"seconds": 0.03},
            "training.seconds = 0.03 makes excerpts of 120 samples, fewer than netw",
        ),
    ],
)
def test_excerpts_have_to_fit(
    data: PreparedData, tmp_path: Path, training: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        made(data, tmp_path / "a.ckpt", training=training)
    assert not (tmp_path / "a.ckpt").exists()


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_track_that_is_too_loud_is_named(data: PreparedData, tmp_path: Path, split: str) -> None:
    song = data.tracks(split)[0]
    np.save(data.folder / song.file, np.array(song.audio) * np.float32(1e30))
    said = rf"not? .*number.* in epoch 1; the samples of {song.name} reach \d(\.\d+)?e\+\d\d, and"
    with pytest.raises(InputError, match=said):
        made(data, tmp_path / "a.ckpt")


def test_a_split_that_is_empty_is_refused(data: PreparedData, tmp_path: Path) -> None:
    about = json.loads((data.folder / "manifest.json").read_text())
    about["tracks"] = [track for track in about["tracks"] if track["split"] != "valid"]
    rewrite_manifest(data.folder, json.dumps(about))
    with pytest.raises(InputError, match="lacks training or validation tracks"):
        made(PreparedData(data.folder), tmp_path / "a.ckpt")


def test_a_bar_says_the_epoch_and_the_last_validation() -> None:
    assert beside_bar(0, 3, {"loss": 1.5}, []) == {"epoch": "1/3", "loss": "1.500"}
    rows = [{"epoch": n, "loss": 9.0, "valid_bs": float(n)} for n in (1, 2)]
    said = {"epoch": "3/3", "loss": "1.500", "valid_bs": "2.000"}
    assert beside_bar(2, 3, {"loss": 1.5}, rows) == said
