"""What is a user's survives the stages and DVC."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SMALL, default_tree, merged
from test_pipeline import Clone

from stemproof.core.errors import InputError

DEMO = {"demo": {"train_songs": 2, "valid_songs": 1, "test_songs": 2, "seconds": 3.0}}
REFUSED = "is not known to come from this pipeline; if it is yours, move it to another folder"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def run_main(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage's `main`, in this process."""
    monkeypatch.syspath_prepend(ROOT / "stages")
    runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="stage")["main"]()


@pytest.mark.parametrize(
    ("stage", "folder"),
    [
        ("compare", "metrics/systems"),
        ("compare", "plots/tracks"),
        ("compare", "plots/curves"),
        ("compare", "plots/attack"),
        ("audit", "plots/audit"),
    ],
)
def test_figures_of_others_are_refused_before_anything_is_computed(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    tree = merged(merged(default_tree(), SMALL), {"data": {"root": str(songs)}})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    run_main("prepare", monkeypatch)
    # What a version without a marker left is no reason to stop.
    kind = "csv" if folder in ("plots/tracks", "plots/curves", "plots/attack") else "json"
    write(tmp_path / folder, f"improved.{kind}")
    with pytest.raises(InputError, match="no such (file|model)"):
        run_main(stage, monkeypatch)
    for name in ("mine.csv", "mine.json"):
        write(tmp_path / folder, name)
        with pytest.raises(InputError, match=f"{folder}: .* {name} {REFUSED}"):
            run_main(stage, monkeypatch)
        assert (tmp_path / folder / name).exists()
        (tmp_path / folder / name).unlink()


@pytest.mark.slow
def test_songs_of_a_user_survive_dvc(songs: Path, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone", DEMO)
    demo = clone.folder / "data/demo"
    shutil.copytree(songs, demo)
    mine = everything(demo)
    # Songs where nothing was rendered yet, and only the format is changed.
    tree = yaml.safe_load((clone.folder / "params.yaml").read_text())
    tree["data"] |= {"source": "musdb18hq"}
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    said = clone.dvc("repro", fails=True)
    assert f"{REFUSED} (data.root may name any)" in said
    assert "Traceback" not in said
    assert everything(demo) == mine
    # Songs beside rendered ones, which are in DVC's cache and in dvc.lock.
    demo.rename(tmp_path / "mine")
    clone.dvc("repro", "render-demo")
    clone.commit("rendered")
    shutil.copytree(tmp_path / "mine/train", demo / "train", dirs_exist_ok=True)
    both = everything(demo)
    for seed in (1, tree["demo"]["seed"]):
        tree["demo"]["seed"] = seed
        (clone.folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
        assert "train/train 0/bass.wav" in clone.dvc("repro", "render-demo", fails=True)
        assert everything(demo) == both
    clone.dvc("checkout", "--force", "--allow-missing")
    assert everything(demo) == both
    for setting in ("data.source=musdb18hq", "attack.eps=0.002", "demo.seed=3"):
        assert REFUSED in clone.dvc("exp", "run", "-S", setting, fails=True)
        assert everything(demo) == both
    clone.git("checkout", "--quiet", ".")
    # Out of the way, and named: the pipeline goes on with them.
    for name in mine:
        if name.startswith("train"):
            (demo / name).unlink()
    tree["data"] |= {"root": str(tmp_path / "mine"), "sample_rate": 4000}
    tree["segments"]["seconds"] = 0.25
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    clone.dvc("repro", "prepare-musdb18")
    assert everything(tmp_path / "mine") == mine
