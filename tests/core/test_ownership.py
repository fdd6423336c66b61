"""No stage removes what it did not write, above all not a user's recordings."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, SMALL, default_tree, merged, write_track
from rsvm.data import prepare as preparing
from rsvm.data.prepare import prepare
from rsvm.data.store import PreparedData
from rsvm.demo.songs import render_demo
from rsvm.errors import InputError
from rsvm.files import MARKER, fresh_directory, remove_written
from rsvm.params import DemoParams, Params
from test_pipeline import SMALL as SMALL_PIPELINE
from test_pipeline import Clone

MakeParams = Callable[..., Params]
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


# ---------------------------------------------------------------- directories


def test_what_was_written_goes_and_only_that(tmp_path: Path) -> None:
    folder = fresh_directory(tmp_path / "a", ["x.csv", "sub/y.csv"])
    write(folder, "x.csv", "sub/y.csv", ".DS_Store", "sub/deeper/.DS_Store")
    write(folder, ".abcd_123.csv")  # as a killed run leaves it
    fresh_directory(folder, ["z.csv"])
    assert set(everything(folder)) == {MARKER, ".DS_Store", "sub/deeper/.DS_Store"}
    write(folder, "z.csv", "mine.csv")
    remove_written(folder)
    assert set(everything(folder)) == {".DS_Store", "sub/deeper/.DS_Store", "mine.csv"}
    remove_written(fresh_directory(tmp_path / "b", ["x.csv"]))
    assert not (tmp_path / "b").exists()


def test_the_marker_has_the_same_bytes_every_time(tmp_path: Path) -> None:
    for folder, names in (("a", ["x", "y"]), ("b", ["y", "x"])):
        fresh_directory(tmp_path / folder, iter(names))
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize(
    "name", ["song.wav", "sub/song.wav", "sub/x.csv", ".recorded.wav", "sub/.abcd_123.csv"]
)
def test_files_of_others_are_named_and_kept(tmp_path: Path, name: str, marked: bool) -> None:
    folder = tmp_path / "a"
    if marked:
        write(fresh_directory(folder, ["x.csv"]), "x.csv")
    write(folder, name)
    before = everything(folder)
    with pytest.raises(InputError, match=f"{name} {REFUSED}") as error:
        fresh_directory(folder, ["x.csv"])
    assert "\n" not in str(error.value)
    assert everything(folder) == before


def test_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "songs", "x.csv")
    folder = fresh_directory(tmp_path / "a", ["sub/x.csv"])
    (folder / "sub").symlink_to(tmp_path / "songs")
    with pytest.raises(InputError, match=f"a: about to be written anew, but sub {REFUSED}"):
        fresh_directory(folder, ["sub/x.csv"])
    remove_written(folder)
    assert (tmp_path / "songs" / "x.csv").exists()
    # A folder that is itself a link to a user's folder is looked into all the same.
    (tmp_path / "b").symlink_to(tmp_path / "songs")
    with pytest.raises(InputError, match=f"x.csv {REFUSED}"):
        fresh_directory(tmp_path / "b", ["y.csv"])


def test_names_that_a_damaged_marker_lists_do_not_lead_outside(tmp_path: Path) -> None:
    write(tmp_path, "song.wav", "a/x.csv")
    listed = json.dumps({"files written by rsvm": ["../song.wav", 7]})
    (tmp_path / "a" / MARKER).write_text(listed)
    remove_written(tmp_path / "a")
    assert set(everything(tmp_path)) == {"song.wav", "a/x.csv"}
    (tmp_path / "a" / MARKER).write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        fresh_directory(tmp_path / "a", [])


def test_many_files_of_others_are_counted(tmp_path: Path) -> None:
    write(tmp_path, *(f"{number}.wav" for number in range(8)))
    with pytest.raises(InputError, match=r"0\.wav, .*4\.wav and 3 more is not known"):
        fresh_directory(tmp_path, [])


def test_a_file_in_the_place_of_a_directory(tmp_path: Path) -> None:
    write(tmp_path, "a")
    with pytest.raises(InputError, match="a: no directory can be made there"):
        fresh_directory(tmp_path / "a", [])
    assert (tmp_path / "a").read_text() == "a"


def test_without_names_nothing_but_stored_results_goes(tmp_path: Path) -> None:
    write(tmp_path, "x.npy", "index.json", ".DS_Store")
    fresh_directory(tmp_path)
    assert set(everything(tmp_path)) == {".DS_Store"}
    write(tmp_path, "x.npy", "sub/y.npy")
    with pytest.raises(InputError, match=f"sub/y.npy {REFUSED}"):
        fresh_directory(tmp_path)
    assert (tmp_path / "x.npy").exists()


# ---------------------------------------------------------------- render-demo


def test_songs_of_a_user_in_the_demo_folder_are_kept(songs: Path) -> None:
    before = everything(songs)
    with pytest.raises(InputError, match=REFUSED):
        render_demo(DEMO, 44_100, 1, songs)
    assert everything(songs) == before


def test_songs_are_rendered_anew_in_the_place_of_ours_alone(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    render_demo(DEMO, 44_100, 1, folder)
    first = everything(folder)
    (folder / MARKER).unlink()  # as a version without it left the folder
    render_demo(DEMO.model_copy(update={"valid_songs": 2}), 44_100, 1, folder)
    assert (folder / "train/Demo - Valid Song 02").exists()
    render_demo(DEMO, 44_100, 1, folder)
    assert everything(folder) == first
    assert not (folder / "train/Demo - Valid Song 02").exists()
    write_track(folder / "train/My Song", 1)
    before = everything(folder)
    with pytest.raises(InputError, match=f"train/My Song/bass.wav, .* {REFUSED}"):
        render_demo(DEMO, 44_100, 1, folder)
    (folder / MARKER).unlink()
    with pytest.raises(InputError, match=f"train/My Song/bass.wav, .* {REFUSED}"):
        render_demo(DEMO, 44_100, 1, folder)
    del before[MARKER]
    assert everything(folder) == before


# ---------------------------------------------------------------- prepare-musdb18


@pytest.mark.parametrize("place", ["out", "out.part"])
def test_a_prepared_folder_with_files_of_others_is_refused(
    songs: Path, tmp_path: Path, make_params: MakeParams, place: str
) -> None:
    params = make_params(data={"root": str(songs)})
    prepare(params, tmp_path / "out")
    write(tmp_path / place, "notes.txt")
    before = everything(tmp_path)
    with pytest.raises(InputError, match=f"{place}: .* notes.txt {REFUSED}"):
        prepare(params, tmp_path / "out")
    assert everything(tmp_path) == before


def test_a_strange_prepared_folder_is_refused_before_decoding(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "out", "train/song.wav")
    monkeypatch.setattr(preparing, "find_tracks", lambda *_: pytest.fail("looked for tracks"))
    with pytest.raises(InputError, match=REFUSED):
        prepare(make_params(data={"root": str(songs)}), tmp_path / "out")


@pytest.mark.parametrize("version", ["with a marker", "without"])
def test_prepared_data_are_replaced(
    songs: Path, tmp_path: Path, make_params: MakeParams, version: str
) -> None:
    params = make_params(data={"root": str(songs)})
    out = tmp_path / "out"
    prepare(params, out)
    first = everything(out)
    if version == "without":
        (out / MARKER).unlink()
    write(out, ".DS_Store")
    shutil.rmtree(songs / "train" / "train 0")
    prepare(params, out)
    manifest = PreparedData(out).manifest
    files = {entry["file"] for entry in manifest["tracks"]}
    assert set(everything(out)) == files | {MARKER, "manifest.json", ".DS_Store"}
    assert len(files) == 6
    assert (
        set(first) - set(everything(out))
        == {"test-0006.npy", "valid-0004.npy", "train-0003.npy"} - files
    )
    assert not (tmp_path / "out.part").exists()


def test_a_killed_prepare_is_done_again(
    songs: Path, tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params(data={"root": str(songs)})
    prepare(params, tmp_path / "whole")
    write_json = preparing.write_json

    def killed(*_: Any) -> None:
        write(tmp_path / "out.part", ".abcd_123.npy")  # what SIGKILL leaves
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(params, tmp_path / "out")
    assert (tmp_path / "out.part" / "train-0000.npy").exists()
    monkeypatch.setattr(preparing, "write_json", write_json)
    prepare(params, tmp_path / "out")
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
        "~/data/prepared",
    ],
)
def test_recordings_where_the_pipeline_writes_are_refused(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("HOME", str(project))
    place = project / {"link": "models", "absolute": "plots"}.get(root, root.removeprefix("~/"))
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


# ---------------------------------------------------------------- evaluate and audit


@pytest.mark.parametrize(
    ("stage", "folder"),
    [
        ("evaluate", "metrics/ablation"),
        ("evaluate", "plots/tracks"),
        ("evaluate", "plots/curves"),
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
    kind = "csv" if folder in ("plots/tracks", "plots/curves") else "json"
    write(tmp_path / folder, f"improved.{kind}")
    with pytest.raises(InputError, match="no such (file|model)"):
        run_main(stage, monkeypatch)
    write(tmp_path / folder, "mine.csv")
    with pytest.raises(InputError, match=f"{folder}: .* mine.csv {REFUSED}"):
        run_main(stage, monkeypatch)
    assert (tmp_path / folder / "mine.csv").exists()


# ---------------------------------------------------------------- under DVC


@pytest.mark.slow
def test_songs_of_a_user_survive_dvc(songs: Path, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone", SMALL_PIPELINE)
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
