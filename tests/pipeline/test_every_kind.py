"""The one-liners of the documentation through real DVC, for an entry of every kind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from demucs.demucs import Demucs
from demucs_toys import store
from own_systems import Net
from soaked import TINY
from test_pipeline import Clone

pytestmark = pytest.mark.slow

RATE = 44_100
OWN = """
import torch
from helper import GAIN
from torch import nn

class MyNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(2, 2, 5, padding=2)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.linspace(-1, 1, 20).view(2, 2, 5))

    def forward(self, mixture):
        return GAIN * torch.tanh(self.convolution(mixture))
"""
HELPER = "GAIN = 1.0\n"
# What a program of anybody's may be: it reads a wav file, and writes one.
PROGRAM = """
import sys
import numpy, soundfile
mixture, rate = soundfile.read(sys.argv[1], dtype="float32")
soundfile.write(sys.argv[2], numpy.tanh(mixture - 0.5 * mixture.mean(1, keepdims=True)), rate,
                subtype="FLOAT")
"""


def of_onnx(folder: Path) -> dict[str, Any]:
    torch.manual_seed(1)
    example = torch.zeros(1, 2, RATE)
    torch.onnx.export(
        Net().eval(),
        (example,),
        folder / "net.onnx",
        input_names=["mixture"],
        output_names=["vocals"],
        dynamic_axes={"mixture": {0: "batch", 2: "samples"}, "vocals": {0: "batch", 2: "samples"}},
        dynamo=False,
    )
    return {"kind": "onnx", "file": str(folder / "net.onnx"), "sample_rate": RATE, "channels": 2}


def of_demucs(folder: Path) -> dict[str, Any]:
    small = {"channels": 4, "depth": 2, "dconv_mode": 0, "lstm_layers": 0, "resample": False}
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        model = Demucs(["other", "vocals"], **small, samplerate=RATE, segment=1.0)
    return {"kind": "demucs", "weights": str(store(folder / "demucs.safetensors", model))}


def of_openunmix(folder: Path) -> dict[str, Any]:
    training = {"epochs": 1, "samples": 4, "batch_size": 2, "seconds": 1.0}
    sizes = {"hidden_size": 8, "nb_layers": 1}
    return {"kind": "openunmix", "network": sizes, "training": training}


ENTRIES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "callable": lambda folder: {
        "kind": "callable",
        "function": "my_module:MyNetwork",
        "arguments": {},
        "sample_rate": RATE,
        "channels": 2,
    },
    "command": lambda folder: {
        "kind": "command",
        "command": [sys.executable, "program.py", "{input}", "{output}"],
        "sample_rate": RATE,
        "channels": 2,
    },
    "demucs": of_demucs,
    "onnx": of_onnx,
    "openunmix": of_openunmix,
    "spleeter": lambda folder: {"kind": "spleeter"},
}


OF_NO_FILE = ("openunmix", "spleeter")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    folder = tmp_path_factory.mktemp("kinds")
    entries = {f"{kind}-entry": about(folder) for kind, about in ENTRIES.items()}
    entries["stft"] = {"kind": "stft", "window": 512, "hop": 128}  # the oracle
    # A program starts anew for every query.
    few = {"search": {"queries": 4}, "nes": {"queries": 8}}
    changes = {**TINY, "separators": entries, "attack": {**TINY["attack"], **few}}
    # A pass of Spleeter takes most of a second, however short the recording.
    excerpts = {"rules": ["decaying"], "losses": ["si_sdr"], "eps_factors": [1.0], "queries": 2}
    changes["audit"] = {**TINY["audit"], "excerpts": excerpts}
    clone = Clone(folder / "clone", changes)
    (clone.folder / "my_module.py").write_text(OWN)
    (clone.folder / "helper.py").write_text(HELPER)
    (clone.folder / "program.py").write_text(PROGRAM)
    clone.commit("systems")
    return clone


def audit(clone: Clone, *kinds: str) -> str:
    """Run the line of the documentation, and give what is said."""
    named: dict[str, list[str]] = {"own": [], "ablations": []}
    for kind in kinds:
        named["ablations" if kind in OF_NO_FILE else "own"].append(f"{kind}-entry")
    lists = {"systems": [f"{kind}-entry" for kind in kinds], **named}
    asked = [f"{key}=[{','.join(names)}]" for key, names in lists.items() if names]
    asked.append(f"reference={kinds[0]}-entry")
    return clone.dvc("exp", "run", "report", *(part for item in asked for part in ("-S", item)))


@pytest.fixture(scope="module")
def one(clone: Clone) -> str:
    """What the run says that audits the one system of README."""
    return audit(clone, "callable")


@pytest.fixture(scope="module")
def others(clone: Clone, one: str) -> str:
    """What the run says that audits all others, after it."""
    return audit(clone, *(kind for kind in ENTRIES if kind != "callable"))


@pytest.mark.parametrize("kind", ENTRIES)
def test_an_entry_of_every_kind_is_audited_by_one_line(
    clone: Clone, kind: str, request: pytest.FixtureRequest
) -> None:
    name = f"{kind}-entry"
    said: str = request.getfixturevalue("one" if kind == "callable" else "others")
    assert f"{name}: " in said
    metrics = clone.system(name)
    assert metrics["kind"] == kind
    assert metrics["informed"] is False
    # What returns no gradient is not attacked with one, and says so.
    assert metrics["gate"]["passed"] == (kind not in ("command", "onnx"))
    flags = json.loads((clone.folder / "metrics/audit.json").read_text())[name]["flags"]
    assert flags["budget violated"] == "clear"
    assert (flags["no white box"] == "RAISED") == (kind in ("command", "onnx"))
    assert name in (clone.folder / "report/report.md").read_text()
    assert "train-baseline@218" not in clone.stages_run(said)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_system_whose_file_was_edited_is_another_one(clone: Clone) -> None:
    """DVC does not know what a module imports: every run looks at it."""
    name, helper = "callable-entry", clone.folder / "helper.py"
    clone.change(systems=[name], ablations=[], own=[name], reference=name)
    table = clone.folder / f"metrics/models/{name}/218/tracks.csv"
    take, score = f"take-own@{name}-218", f"evaluate@{name}-218"
    clone.dvc("repro", score)
    before = table.read_bytes()
    assert clone.stages_run(clone.dvc("repro", score)) == [take]  # nothing has changed
    edit(helper, "GAIN = 1.0", "GAIN = 0.5")
    again = clone.stages_run(clone.dvc("repro", score))
    assert {take, score, f"find-break-points@{name}-218"} <= {*again}
    assert table.read_bytes() != before
    # By hand, no stage takes the figures of one for those of the other.
    edit(helper, "GAIN = 0.5", "GAIN = 1.0")
    said = clone.run(
        *(sys.executable, "stages/evaluate.py", "--system", name, "--seed", "218"), fails=True
    )
    assert "helper.py is not what this model was made of; make it again: dvc repro" in said
    clone.git("checkout", "--quiet", ".")


def test_either_list_says_which_systems_are_the_others(clone: Clone) -> None:
    name = "callable-entry"
    clone.change(systems=[name], ablations=[name], own=[], reference=name)
    said = clone.dvc("repro", f"evaluate@{name}-218", fails=True)
    assert f"ablations names {name}, which is made of files that DVC does not know" in said
    assert f"-S 'own=[{name}]'" in said
    name = "openunmix-entry"
    clone.change(systems=[name], ablations=[], own=[name], reference=name)
    said = clone.dvc("repro", f"evaluate@{name}-218", fails=True)
    assert f"own names {name}, which is made of no file of yours" in said
    clone.git("checkout", "--quiet", ".")
