"""No stage removes what it did not write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stemproof.core.errors import InputError
from stemproof.core.ownership import MARKER, fresh_directory, remove_written, set_aside

REFUSED = "is not known to come from this pipeline; if it is yours, move it to another folder"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


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
    listed = json.dumps({"files written by stemproof": ["../song.wav", 7]})
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
    with pytest.raises(InputError, match="a stands where a folder belongs: move it away"):
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


def test_the_marker_bears_this_projects_name(tmp_path: Path) -> None:
    fresh_directory(tmp_path, ["x.csv"])
    assert json.loads((tmp_path / ".stemproof.json").read_text()) == {
        "files written by stemproof": ["x.csv"]
    }


def test_results_that_are_not_asked_for_are_set_aside_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, place = tmp_path / "models", tmp_path / "aside"
    ours = [f"{model}/figures.json" for model in ("a/1", "a/2", "b/1")]
    # Files of others, also where a result could be: a folder of some year, for instance.
    others = ["a/notes.txt", "a/mine/x.csv", "c.csv", "holiday/2024/mine.wav"]
    write(folder, *ours, *others)
    write(place, "models/a/2/old.csv")
    set_aside(folder, {("a", 1)}, place, "figures.json")
    assert set(everything(folder)) == {"a/1/figures.json", *others}
    moved = {"models/a/2-2/figures.json", "models/b/1/figures.json"}
    assert set(everything(place)) == {*moved, "models/a/2/old.csv"}  # nothing is overwritten
    assert not (folder / "b").exists()
    said = capsys.readouterr().out
    assert f"{folder}/a/2: not among the systems of this run, moved to {place}/models/a/2-2" in said
    set_aside(folder, {("a", 1)}, place, "figures.json")
    assert capsys.readouterr().out == ""
    set_aside(tmp_path / "absent", set(), place, "figures.json")
