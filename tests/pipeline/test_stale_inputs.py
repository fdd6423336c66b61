"""A stage that is run by hand refuses what was made before a parameter or a file changed."""

from __future__ import annotations

import copy
import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, SMALL, default_tree, hold_out, merged, write_track
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray, sha256, write_array
from stemproof.core.made_with import MADE_WITH, difference, record_of
from stemproof.core.ownership import MARKER
from stemproof.core.seals import SEAL, without_seal, write_sealed
from stemproof.data.store import MIXTURE, PreparedData
from stemproof.evaluation.evaluate import Evaluator

PIPELINE: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
MODEL = ("baseline", 218)
# Scripts, in the order of the pipeline, with the stage of dvc.yaml that each is.
SCRIPTS = {
    "prepare": "prepare-musdb18",
    "train": "train-baseline",
    "generate": "generate-pgd-adversarials",
    "find_break_points": "find-break-points",
    "evaluate": "evaluate",
    "compare": "compare",
    "audit": "audit",
    "listen": "listen",
    "report": "report",
}
OF_A_MODEL = ("train", "generate", "find_break_points", "evaluate")
# Another allowed value of one parameter of every section that something is made with.
CHANGES: dict[str, dict[str, Any]] = {
    "demo": {"seed": 7},
    "data": {"decoder": "ffmpeg"},
    "segments": {"loud_db": -20.0},
    "separators.baseline": {"dropout": 0.3},
    "separators.stft": {"hop": 64},
    "rsvm": {"training": {"epochs": 3}},
    "runtime": {"threads": 3},
    "processes": {"devices": 2},
    "attack": {"eps": 0.02},
    "breaks": {"steps": 4},
    "evaluate": {"noise_draws": 3},
    "train": {"seeds": [218, 219]},
    "statistics": {"bootstrap": 300},
    "audit": {"segments": 3},
    "reference": {},
    "systems": {},
}


def own_parameters(stage: str) -> set[str]:
    """What a stage depends on, as dvc.yaml lists it."""
    names = PIPELINE[stage].get("params", [])
    whole = {"separators.${evaluate.oracle}": "separators.stft"}
    return {whole.get(name, name) for name in names}


def before(stage: str) -> set[str]:
    """The stages that a stage depends on, near and far, as dvc.yaml has them."""
    reads = [dep for dep in PIPELINE[stage]["deps"] if not dep.startswith(("stages", "stemproof"))]
    found: set[str] = set()
    for other, about in PIPELINE.items():
        outs = [next(iter(out)) if isinstance(out, dict) else out for out in about["outs"]]
        if other != stage and any(related(dep, out) for dep in reads for out in outs):
            found |= {other, *before(other)}
    return found


def related(dep: str, out: str) -> bool:
    dep, out = (
        path.replace("${item.system}", "baseline").replace("${item.seed}", "218")
        for path in (dep, out)
    )
    dep = dep.replace("${data.root}", "data/demo")
    return dep == out or out.startswith(f"{dep}/") or dep.startswith(f"{out}/")


CASES = [
    (script, name)
    for script, stage in SCRIPTS.items()
    for name in CHANGES
    if any(
        name in own_parameters(other)
        for other in before(stage)
        # Of trained models there is one in this project.
        if other not in ("train-improved", "train-ablation")
    )
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of one system in which every stage has run."""
    folder = tmp_path_factory.mktemp("project")
    tree = merged(default_tree(), SMALL)
    tree = merged(
        tree,
        {
            "data": {"root": "songs"},
            "systems": ["baseline"],
            "ablations": [],
            "attack": {"pgd": {"steps": 1}},
            "rsvm": {"training": {"epochs": 1}},
            "audit": {"segments": 2, "steps": [1], "queries": 5, "universal_epochs": 0},
        },
    )
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    for number, split in enumerate(["train"] * 3 + ["test"] * 2):
        write_track(folder / "songs" / split / f"song {number}", number)
    hold_out(folder / "songs", "song 2")
    # As if they were rendered.
    marker = {MADE_WITH: record_of(tree, ["demo"])}
    (folder / "songs" / MARKER).write_text(json.dumps(marker))
    sys.path.insert(0, str(ROOT / "stages"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            for script in SCRIPTS:
                run(script)
        yield folder
    finally:
        sys.path.remove(str(ROOT / "stages"))


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in which a test may change what it likes."""
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def run(script: str, *arguments: Any) -> None:
    main = importlib.import_module(script).main
    main(*(arguments or (MODEL if script in OF_A_MODEL else ())))


def changed(tree: dict[str, Any], name: str) -> dict[str, Any]:
    """All parameters, one of them changed."""
    tree = copy.deepcopy(tree)
    if name == "reference":
        tree["systems"] = ["baseline", "improved"]
        tree["reference"] = "improved"
    elif name == "systems":
        tree["systems"] = ["baseline", "improved"]
    elif name.startswith("separators."):
        tree["separators"][name.partition(".")[2]] |= CHANGES[name]
    else:
        tree = merged(tree, {name: CHANGES[name]})
    return tree


def leaf(name: str) -> str:
    """The full name of what :func:`changed` changes."""
    inside = CHANGES[name]
    parts = [name]
    while isinstance(inside, dict) and inside:
        parts.append(next(iter(inside)))
        inside = inside[parts[-1]]
    return ".".join(parts) if name not in ("reference", "systems") else "systems"


@pytest.mark.parametrize(("script", "name"), CASES)
def test_what_other_parameters_made_is_refused(project: Path, script: str, name: str) -> None:
    """The cases are those that dvc.yaml would run again: no section is forgotten."""
    params = project / "params.yaml"
    old = yaml.safe_load(params.read_text())
    new = changed(old, name)
    params.write_text(yaml.safe_dump(new))
    files = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"run [\w-]+ again") as error:
        run(script)
    said = str(error.value)
    assert f"made with {leaf(name)} = " in said
    assert ", but params.yaml says " in said
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == files


def test_the_cases_are_many() -> None:
    """Of every stage but the first, and of every section but those that nothing follows."""
    assert {script for script, _ in CASES} == set(SCRIPTS)
    assert {name for _, name in CASES} == set(CHANGES)
    assert ("report", "rsvm") in CASES and ("report", "runtime") in CASES


@pytest.mark.parametrize("script", ["compare", "report"])
def test_what_did_not_change_is_not_refused(project: Path, script: str) -> None:
    """Also when the file was written anew, and a parameter changed that has no effect on it."""
    tree = yaml.safe_load((project / "params.yaml").read_text())
    tree["workers"]["count"] = 3
    tree["separators"]["improved"]["dropout"] = 0.4  # nothing was made of it
    (project / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    written = project / {"compare": "metrics/comparison.json", "report": "report/report.md"}[script]
    written.unlink(missing_ok=True)
    run(script)
    assert written.is_file()


@pytest.mark.parametrize("script", OF_A_MODEL)
def test_a_model_that_is_not_asked_for_is_refused(project: Path, script: str) -> None:
    with pytest.raises(InputError, match=r"--seed 7 is none of train.seeds .* \(218\); name one"):
        run(script, "baseline", 7)
    said = "--system improved is none of systems" if script != "train" else "unknown separator `x`"
    with pytest.raises(InputError, match=said):
        run(script, "improved" if script != "train" else "x", 218)


def test_results_of_an_older_release_are_refused(project: Path) -> None:
    for name, script, again in (
        ("data/prepared/.stemproof.json", "train", "prepare-musdb18"),
        ("data/adversarial/baseline/218/index.json", "evaluate", "generate-pgd-adversarials"),
        ("metrics/breaks/baseline/218/about.json", "evaluate", "find-break-points"),
        ("metrics/models/baseline/218/figures.json", "compare", "evaluate"),
        ("metrics/environment.json", "report", "compare"),
        ("plots/audit/made_with.json", "report", "audit"),
        ("metrics/environment.json", "listen", "compare"),
        ("data/adversarial/baseline/218/index.json", "listen", "generate-pgd-adversarials"),
        ("data/listening/index.json", "report", "listen"),
    ):
        path = project / name
        whole = path.read_text()
        about = json.loads(whole)
        del about[MADE_WITH]
        path.write_text(json.dumps(about))
        with pytest.raises(InputError, match=f"does not say what it was made with.* {again} again"):
            run(script)
        path.write_text(whole)


def of_a_newer_release(path: Path) -> None:
    """A file as a release that is not written yet may leave it: other keys, a higher number."""
    if path.suffix == ".safetensors":
        text = json.dumps({"format": 99, "else": 1})
        save_file({"x": torch.zeros(1)}, str(path), metadata={"stemproof": text})
        return
    about = json.loads(path.read_text())
    about.pop(MADE_WITH, None)
    key = "version" if path.name == "manifest.json" else "format"
    path.write_text(json.dumps({**about, key: 99}))
    for name in ("metrics/environment.json", "plots/audit/made_with.json"):
        record = Path(name)
        found = json.loads(record.read_text())
        if path.resolve() != record.resolve():  # the same release wrote it
            files = [record.parent / file for file in found[SEAL]["files"]]
            write_sealed(record, without_seal(found), files)


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        ("data/prepared/manifest.json", ("train", "generate", "find_break_points", "evaluate")),
        ("data/prepared/manifest.json", ("audit", "listen")),
        ("models/baseline/218.safetensors", ("generate", "find_break_points")),
        ("data/adversarial/baseline/218/index.json", ("evaluate", "audit", "listen")),
        ("metrics/breaks/baseline/218/about.json", ("evaluate",)),
        ("metrics/train/baseline/218.json", ("evaluate",)),
        ("metrics/models/baseline/218/figures.json", ("compare",)),
        ("metrics/environment.json", ("listen", "report")),
        ("metrics/systems/baseline.json", ("report",)),
        ("metrics/comparison.json", ("report",)),
        ("metrics/data.json", ("report",)),
        ("metrics/audit.json", ("report",)),
        ("plots/audit/made_with.json", ("report",)),
        ("plots/audit/baseline.json", ("report",)),
        ("data/listening/index.json", ("report",)),
    ],
)
def test_results_of_a_newer_release_are_refused(
    project: Path, name: str, scripts: tuple[str, ...]
) -> None:
    """First of all, and by the number: to run a stage again would be the wrong advice."""
    of_a_newer_release(project / name)
    files = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    for script in scripts:
        with pytest.raises(InputError, match="99 of a newer release; .*: update it") as error:
            run(script)
        assert str(error.value).startswith(f"{name}: ")
        assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == files


def test_other_recordings_under_the_same_parameters(project: Path) -> None:
    """Stages that are run by hand out of order never mix figures of two data sets."""
    for number, part in enumerate(("train/song 0", "test/song 4")):
        shutil.rmtree(project / "songs" / part)
        write_track(project / "songs" / part, 50 + number)
    run("prepare")
    for script, said in (
        ("generate", "218.safetensors: trained on other recordings than data/prepared holds"),
        ("find_break_points", "trained on other recordings"),
        ("evaluate", "trained on other recordings"),
        ("audit", "made with data = "),
        ("report", "metrics/environment.json: of other recordings than metrics/data.json"),
    ):
        with pytest.raises(InputError, match=said):
            run(script)
    run("train")
    run("generate")
    with pytest.raises(InputError, match="breaks/baseline/218: of another model than the advers"):
        run("evaluate")


def test_nothing_goes_before_all_can_be_written(project: Path) -> None:
    """The last folder that `compare` writes is a file: the first one is still whole."""
    shutil.rmtree(project / "plots/attack")
    (project / "plots/attack").write_text("")
    found = {path: path.read_bytes() for path in project.rglob("metrics/**/*.json")}
    with pytest.raises(InputError, match="plots/attack stands where a folder belongs"):
        run("compare")
    (project / "plots/attack").unlink()
    # A curve that cannot be read is noticed as early.
    (project / "metrics/models/baseline/218/training.csv").write_text("")
    with pytest.raises(InputError, match="training.csv: changed since evaluate wrote it"):
        run("compare")
    assert {path: path.read_bytes() for path in project.rglob("metrics/**/*.json")} == found


def results(project: Path) -> dict[Path, bytes]:
    """Every file of figures, and every clip."""
    folders = ("metrics", "plots", "data/listening")
    files = (path for folder in folders for path in (project / folder).rglob("*"))
    found = {path: path.read_bytes() for path in files if path.is_file()}
    assert all(any(path.is_relative_to(project / folder) for path in found) for folder in folders)
    return found


def one_bit(audio: FloatArray) -> None:
    audio.view(np.uint8)[MIXTURE, -1, -4] ^= 1  # the lowest of the last sample


def not_a_number(audio: FloatArray) -> None:
    audio[MIXTURE, -1, 0] = np.nan


@pytest.mark.parametrize("damage", [one_bit, not_a_number])
def test_a_recording_that_was_changed_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[FloatArray], None]
) -> None:
    """Also by `evaluate` when nothing of it is computed any more."""
    run("evaluate")
    before = results(project)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "play", lambda *_: pytest.fail("its parts are not known"))
        run("evaluate")
    assert results(project) == before
    manifest = json.loads((project / "data/prepared/manifest.json").read_text())
    name = next(entry["file"] for entry in manifest["tracks"] if entry["split"] == "test")
    path = project / "data/prepared" / name
    size, audio = path.stat().st_size, np.load(path, mmap_mode="r+")
    damage(audio)
    audio.flush()
    assert path.stat().st_size == size
    for script in ("generate", "find_break_points", "evaluate", "audit", "listen"):
        with pytest.raises(InputError, match=rf"{name}: changed since .*; run prepare-musdb18"):
            run(script)
        assert results(project) == before


def nudged(value: Any) -> Any:
    """A JSON value with its last number a little different; the same where it has none."""
    if isinstance(value, dict):
        for key, part in reversed(value.items()):
            if key not in ("format", "version", SEAL) and nudged(part) != part:
                return {**value, key: nudged(part)}
    if isinstance(value, list):
        for place in reversed(range(len(value))):
            if nudged(value[place]) != value[place]:
                return [*value[:place], nudged(value[place]), *value[place + 1 :]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value * 1.001 if isinstance(value, float) else value + 1
    return value


def edited(path: Path) -> None:
    """One number of a result as somebody else would have it; nothing that its form forbids."""
    if path.suffix == ".json":
        found = json.loads(path.read_text())
        assert nudged(found) != found
        path.write_text(json.dumps(nudged(found), indent=2))
    elif path.suffix == ".csv":
        text = path.read_text()
        place = max(place for place, letter in enumerate(text) if letter.isdigit())
        path.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")
    elif path.suffix == ".safetensors":
        with safe_open(str(path), framework="pt") as stream:
            about = stream.metadata()
        weights = load_file(str(path))
        next(iter(weights.values())).view(-1)[0] += 1e-3
        save_file(weights, str(path), metadata=about)
    else:
        content = bytearray(path.read_bytes())
        content[-2] ^= 1  # the lowest bit of the last sample, or of the last number but one
        path.write_bytes(bytes(content))


# Files that a stage wrote, by the stages that read them.
READ: dict[str, tuple[str, ...]] = {
    "evaluate": (
        "metrics/train/baseline/218.json",
        "plots/train/baseline/218.csv",
        "data/adversarial/baseline/218/index.json",
        "data/adversarial/baseline/218/curve.csv",
        "metrics/breaks/baseline/218/about.json",
        "metrics/breaks/baseline/218/parts.csv",
    ),
    "compare": ("metrics/models/baseline/218/*.json", "metrics/models/baseline/218/*.csv"),
    "listen": ("plots/tracks/baseline.csv", "metrics/environment.json"),
    "report": (
        "metrics/*.json",
        "metrics/systems/*.json",
        "plots/tracks/*.csv",
        "plots/curves/*.csv",
        "plots/attack/*.csv",
        "plots/audit/*",
        "data/listening/*",
    ),
    "train": ("data/prepared/manifest.json",),
    "generate": ("models/baseline/218.safetensors",),
    "find_break_points": ("models/baseline/218.safetensors",),
    "audit": ("data/adversarial/baseline/218/index.json",),
}
# DVC shows these, and nothing reads them back.
SHOWN = [f"metrics/{name}.json" for name in ("clean", "attacked", "rb", "drop", "flags")]


@pytest.mark.parametrize("script", READ)
def test_a_figure_that_was_edited_is_refused(project: Path, script: str) -> None:
    """Also where the number that stands there now could be one."""
    files = {path for pattern in READ[script] for path in Path().glob(pattern) if path.is_file()}
    files -= {Path(name) for name in SHOWN}
    files = {path for path in files if path.name != MARKER}
    assert len(files) >= len(READ[script])
    for path in sorted(files):
        whole = path.read_bytes()
        edited(path)
        assert path.read_bytes() != whole
        before = results(project)
        with pytest.raises(
            InputError, match=r"changed since|were changed|parts.csv: damaged"
        ) as error:
            run(script)
        assert str(error.value).startswith(f"{path}: "), path
        assert results(project) == before
        path.write_bytes(whole)
    run(script)


def test_a_header_that_was_edited_is_refused(project: Path) -> None:
    """A model of the same weights and another hop is another model."""
    path = Path("models/baseline/218.safetensors")
    with safe_open(str(path), framework="pt") as stream:
        header = json.loads(stream.metadata()["stemproof"])
    header["settings"]["sizes"]["hop"] //= 2
    save_file(load_file(str(path)), str(path), metadata={"stemproof": json.dumps(header)})
    for script in ("generate", "find_break_points"):
        with pytest.raises(InputError, match="they or it were changed since they were written"):
            run(script)


def test_two_systems_of_edited_tables_are_not_compared(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command that prints one system minus another reads what `compare` wrote."""
    run("contrast", "baseline", "baseline")
    assert "baseline minus baseline" in capsys.readouterr().out
    tree = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(merged(tree, {"attack": {"eps": 0.5}})))
    with pytest.raises(InputError, match=r"made with attack.eps = 0.01, but params.yaml says 0.5"):
        run("contrast", "baseline", "baseline")
    Path("params.yaml").write_text(yaml.safe_dump(tree))
    edited(Path("plots/tracks/baseline.csv"))
    with pytest.raises(InputError, match=r"plots/tracks/baseline.csv: changed since compare"):
        run("contrast", "baseline", "baseline")
    # Tables of elsewhere say nothing of themselves.
    shutil.copytree("plots/tracks", "elsewhere")
    run("contrast", "baseline", "baseline", Path("elsewhere"))


def test_damage_of_what_is_stored_is_not_taken_for_finished_work(project: Path) -> None:
    """What is stored and what is unfinished are one file under two names."""
    path = Path("data/adversarial/baseline/218/test-0003.npy")
    before = results(project)
    stored = np.load(path, mmap_mode="r+")
    stored[:] *= np.float32(0.99)
    stored.flush()
    with pytest.raises(InputError, match=r"test-0003.npy: damaged; run generate-pgd-adversarials"):
        run("evaluate")
    run("generate")
    run("evaluate")
    assert results(project) == before


@pytest.mark.parametrize("said", [{"parameters": None}, {"parameters": "abc"}])
def test_a_marker_of_songs_that_is_none(project: Path, said: dict[str, Any]) -> None:
    Path("songs", MARKER).write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"songs/.stemproof.json: does not say what it was made"):
        run("prepare")


@pytest.mark.parametrize("number", [0, 1])
def test_an_attack_beyond_its_budget_is_refused(project: Path, number: int) -> None:
    """Also when its index knows of it: figures are of what is played."""
    folder = project / "data/adversarial/baseline/218"
    index = json.loads((folder / "index.json").read_text())
    entry, track = (
        index["tracks"][number],
        PreparedData(Path("data/prepared")).tracks("test")[number],
    )
    assert entry["file"] == track.file
    path = folder / entry["file"]
    attacked = np.load(path)
    clean = track.mono(MIXTURE, 0, attacked.shape[1])
    assert 0 < entry["budget_used"] <= 1 + 1e-9
    write_array(path, (clean + 1.01 / entry["budget_used"] * (attacked - clean)).astype("float32"))
    entry |= {"sha256": sha256(path), "budget_used": 1.01}
    write_sealed(folder / "index.json", without_seal(index), [folder / "curve.csv"])
    before = results(project)
    for script in ("evaluate", "audit", "listen"):
        with pytest.raises(InputError, match=rf"{path.name}: 1\.01\d* times the budget of attack"):
            run(script)
        assert results(project) == before


def test_a_record_is_compared_leaf_by_leaf() -> None:
    tree = {"a": {"x": 1, "y": {"z": 2.0}}, "b": {"one": {"k": None}, "two": 3}, "c": [1, 2]}
    record = record_of(tree, ["a", "b.one", "c"])
    assert json.loads(json.dumps(record)) == record
    assert difference(record, copy.deepcopy(tree)) is None
    for path, value, said in (
        (("a", "x"), 3, "a.x = 1, but params.yaml says 3"),
        (("a", "y", "z"), 2.5, "a.y.z = 2.0, but params.yaml says 2.5"),
        (("a", "new"), 1, r"a.new = nothing (its default), but params.yaml says 1"),
        (("b", "one", "k"), 0, "b.one.k = None, but params.yaml says 0"),
        (("c",), [2, 1], "c = [1, 2], but params.yaml says [2, 1]"),
    ):
        other = copy.deepcopy(tree)
        place: Any = other
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert (
            difference(record, other) == (said.split()[0].rpartition(".")[0], said)
            or (difference(record, other) or ("", ""))[1] == said
        )
    without = copy.deepcopy(tree)
    del without["b"]["one"]
    said = "b.one = {'k': None}, but params.yaml says None"
    assert difference(record, without) == ("b.one", said)
    assert difference(record, {**tree, "b": {**tree["b"], "two": 4}}) is None
