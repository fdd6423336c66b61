"""What is measured of states of a training: tables against the same figures computed here."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, AllParams

from stemproof.core.errors import InputError
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import RSVM, build_model

EPOCHS = 3


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")

    def imported(name: str) -> ModuleType:
        __import__(name)
        return sys.modules[name]

    return imported


@pytest.fixture
def model(
    make_params: Callable[..., AllParams],
    songs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> RSVM:
    """A model whose state, of three epochs, stands in a project with prepared songs."""
    params = make_params(data={"root": str(songs)})
    monkeypatch.chdir(tmp_path)
    prepare(params.data, params.segments, 1, tmp_path / "data/prepared")
    _, variant = entry(params.separators, "improved")
    rate, samples = params.data.sample_rate, params.segment_samples
    model = build_model(params.rsvm.sizes, variant, rate, samples, 1)
    torch.save({"model": model.state_dict(), "curves": [{}] * EPOCHS}, tmp_path / "state.ckpt")
    return model.freeze()


def parts_of(split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mixture and vocals of every track in segments of a quarter of a second, mono."""
    return [
        (mixture[:, 0].numpy(), vocals[:, 0].numpy())
        for mixture, vocals in (
            track.segments(1000) for track in PreparedData(Path("data/prepared")).tracks(split)
        )
    ]


def decibels(signal: np.ndarray, error: np.ndarray) -> np.ndarray:
    return 10 * np.log10((signal.astype(float) ** 2).sum(1) / (error.astype(float) ** 2).sum(1))


def back(model: RSVM, signal: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model.decode(model.encode(torch.from_numpy(signal)), signal.shape[1]).numpy()


def loud(vocals: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.linalg.norm(vocals, axis=1) + 1e-30) >= -10


def test_what_comes_back_of_a_mixture(
    benchmark: Callable[[str], Any], model: RSVM, tmp_path: Path
) -> None:
    benchmark("mixtures").main([tmp_path / "state.ckpt"], "improved", tmp_path / "found.csv")
    row = next(csv.DictReader((tmp_path / "found.csv").open()))
    expected: dict[str, list[float]] = {"vocals": [], "accompaniment": [], "mixture": []}
    for mixture, vocals in parts_of("valid"):
        counts = loud(vocals)
        rest = mixture - vocals
        for name, signal in zip(expected, (vocals, rest, mixture), strict=True):
            signal = signal[counts]
            expected[name].append(float(np.median(decibels(signal, signal - back(model, signal)))))
    assert int(row["epoch"]) == EPOCHS
    for name, values in expected.items():
        assert float(row[name]) == pytest.approx(median(values), abs=1e-4), name


def test_the_reconstruction_in_three_ways(
    benchmark: Callable[[str], Any],
    model: RSVM,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    benchmark("reconstruction").main(tmp_path / "state.ckpt", "improved")
    title, _, header, _, *rows = capsys.readouterr().out.splitlines()
    assert title == f"improved, {EPOCHS} epochs"
    assert header == "| SI-SDR of | train | valid | test |"
    found = {
        cells[1].strip(): list(map(float, cells[2:5])) for row in rows if (cells := row.split("|"))
    }
    for column, split in enumerate(("train", "valid", "test")):
        of_tracks = []
        for _, vocals in parts_of(split):
            signal = vocals[loud(vocals)]
            heard = back(model, signal)
            scale = (signal * heard).sum(1, keepdims=True) / (signal**2).sum(1, keepdims=True)
            of_tracks.append(float(np.median(decibels(scale * signal, scale * signal - heard))))
        assert found["segments that count"][column] == pytest.approx(median(of_tracks), abs=6e-3)
    assert set(found) == {"segments that count", "all segments with vocals", "whole tracks"}


def test_figures_of_a_state_are_of_the_attack(
    benchmark: Callable[[str], Any], model: RSVM, tmp_path: Path
) -> None:
    benchmark("training_length").main(
        [tmp_path / "state.ckpt"], "improved", tmp_path / "found.csv", ["valid", "train"]
    )
    rows = list(csv.DictReader((tmp_path / "found.csv").open()))
    assert [(row["epoch"], row["split"]) for row in rows] == [("3", "train"), ("3", "valid")]
    for row in rows:
        bs, at_bs, rb, drop = (float(row[key]) for key in ("bs", "at_bs", "rb", "drop"))
        assert rb == pytest.approx(bs - at_bs, abs=2e-4)
        assert drop > 0
    # One validation track: the median over segments of the SI-SDR behind the binary mask.
    ((mixture, vocals),) = parts_of("valid")
    mixture, vocals = mixture[loud(vocals)], vocals[loud(vocals)]
    with torch.no_grad():
        codes = [model.encode(torch.from_numpy(x)) for x in (mixture, vocals, mixture - vocals)]
        mask = (codes[1] / codes[2] > 0.5).float()
        heard = model.decode(codes[0] * mask, mixture.shape[1]).numpy()
    scale = (vocals * heard).sum(1, keepdims=True) / (vocals**2).sum(1, keepdims=True)
    expected = float(np.median(decibels(scale * vocals, scale * vocals - heard)))
    assert float(rows[1]["bs"]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("name", ["mixtures", "training_length"])
def test_a_state_of_another_system_is_refused(
    benchmark: Callable[[str], Any], model: RSVM, tmp_path: Path, name: str
) -> None:
    command = benchmark(name)
    with pytest.raises(InputError, match=r"state\.ckpt: not a state of baseline"):
        command.main([tmp_path / "state.ckpt"], "baseline", tmp_path / "found.csv")
    assert not (tmp_path / "found.csv").exists()
