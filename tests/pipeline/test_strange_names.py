"""Songs with the names of commands and tags, a program as a system, and no network at all."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, SMALL, default_tree, hold_out, merged, write_track

from stemproof.core.errors import InputError
from stemproof.core.params import Sections, load_params

SONGS = ["a; touch x", "$(touch x) `touch x`", "Дом", "--help", "<script>alert(1)<script>|y"]
COPY = "import shutil, sys\nshutil.copyfile(sys.argv[1], sys.argv[2])\n"
CONNECTS = ("connect", "connect_ex", "sendto", "bind")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Any]]]:
    """A project whose folder has such a name, too, in which every stage has run; and who called."""
    folder = tmp_path_factory.mktemp("project") / "p; touch x"
    folder.mkdir()
    tree = merged(default_tree(), SMALL)
    tree["separators"]["program"] = {
        "kind": "command",
        "command": [sys.executable, str(folder / "copy; touch x.py"), "{input}", "{output}"],
        "sample_rate": 4000,
        "channels": 2,
    }
    changes = {
        "data": {"root": "songs | touch x"},
        "systems": ["baseline", "program"],
        "own": ["program"],
        "attack": {"pgd": {"steps": 1}, "search": {"queries": 2}},
        "rsvm": {"training": {"epochs": 1}},
        "audit": {
            **{"segments": 2, "steps": [1], "queries": 2, "universal_epochs": 0},
            "excerpts": {"segments": 1, "queries": 2},
        },
        "breaks": {"steps": 1, "per_track": 1},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(tree, changes)))
    (folder / "copy; touch x.py").write_text(COPY)
    songs = folder / "songs | touch x"
    for number, name in enumerate(SONGS):
        write_track(songs / ("train" if number < 3 else "test") / name, number, 0.6)
    hold_out(songs, SONGS[2])
    calls: list[Any] = []

    def refused(*arguments: Any, **_: Any) -> None:
        calls.append(arguments)
        raise OSError(f"a stage reaches for the network: {arguments}")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(ROOT / "stages"))
        for name in CONNECTS:
            patch.setattr(socket.socket, name, refused)
        for name in ("create_connection", "getaddrinfo", "gethostbyname"):
            patch.setattr(socket, name, refused)
        stage("prepare")
        for system in ("baseline", "program"):
            for name in ("train", "generate", "find_break_points", "evaluate"):
                stage(name, system, 218)
        for name in ("compare", "audit", "listen", "report"):
            stage(name)
        yield folder, calls


def stage(name: str, *arguments: Any) -> None:
    importlib.import_module(name).main(*arguments)


@pytest.mark.slow
def test_no_stage_reaches_for_the_network(run: tuple[Path, list[Any]]) -> None:
    folder, calls = run
    assert calls == []
    assert (folder / "report/index.html").stat().st_size > 10_000


def test_no_name_is_run(run: tuple[Path, list[Any]]) -> None:
    folder, _ = run
    assert not [file for file in folder.parent.rglob("*") if file.name in ("x", "y")]


def test_songs_keep_their_names(run: tuple[Path, list[Any]]) -> None:
    folder, _ = run
    manifest = json.loads((folder / "data/prepared/manifest.json").read_text())
    assert {track["name"] for track in manifest["tracks"]} == set(SONGS)
    table = (folder / "plots/tracks/program.csv").read_text()
    assert all(name in table for name in SONGS[3:])


def test_the_report_shows_them_as_letters(run: tuple[Path, list[Any]]) -> None:
    folder, _ = run
    page = (folder / "report/index.html").read_text()
    assert "&lt;script&gt;alert(1)" in page and "<script" not in page
    text, _, _ = (folder / "report/report.md").read_text().partition("## Parameters")
    assert "<script" not in text  # it names no song today


@pytest.mark.parametrize("name", ["a; touch x", "../x", "<script>", "a b", "-x", "A", "$x", ""])
def test_a_system_has_a_plain_name(tmp_path: Path, name: str) -> None:
    """Names of systems are folders, and stand in the commands that DVC runs."""
    tree = merged(default_tree(), SMALL)
    needs = importlib.import_module("conftest").AllParams
    for changes in ({"systems": [name]}, {"ablations": [name]}, {"reference": name}):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(merged(tree, changes)))
        with pytest.raises(InputError, match="is not allowed"):
            load_params(needs, tmp_path / "params.yaml")


class Bare(Sections):
    """A stage that reads none of what names systems and seeds."""


@pytest.mark.parametrize(
    "changes",
    [
        {"systems": ["a; touch x"]},
        {"ablations": ["$(touch x)"]},
        {"train": {"seeds": ["010"]}},
        {"train": {"seeds": ["1; touch x"]}},
    ],
)
def test_the_first_stage_refuses_what_is_no_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    """So that none has run when a later one would be run with it."""
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(default_tree()))
    load_params(Bare, file)
    file.write_text(yaml.safe_dump(merged(default_tree(), changes)))
    with pytest.raises(InputError, match="is not allowed|valid integer|seeds"):
        load_params(Bare, file)


STUB = """import json, sys
with open("calls.jsonl", "a") as calls:
    print(json.dumps(sys.argv), file=calls)
"""
NAMES = ["$(touch x)", "a; touch x", "`touch x`", "a' ; touch x '", "-x"]


@pytest.mark.slow
def test_dvc_hands_a_name_on_as_one_argument(tmp_path: Path) -> None:
    """Also where a stage runs before any other has looked at params.yaml."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    matrices = {
        name: {key: about[key] for key in ("matrix", "cmd")}
        for name, about in stages.items()
        if "matrix" in about
    }
    assert len(matrices) == 8
    tree = default_tree() | dict.fromkeys(("systems", "ablations", "own"), NAMES)
    tree = merged(tree, {"train": {"seeds": ["1; touch x"]}, "protect": {"against": NAMES}})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    content = yaml.safe_dump({"stages": matrices}, sort_keys=False)
    (tmp_path / "dvc.yaml").write_text(content)
    (tmp_path / "stages").mkdir()
    for about in matrices.values():
        (tmp_path / about["cmd"].split()[1]).write_text(STUB)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def dvc(*arguments: str) -> int:
        environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
        command = [sys.executable, "-m", "dvc", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
        assert not (tmp_path / "x").exists()
        return done.returncode

    assert dvc("init", "--no-scm", "--quiet") == dvc("repro") == 0
    calls = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert all(call[-2:] == ["--seed", "1; touch x"] for call in calls if "protect" not in call[0])
    handed = {(call[0], call[2]) for call in calls}
    for script in ("train", "generate", "find_break_points", "evaluate", "protect"):
        assert {name for file, name in handed if file == f"stages/{script}.py"} >= set(NAMES)
    # DVC takes a line for a command; the first of these ends inside of a quotation.
    for name in ("a\ntouch x", "a'\ntouch x\n'", "a' \ntouch x #"):
        tree["ablations"] = [name]
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
        assert dvc("repro", "train-ablation") != 0


def test_no_command_of_dvc_names_a_parameter() -> None:
    """Only what stands there as a whole is quoted."""
    for name, about in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        assert set(re.findall(r"\$\{.*?\}", about["cmd"])) <= {"${item}"}, name


def test_no_command_is_a_string() -> None:
    """A name in a string that a shell reads would be run."""
    found = []
    for file in [
        path
        for room in ("stemproof", "stages", "benchmarks")
        for path in (ROOT / room).rglob("*.py")
    ]:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            shell = any(key.arg == "shell" for key in node.keywords)
            strings = (
                "os.system",
                "os.popen",
                "subprocess.getoutput",
                "subprocess.getstatusoutput",
            )
            if shell or called in strings or called.startswith(("os.spawn", "os.exec")):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {called}")
    assert found == []
