"""The stage `protect`: off by default, and by real songs of a copy of the project when it is on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import RATE, ROOT, SMALL, default_tree, hold_out, merged, write_track
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from test_blind_stages import KIND

from stemproof.report import protection_tables

PROTECT = {
    "against": ["stereo"],
    "budget": "snr",
    "size": 25.0,
    "mix": "file",
    "steps": 3,
    "changes": ["gain"],
    "window": 0.8,
    "fade": 0.1,
    "fine_tuning": {"songs": 1, "steps": 2, "excerpt": 0.4},
}
MADE = """
import sys
sys.path.insert(0, "stages")
import prepare, train
prepare.main()
for system in ("baseline", "stereo", "mono"):
    train.main(system, 218)
"""
KILLED = """
import os, sys
sys.path.insert(0, "stages")
import protect
from stemproof.protecting import trials
measured, songs = trials.effect, set()
def effect(aim, played, *rest):
    songs.add(str(played.song.file))
    if len(songs) == 2:
        os._exit(9)
    return measured(aim, played, *rest)
trials.effect = effect
protect.main("stereo")
"""
WRITTEN = (
    "metrics/protection/stereo/document.json",
    "metrics/protection/stereo/medians.json",
    "report/protection/stereo.md",
)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def rewrite(folder: Path, changes: dict[str, Any]) -> None:
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump(merged(yaml.safe_load(file.read_text()), changes)))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which systems are made, but nothing is protected yet."""
    folder = tmp_path_factory.mktemp("protected")
    for part in ("stemproof", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored)
    (folder / "stemproof/separators/leaky.py").write_text(KIND)
    tree = merged(default_tree(), SMALL)
    tree["separators"] |= {
        "stereo": {"kind": "leaky", "sample_rate": RATE, "channels": 2},
        "mono": {"kind": "leaky", "sample_rate": 2 * RATE, "channels": 1},
    }
    tree |= {"systems": ["baseline", "stereo", "mono"], "protect": PROTECT}
    tree["data"]["root"] = "songs"
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    for number, split in enumerate(["train"] * 2 + ["test"] * 2):
        write_track(folder / "songs" / split / f"song {number}", number)
    hold_out(folder / "songs", "song 1")
    done = run(folder, "-c", MADE)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def whole(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that nothing disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("whole") / "project"
    shutil.copytree(project, folder)
    done = run(folder, "stages/protect.py", "--system", "stereo")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


@pytest.mark.slow
def test_the_stage_writes_what_it_measured(whole: tuple[Path, str]) -> None:
    folder, said = whole
    document = json.loads((folder / WRITTEN[0]).read_text())
    assert [row["track"] for row in document["tracks"]] == ["song 2", "song 3"]
    assert list(document["medians"]["systems"]) == ["stereo", "mono", "repeating"]
    assert list(document["left_out"]) == ["baseline"]
    assert document["taught"] == ["song 0"]
    assert set(document["models"]) == {"stereo", "mono"}
    recorded = document["parameters"]
    assert recorded["protect"]["size"] == 25 and recorded["data"]["root"] == "songs"
    small = json.loads((folder / WRITTEN[1]).read_text())
    output = document["medians"]["systems"]["stereo"]["output"]
    assert small["difference"] == output["difference"]["value"] > 0
    assert small["snr"] == document["medians"]["costs"]["snr"]["value"] >= 25
    found = protection_tables.read_measured(folder / WRITTEN[0])
    assert (folder / WRITTEN[2]).read_text() == protection_tables.page(found)
    lines = said.splitlines()
    assert len(lines) <= 10 and f"protected {output['protected']['value']:.1f} [" in lines[1]


@pytest.mark.slow
def test_a_killed_stage_goes_on_to_the_same_bytes(
    project: Path, whole: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    killed = run(folder, "-c", KILLED)
    assert killed.returncode == 9, killed.stderr[-3000:]
    assert not (folder / WRITTEN[0]).exists()
    done = run(folder, "stages/protect.py", "--system", "stereo")
    assert done.returncode == 0 and "protect: 1 of 2 (song)" in done.stderr
    assert "lessons" not in done.stderr  # nor is anything learned again
    for name in WRITTEN:
        assert (folder / name).read_bytes() == (whole[0] / name).read_bytes()
    assert not list((folder / "checkpoints/protect").rglob("*.f32"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "system", "said"),
    [
        ({"protect": {"against": []}}, "stereo", "stereo is none of protect.against; add it"),
        (
            {"protect": {"against": ["baseline"]}},
            "baseline",
            "protect.against: baseline: it is told something of the true vocals",
        ),
        (
            {"segments": {"loud_db": -20.0}},
            "stereo",
            "made with segments.loud_db = -10.0, but params.yaml says -20.0; run prepare-musdb18",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(
    project: Path, tmp_path: Path, changes: dict[str, Any], system: str, said: str
) -> None:
    for name in ("params.yaml", "stages", "stemproof", "data", "models"):
        (tmp_path / name).symlink_to(project / name)
    text = (project / "params.yaml").read_text()
    (tmp_path / "params.yaml").unlink()
    (tmp_path / "params.yaml").write_text(text)
    rewrite(tmp_path, changes)
    done = run(tmp_path, "stages/protect.py", "--system", system)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "metrics").exists()


def stages(folder: Path, against: list[str]) -> dict[str, Any]:
    """Stages that DVC makes of the pipeline, by name."""
    folder.mkdir()
    tree = default_tree()
    tree["protect"]["against"] = against
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    shutil.copy(ROOT / "dvc.yaml", folder)
    return {stage.name: stage for stage in Repo.init(str(folder), no_scm=True).index.stages}


def test_for_dvc_nobody_is_no_stage_and_everybody_one(tmp_path: Path) -> None:
    off = stages(tmp_path / "off", [])
    assert len(off) > 10 and not any(name.startswith("protect") for name in off)
    assert yaml.safe_load((ROOT / "tests/params.yaml").read_text())["protect"]["against"] == []
    on = stages(tmp_path / "on", ["spleeter", "unmix"])
    assert set(on) - set(off) == {"protect@spleeter", "protect@unmix"}
    # What is on adds to the others, and changes none.
    assert all(on[name].cmd == stage.cmd for name, stage in off.items())
    own = on["protect@unmix"]
    metrics = [str(out) for out in own.outs if out.metric]
    assert metrics == ["metrics/protection/unmix/medians.json"]
    parameters = {
        name for dep in own.deps if isinstance(dep, ParamsDependency) for name in dep.params
    }
    assert {"protect", "statistics", "systems"} <= parameters
    assert not re.search("metrics/protection", (ROOT / "dvc.lock").read_text())
