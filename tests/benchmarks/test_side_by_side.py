"""Several models at a time: the same figures as one stage after the other, and clear failures."""

from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, SMALL, default_tree, merged, write_songs

from stemproof.core.errors import InputError


@pytest.fixture
def side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("side_by_side")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Parameters and songs; nothing is prepared."""
    tree = merged(default_tree(), SMALL)
    tree |= {"systems": ["baseline", "stft"], "ablations": ["stft"], "own": []}
    tree["rsvm"]["training"]["epochs"] = 1
    tree["data"]["root"] = "songs"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    write_songs(tmp_path / "songs")
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    files = [*(folder / "metrics").rglob("*.json"), *(folder / "plots").rglob("*.csv")]
    files += (folder / "plots/audit").rglob("*.json")
    files += (folder / "data/adversarial").rglob("*.npy")
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


@pytest.mark.slow
def test_what_comes_out_is_that_of_one_after_the_other(side_by_side: Any, project: Path) -> None:
    side_by_side.main(at_once=2, last="generate", out=Path("kept"))
    together = content(project)
    assert {Path(name).suffix for name in together} == {".json", ".csv", ".npy"}
    kept = content(project / "kept")
    assert kept == {name: own for name, own in together.items() if not name.endswith(".npy")}
    assert (project / "kept/params.yaml").exists() and not (project / "kept/models").exists()
    for name in ("models", "metrics", "plots", "data", "checkpoints"):
        shutil.rmtree(project / name)
    side_by_side.main(at_once=1, last="generate", out=None)
    assert content(project) == together


def test_models_go_their_way_side_by_side(
    side_by_side: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as asked for at once, each in the order of the stages; those of all come last."""
    meet, lock, ended = threading.Barrier(2, timeout=30), threading.Lock(), list[str]()

    def run(command: Sequence[str], log: Path, folder: Path = Path()) -> bool:
        stage = Path(command[1]).stem
        if stage in side_by_side.OF_MODEL:
            meet.wait()  # for ever, were they not side by side
        with lock:
            ended.append(log.stem)
        return True

    monkeypatch.setattr(side_by_side, "run", run)
    side_by_side.main(at_once=2, last="audit", out=None)
    assert ended[0] == "prepare" and ended[-2:] == ["compare", "audit"]
    for system in ("baseline", "stft"):
        own = [name.rpartition("-")[2] for name in ended if name.startswith(system)]
        assert own == ["train", "generate", "find_break_points", "evaluate", "audit"]


def test_what_failed_is_named_and_the_others_end(
    side_by_side: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    def run(command: Sequence[str], log: Path, folder: Path = Path()) -> bool:
        ended.append(log.stem)
        return log.stem != "baseline-218-generate"

    monkeypatch.setattr(side_by_side, "run", run)
    with pytest.raises(InputError, match=r"failed: generate baseline 218 \(.*generate.log\)"):
        side_by_side.main(at_once=1, last="audit", out=None)
    assert "stft-218-evaluate" in ended and "baseline-218-evaluate" not in ended
    assert "compare" not in ended
    with pytest.raises(InputError, match="--last nothing must be one of train, generate"):
        side_by_side.main(at_once=1, last="nothing", out=None)


def test_a_model_that_is_there_is_not_trained_again(
    side_by_side: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "models/baseline").mkdir(parents=True)
    (project / "models/baseline/218.safetensors").touch()
    ended: list[str] = []
    monkeypatch.setattr(side_by_side, "run", lambda _, log: ended.append(log.stem) or True)
    side_by_side.of_model("baseline", 218, side_by_side.OF_MODEL, lambda _: None)
    assert ended == [f"baseline-218-{stage}" for stage in side_by_side.OF_MODEL[1:]]


@pytest.mark.slow
def test_what_was_measured_of_each_system_is_found_by_the_audit_of_all(
    side_by_side: Any, project: Path
) -> None:
    """The same figures as of an audit that measures all by itself, in another folder."""
    side_by_side.main(at_once=2, last="audit", out=None)
    together = content(project)
    assert {"metrics/audit.json", "plots/audit/stft.json"} <= set(together)
    # Each was measured once, beforehand.
    log = (project / "checkpoints/side-by-side/audit.log").read_text()
    assert "pass)" not in log and "flags raised" in log
    for system in ("baseline", "stft"):
        assert "pass)" in (project / f"checkpoints/side-by-side/{system}-audit.log").read_text()
    for name in ("metrics/audit.json", "plots/audit", "checkpoints"):
        shutil.rmtree(project / name, ignore_errors=True)
    assert side_by_side.run(side_by_side._command("audit"), Path("alone.log"))
    assert "pass)" in (project / "alone.log").read_text()
    assert content(project) == together
