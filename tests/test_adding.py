"""What docs/adding.md shows works: its examples, put into a copy of the project, and run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from conftest import RATE, ROOT, SMALL, default_tree, merged

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/adding.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
RUN = """
import sys
sys.path.insert(0, "stages")
import audit, compare, evaluate, find_break_points, generate, listen, prepare, report, train
from stemproof.report import docs
prepare.main()
for system in ("baseline", "short-filter"):
    for stage in (train, generate, find_break_points, evaluate):
        stage.main(system, 218)
for stage in (compare, audit, listen, report, docs):
    stage.main()
"""


def write_song(folder: Path, seed: int) -> None:
    """A low voice with noise above it: a filter can tell them apart."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(1.1 * RATE)) / RATE
    stems = {
        "vocals": 0.3 * np.sin(2 * np.pi * (150 + 10 * seed) * time),
        "rest": 0.1 * np.diff(draw.standard_normal(len(time) + 1)),
    }
    folder.mkdir(parents=True)
    for name, stem in stems.items():
        soundfile.write(folder / f"{name}.wav", stem, RATE, subtype="FLOAT")


def change(folder: Path, block: str) -> None:
    """Make the changes of a diff; each must fit in exactly one place."""
    head, *hunks = block.split("@@\n")
    path = folder / head.removeprefix("--- ").strip()
    text = path.read_text()
    for hunk in hunks:
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        new = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all that the page adds, in which the pipeline has run."""
    folder = tmp_path_factory.mktemp("project")
    for part in ("stemproof", "stages", "docs", "results"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "dvc.yaml"):
        shutil.copy(ROOT / file, folder)
    tree = merged(default_tree(), SMALL)
    tree["audit"] |= {"segments": 2, "steps": [1], "queries": 5, "universal_epochs": 1}
    for language, block in BLOCKS:
        if language == "python":
            name = block.splitlines()[0].removeprefix("# ")
            assert not (folder / name).exists()
            (folder / name).write_text(block)
        elif language == "diff":
            change(folder, block)
        elif language == "yaml":
            fragment = yaml.safe_load(block)
            entries = {**tree["separators"], **fragment.pop("separators", {})}
            tree = merged(tree, {**fragment, "separators": entries})
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    for number, split in enumerate(["train"] * 4 + ["valid"] + ["test"] * 2):
        write_song(folder / "songs" / split / f"song {number}", number)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_page_shows_one_of_each() -> None:
    added = [block.splitlines()[0].split()[-1] for language, block in BLOCKS if language != "yaml"]
    assert added == [
        "stemproof/separators/fir.py",
        "stemproof/attacks/tone.py",
        "stemproof/attacks/registry.py",
        "stemproof/data/recordings/folders.py",
        "stemproof/figures/table.py",
    ]


def test_the_data_set_is_what_was_learned_on(project: Path) -> None:
    data = read(project / "metrics/data.json")
    assert data["source"] == "folders"
    assert [data[split]["tracks"] for split in ("train", "valid", "test")] == [4, 1, 2]
    assert "songs of our own" in (project / "report/report.md").read_text()


def test_the_separator_is_trained_attacked_and_scored(project: Path) -> None:
    found = read(project / "metrics/systems/short-filter.json")
    assert (found["kind"], found["informed"]) == ("fir", False)
    assert found["training"]["218"]["parameters"] == 15
    # It learned something, and has what it can have.
    assert found["bs"] > found["mixture_si_sdr"] + 3
    assert "si_sdr" not in found and "stft_bs" not in found
    assert found["excerpt_bs"] > found["mixture_si_sdr"] + 3
    # The only blind one of the run has nobody to be compared with.
    assert set(read(project / "metrics/comparison.json")) == {"reference", "n_tracks", "n_seeds"}
    assert read(project / "metrics/audit.json")["short-filter"]["flags"]
    assert "</em> systems: baseline." in (project / "report/index.html").read_text()


def test_the_attack_is_what_was_played(project: Path) -> None:
    index = read(project / "data/adversarial/short-filter/218/index.json")
    assert index["attack"]["method"] == "tone"
    assert index["attack"]["tone"] == {"hertz": 300.0}
    found = read(project / "metrics/systems/short-filter.json")
    assert found["drop"] > 0
    assert 0.9 < found["budget_used"] <= 1
    assert "a tone of 300 Hz" in (project / "report/index.html").read_text()


def test_the_figure_is_everywhere(project: Path) -> None:
    for system in ("baseline", "short-filter"):
        found = read(project / f"metrics/systems/{system}.json")
        assert found["level_low"] <= found["level"] <= found["level_high"]
        header = (project / f"plots/tracks/{system}.csv").read_text().splitlines()[0]
        assert "level" in header.split(",")
    assert (project / "report/index.html").read_text().count(">level</th>") == 2  # informed, blind


def test_the_documentation_names_them(project: Path) -> None:
    page = (project / "docs/definitions.md").read_text()
    for line in (
        "| `fir` | one filter of a few taps",
        "| `tone` | linf, l2 | a tone of `attack.tone.hertz` |",
        "| `level` | dB | level: energy of the estimate",
    ):
        assert line in page
        assert line not in (ROOT / "docs/definitions.md").read_text()
    parameters = (project / "docs/parameters.md").read_text()
    assert "| `attack.tone.hertz` | number, " in parameters
    assert "### Kind `fir`" in parameters
    assert "| `separators.short-filter` | `fir` |" in parameters


def test_the_examples_are_written_like_the_rest(project: Path) -> None:
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "stemproof"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
