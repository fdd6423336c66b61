"""Above all, no stage removes or reads over a user's recordings."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, SMALL, AllParams, default_tree, merged, write_track

from stemproof.core.errors import InputError
from stemproof.core.ownership import MARKER
from stemproof.core.resume import drop
from stemproof.data import prepare as preparing
from stemproof.data.demo.songs import render_demo
from stemproof.data.params import DemoParams
from stemproof.data.prepare import prepare
from stemproof.data.recordings.musdb import MusdbLayout
from stemproof.data.store import PreparedData

MakeParams = Callable[..., AllParams]
DEMO = DemoParams(seed=1, train_songs=1, valid_songs=1, test_songs=1, seconds=2)
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


def run_prepare(params: AllParams, destination: Path) -> dict[str, Any]:
    return prepare(params.data, params.segments, params.workers.count, destination)


def test_songs_of_a_user_in_the_demo_folder_are_kept(songs: Path) -> None:
    before = everything(songs)
    with pytest.raises(InputError, match=REFUSED):
        render_demo(DEMO, 1, songs)
    assert everything(songs) == before


@pytest.mark.slow
def test_songs_are_rendered_anew_in_the_place_of_ours_alone(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    render_demo(DEMO, 1, folder)
    first = everything(folder)
    (folder / MARKER).unlink()  # as a version without it left the folder
    render_demo(DEMO.model_copy(update={"valid_songs": 2}), 1, folder)
    assert (folder / "train/Demo - Valid Song 02").exists()
    render_demo(DEMO, 1, folder)
    assert everything(folder) == first
    assert not (folder / "train/Demo - Valid Song 02").exists()
    write_track(folder / "train/My Song", 1)
    before = everything(folder)
    with pytest.raises(InputError, match=f"train/My Song/bass.wav, .* {REFUSED}"):
        render_demo(DEMO, 1, folder)
    (folder / MARKER).unlink()
    with pytest.raises(InputError, match=f"train/My Song/bass.wav, .* {REFUSED}"):
        render_demo(DEMO, 1, folder)
    del before[MARKER]
    assert everything(folder) == before


@pytest.mark.parametrize("place", ["out", "out.part"])
def test_a_prepared_folder_with_files_of_others_is_refused(
    songs: Path, tmp_path: Path, make_params: MakeParams, place: str
) -> None:
    params = make_params(data={"root": str(songs)})
    run_prepare(params, tmp_path / "out")
    write(tmp_path / place, "notes.txt")
    before = everything(tmp_path)
    with pytest.raises(InputError, match=f"{place}: .* notes.txt {REFUSED}"):
        run_prepare(params, tmp_path / "out")
    assert everything(tmp_path) == before


def test_a_strange_prepared_folder_is_refused_before_decoding(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out", "train/song.wav")
    monkeypatch.setattr(MusdbLayout, "find", lambda *_: pytest.fail("looked for tracks"))
    with pytest.raises(InputError, match=REFUSED):
        run_prepare(make_params(data={"root": str(songs)}), tmp_path / "out")


@pytest.mark.parametrize("version", ["with a marker", "without"])
def test_prepared_data_are_replaced(
    songs: Path, tmp_path: Path, make_params: MakeParams, version: str
) -> None:
    params = make_params(data={"root": str(songs)})
    out = tmp_path / "out"
    run_prepare(params, out)
    first = everything(out)
    if version == "without":
        (out / MARKER).unlink()
    write(out, ".DS_Store")
    shutil.rmtree(songs / "train" / "train 0")
    run_prepare(params, out)
    manifest = PreparedData(out).manifest
    files = {entry.file for entry in manifest.tracks}
    assert set(everything(out)) == files | {
        *(MARKER, "manifest.json", "manifest.sha256"),
        ".DS_Store",
    }
    assert len(files) == 6
    assert (
        set(first) - set(everything(out))
        == {"test-0006.npy", "valid-0004.npy", "train-0003.npy"} - files
    )
    drop(tmp_path, "out")  # as the training does, when DVC has recorded the data
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("out")} == {"out"}


def test_a_killed_prepare_is_done_again(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params(data={"root": str(songs)})
    run_prepare(params, tmp_path / "whole")
    write_manifest = preparing.write_manifest

    def killed(*_: Any) -> None:
        write(tmp_path / "out.part", ".abcd_123.npy")  # what SIGKILL leaves
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "write_manifest", killed)
    with pytest.raises(KeyboardInterrupt):
        run_prepare(params, tmp_path / "out")
    assert (tmp_path / "out.part" / "train-0000.npy").exists()
    monkeypatch.setattr(preparing, "write_manifest", write_manifest)
    run_prepare(params, tmp_path / "out")
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


@pytest.mark.parametrize(
    "root",
    [
        "data/prepared",
        "./data/../data/prepared/",
        "data/prepared.part",
        "data/prepared/inside",
        "data",
        ".",
        "data/adversarial",
        "models/inside",
        "checkpoints",
        "metrics",
        "plots",
        "report",
        "link",
        "absolute",
    ],
)
def test_recordings_where_the_pipeline_writes_are_refused(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    place = project / {"link": "models", "absolute": "plots"}.get(root, root)
    shutil.copytree(songs, place, dirs_exist_ok=True)
    if root == "link":
        (project / "link").symlink_to(project / "models")
    named = str(place) if root == "absolute" else root
    tree = merged(merged(default_tree(), SMALL), {"data": {"root": named}})
    (project / "params.yaml").write_text(yaml.safe_dump(tree))
    before = everything(project)
    with pytest.raises(InputError, match=r"data\.root = .* overlaps .*, where this pipeline") as e:
        run_main("prepare", monkeypatch)
    assert "\n" not in str(e.value)
    assert everything(project) == before


def test_the_demo_folder_and_one_beside_the_outputs_may_be_the_root(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for root in ("data/demo", "data/prepared-songs"):
        shutil.copytree(songs, tmp_path / root)
        before = everything(tmp_path / root)
        tree = merged(merged(default_tree(), SMALL), {"data": {"root": root}})
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
        run_main("prepare", monkeypatch)
        assert everything(tmp_path / root) == before
