"""Transfer over all test tracks: held against passes that are made here, one by one."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import RATE, ROOT, SMALL, default_tree, merged, write_songs

from stemproof.core.errors import InputError
from stemproof.data.store import MIXTURE, VOCALS, PreparedData
from stemproof.separators.checkpoint import load

pytestmark = pytest.mark.slow

OWN = """
import torch
from torch import nn

class Bent(nn.Module):
    def forward(self, mixture):
        return torch.tanh(3 * mixture - 1.5 * mixture.roll(7, -1))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which one system of either threat model was attacked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "stages")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bent_system.py").write_text(OWN)
    tree = merged(default_tree(), SMALL)
    own = {"kind": "callable", "function": "bent_system:Bent", "arguments": {}}
    tree["separators"]["bent"] = {**own, "sample_rate": RATE, "channels": 2}
    tree |= {"systems": ["baseline", "bent"], "own": ["bent"], "ablations": []}
    tree["rsvm"]["training"]["epochs"] = 1
    tree["data"]["root"] = "songs"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    write_songs(tmp_path / "songs")
    importlib.import_module("prepare").main()
    for name in ("baseline", "bent"):
        for stage in ("train", "generate"):
            importlib.import_module(stage).main(name, 218)
    return tmp_path


def si_sdr(truth: Any, estimate: Any) -> float:
    truth, estimate = (np.asarray(part, dtype=np.float64).ravel() for part in (truth, estimate))
    scaled = truth * (estimate @ truth) / (truth @ truth)
    error = estimate - scaled
    return float(10 * np.log10((scaled @ scaled) / (error @ error)))


def test_losses_are_those_of_single_passes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matrix = importlib.import_module("transfer_matrix")
    matrix.main(["baseline", "bent"], Path("transfer.csv"))
    said = capsys.readouterr().out
    found = pd.read_csv("transfer.csv").set_index(["played_to", "track"])
    assert len(found) == 6 and list(found) == ["baseline", "bent", "random signs"]
    system = load(Path("models/bent/218.safetensors"))
    folder = Path("data/adversarial")
    for track in PreparedData(Path("data/prepared")).tracks("test"):
        mixture, vocals = track.audio[MIXTURE], track.audio[VOCALS]
        mono = mixture.mean(0, keepdims=True)
        heard = {name: np.load(folder / name / "218" / track.file) for name in ("baseline", "bent")}
        length = heard["baseline"].shape[-1]
        # What was crafted in mono is added to both channels.
        crossed = mixture.copy()
        crossed[:, :length] += heard["baseline"] - mono[:, :length]
        for name, played in (("baseline", crossed), ("bent", heard["bent"])):
            clean, attacked = (
                si_sdr(vocals, system.separate(torch.from_numpy(np.array(part))[None])[0])
                for part in (mixture, played)
            )
            assert found.loc["bent", track.name][name] == pytest.approx(clean - attacked, abs=2e-3)
    rows = {line.split("|")[1].strip(): line for line in said.splitlines()[2:]}
    assert set(rows) == {"baseline (informed)", "bent (blind)"}
    medians = found.groupby(level=0).median()
    for name, threat in (("baseline", "informed"), ("bent", "blind")):
        shown = re.findall(r"(-?[\d.]+) \[", rows[f"{name} ({threat})"])
        assert [float(value) for value in shown] == [
            pytest.approx(value, abs=0.0051) for value in medians.loc[name]
        ]
    # Aimed at itself each loses most, and noise costs next to nothing.
    assert medians.loc["bent", "bent"] > medians.loc["bent", "baseline"]
    assert medians.loc["bent", "bent"] > medians.loc["bent", "random signs"]


def test_a_system_that_was_not_attacked_is_one_sentence(project: Path) -> None:
    matrix = importlib.import_module("transfer_matrix")
    with pytest.raises(InputError, match="index.json: no such file"):
        matrix.main(["baseline", "improved"])
