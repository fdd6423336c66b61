"""Adversarials on disk: unfinished work goes on to the same bytes, and nothing foreign is used."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from attack_toys import Crosstalk, Saturating, Told, small_tracks
from conftest import rewrite_manifest

from stemproof.attacks import store, unfinished
from stemproof.attacks.store import Victim, generate
from stemproof.attacks.stored import measured, open_adversarials
from stemproof.attacks.threat import fitted
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.core.errors import InputError
from stemproof.core.files import sha256, write_array
from stemproof.core.resume import drop
from stemproof.core.shards import WHOLE, Shard
from stemproof.data.manifest import write_manifest
from stemproof.data.store import PreparedData

MakeParams = Callable[..., Any]
CPU = torch.device("cpu")
LENGTH = 1000  # a quarter of a second
QUICK = {"batch": 4, "eps": 0.02, "pgd": {"steps": 3}}
# One that hears mono segments, and one that hears stereo recordings, whole or in excerpts.
SYSTEMS: dict[str, Any] = {
    "informed": (Told(3.0), {}),
    "blind": (Crosstalk(3.0, channels=2), {}),
    "excerpts": (Crosstalk(3.0, channels=2), {"excerpt": 0.5}),
}


def write_prepared(folder: Path) -> PreparedData:
    """Two training tracks and three test tracks, of which the first two fill a batch together."""
    folder.mkdir()
    entries = []
    for split, counts in (("train", (2, 3)), ("test", (2, 2, 3))):
        for track in small_tracks(counts, LENGTH, channels=2):
            file = f"{split}-{track.file}"
            write_array(folder / file, track.audio)
            about = {"split": split, "name": f"{split} {track.name}", "file": file}
            digest = {"samples": track.samples, "rendered": False, "sha256": sha256(folder / file)}
            entries.append({**about, **digest})
    about = {"source": "demo", "sample_rate": 4000, "channels": 2, "tracks": entries}
    write_manifest(folder, about)
    return PreparedData(folder)


class Bench:
    """One model to attack, and where things go."""

    def __init__(self, folder: Path, make_params: MakeParams, system: str) -> None:
        self.folder, self.make_params, self.system = folder, make_params, system
        self.separator, self.own = SYSTEMS[system]
        self.data = write_prepared(folder / "prepared")
        self.model = folder / "model.safetensors"
        self.model.write_bytes(b"weights")
        self.work, self.destination = folder / "scratch", folder / "adversarial/x/1"

    def params(self, **attack: Any) -> Any:
        own = {**QUICK, **self.own, **attack}
        return self.make_params(attack=own, segments={"loud_db": -30})

    def run(self, shard: Shard = WHOLE, **attack: Any) -> dict[str, bytes]:
        """Attack, and give what the folder holds."""
        params = self.params(**attack)
        victim = Victim("x-1", self.separator, self.model)
        where = self.destination, self.work, shard
        generate(params.attack, params.segments, victim, self.data, CPU, *where)
        drop(self.work, "x-1")  # as the evaluation does
        return self.stored()

    def stored(self) -> dict[str, bytes]:
        files = self.destination.iterdir() if self.destination.exists() else ()
        return {file.name: file.read_bytes() for file in files if file.is_file()}

    def open(self, **attack: Any) -> store.Adversarials:
        params = self.params(**attack)
        return open_adversarials(self.destination, params.attack, params.segments, self.data)

    def unfinished(self) -> Path:
        """The folder of work that is not finished."""
        (folder,) = (entry for entry in self.work.iterdir() if entry.name.startswith("x-1-"))
        return folder


@pytest.fixture(params=SYSTEMS)
def bench(tmp_path: Path, make_params: MakeParams, request: pytest.FixtureRequest) -> Bench:
    return Bench(tmp_path, make_params, request.param)


@pytest.fixture
def whole(bench: Bench) -> dict[str, bytes]:
    """What a run that nobody disturbs stores."""
    found = bench.run()
    shutil.rmtree(bench.destination)
    return found


class Killed:
    """Stands in for a function, counts its calls, and ends the run in one of them."""

    def __init__(self, inside: Callable[..., Any], at: int) -> None:
        self.inside, self.at, self.calls = inside, at, 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return self.inside(*arguments, **named)


def killed(bench: Bench, patch: pytest.MonkeyPatch, name: str, at: int, **attack: Any) -> None:
    """A run that ends in a call of a function of the store."""
    with patch.context() as inside:
        module = unfinished if name == "write_array" else store
        inside.setattr(module, name, Killed(getattr(module, name), at))
        with pytest.raises(KeyboardInterrupt):
            bench.run(**attack)


def test_what_is_stored(bench: Bench) -> None:
    found = bench.run()
    tracks = [f"test-{number}.npy" for number in range(3)]
    assert sorted(found) == sorted([*tracks, "curve.csv", "index.json", "system.safetensors"])
    assert found["system.safetensors"] == b"weights"
    stored = bench.open()
    assert list(stored.files) == tracks
    for track in bench.data.tracks("test"):
        mixture = np.array(track.mixture)
        if bench.system == "informed":
            mixture = mixture.mean(axis=0, keepdims=True)[:, : track.count(LENGTH) * LENGTH]
        adversarial = np.load(stored.files[track.file])
        assert adversarial.shape == mixture.shape and adversarial.dtype == np.float32
        assert 0.01 < np.abs(adversarial - mixture).max() <= 0.02 + 1e-6
    index = json.loads(found["index.json"])
    assert index["format"] == 2
    assert index["threat"] == ("informed" if bench.system == "informed" else "blind")
    parts = {"informed": [2, 2, 3], "blind": [1, 1, 1], "excerpts": [1, 1, 2]}
    assert [track["parts"] for track in index["tracks"]] == parts[bench.system]
    assert 0.9 < stored.budget_used <= 1
    assert stored.model_sha256 == sha256(bench.model)
    curve = pd.read_csv(bench.destination / "curve.csv")
    assert curve["step"].tolist() == [0, 1, 2, 3]
    assert curve["loss"].is_monotonic_increasing and curve["loss"].iloc[-1] > curve["loss"].iloc[0]
    # No unfinished work is left.
    assert not list(bench.work.iterdir())
    assert bench.run() == found


@pytest.mark.parametrize(
    ("name", "at"), [("craft", 1), ("craft", 2), ("write_array", 2), ("write_csv", 1)]
)
def test_a_killed_run_goes_on_to_the_same_bytes(
    bench: Bench,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    at: int,
) -> None:
    killed(bench, monkeypatch, name, at)
    assert "index.json" not in bench.stored()
    again = Killed(store.craft, 0)
    monkeypatch.setattr(store, "craft", again)
    assert bench.run() == whole
    if (name, at) == ("craft", 2):
        assert again.calls == 1  # the first batch was not attacked again


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, audio=np.zeros(3, np.float32))
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def fewer(array: Any) -> Any:
    """Losses of fewer parts than there are, or fewer samples of every channel."""
    return array[1:] if array.shape[1] < LENGTH else array[:, 1:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-4],
    "cut in its header": lambda content: content[:30],
    "text": lambda content: b"This is a note. " * 20,
    "zip": lambda content: b"PK\x03\x04" + content,
    "archive": lambda content: npz(),
    "header": lambda content: content[:10] + b"(" + content[11:],
    "number": lambda content: npy(np.float32(3)),
    "integers": lambda content: npy(np.load(io.BytesIO(content)).astype(np.int32)),
    "fewer": lambda content: npy(fewer(np.load(io.BytesIO(content)))),
    "other numbers": lambda content: content[:-2] + bytes([content[-2] ^ 1]) + content[-1:],
    "not a number": lambda content: npy(np.load(io.BytesIO(content)) * np.float32("nan")),
}


@pytest.mark.parametrize("file", ["test-1.npy", "losses-test-1.npy"])
@pytest.mark.parametrize("damage", list(DAMAGE))
def test_damaged_work_is_computed_again(
    bench: Bench,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: str,
    file: str,
) -> None:
    killed(bench, monkeypatch, "craft", 2)
    path = bench.unfinished() / file
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    again = Killed(store.craft, 0)
    monkeypatch.setattr(store, "craft", again)
    capsys.readouterr()
    assert bench.run() == whole
    assert again.calls == 2
    checking, gate, damaged, closing = capsys.readouterr().out.splitlines()
    assert checking == "x-1: checking its gradient"
    assert gate.startswith("x-1: the gradient passes its checks; 4 passes over ")
    assert damaged == f"{path}: damaged, computing it again"
    assert closing.startswith("x-1: median loss of the attack ") and "recordings: " in closing


def test_what_the_system_refuses_to_read_is_not_thrown_away(
    bench: Bench, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(bench, monkeypatch, "craft", 2)
    opened = Path.open

    def refused(path: Path, *arguments: Any, **named: Any) -> Any:
        if path.name == "test-0.npy" and path.parent == bench.unfinished():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return opened(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        with pytest.raises(InputError, match=r"test-0.npy: cannot be read .*ulimit -n"):
            bench.run()
    again = Killed(store.craft, 0)
    monkeypatch.setattr(store, "craft", again)
    assert bench.run() == whole
    assert again.calls == 1


def test_strays_stop_nothing_and_stay(
    bench: Bench, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(bench, monkeypatch, "craft", 2)
    places = (
        bench.work,
        bench.unfinished(),
        bench.destination.parent.parent,
        bench.destination.parent,
        bench.destination,
    )
    strays = []
    for place in places:
        for name in (".DS_Store", "notes/mine.npy", "mine.csv"):
            stray = place / name
            stray.parent.mkdir(parents=True, exist_ok=True)
            stray.write_bytes(b"mine")
            strays.append(stray)
    found = bench.run()
    assert all(stray.read_bytes() == b"mine" for stray in strays)
    assert {name: found[name] for name in whole} == whole
    assert bench.open().files
    # Of our own work nothing is left among them.
    assert sorted(file.name for file in bench.unfinished().iterdir()) == [
        ".DS_Store",
        "mine.csv",
        "notes",
    ]
    bench.run(eps=0.01)
    assert all(stray.read_bytes() == b"mine" for stray in strays)


def test_what_an_earlier_run_stored_is_replaced(bench: Bench) -> None:
    bench.run(method="universal")
    index = json.loads((bench.destination / "index.json").read_text())
    index["tracks"].append({**index["tracks"][0], "file": "test-0009.npy"})
    (bench.destination / "index.json").write_text(json.dumps(index))
    (bench.destination / "test-0009.npy").write_bytes(b"of other data")
    found = bench.run()
    assert "universal.npy" not in found
    assert "test-0009.npy" not in found


def test_unfinished_work_of_another_run_is_not_gone_on_with(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def calls(**attack: Any) -> int:
        again = Killed(store.craft, 0)
        with monkeypatch.context() as patch:
            patch.setattr(store, "craft", again)
            bench.run(**attack)
        shutil.rmtree(bench.destination)
        return again.calls

    killed(bench, monkeypatch, "craft", 2)
    assert calls(eps=0.01) == 2
    with monkeypatch.context() as patch:
        patch.setattr(store, "code_fingerprint", lambda: "other code")
        assert calls() == 2
    bench.model.write_bytes(b"other weights")
    assert calls() == 2
    bench.model.write_bytes(b"weights")
    manifest = bench.data.folder / "manifest.json"
    known = bench.data
    rewrite_manifest(manifest.parent, manifest.read_text() + "\n")
    bench.data = PreparedData(known.folder)
    assert calls() == 2
    bench.data = known
    assert calls() == 1


def test_scratch_may_be_on_another_file_system(
    bench: Bench, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    renamed, replaced = os.rename, os.replace

    def across(plain: Callable[..., None]) -> Callable[..., None]:
        def rename(source: Any, target: Any) -> None:
            if Path(source).parent != Path(target).parent:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), str(source), None, str(target))
            plain(source, target)

        return rename

    monkeypatch.setattr(os, "rename", across(renamed))
    monkeypatch.setattr(os, "replace", across(replaced))
    assert bench.run() == whole


class Alone(Shard):
    """One of two processes that do not run at the same time."""

    def wait(self) -> None:
        pass


def test_processes_share_the_tracks(bench: Bench, whole: dict[str, bytes]) -> None:
    assert not bench.run(Alone(1, 2))
    assert len(list(bench.unfinished().glob("*.npy"))) == 2  # the second batch: one track
    assert bench.run(Alone(0, 2)) == whole


@pytest.mark.parametrize("damage", ["", "empty", "zip", "fewer"])
def test_a_universal_perturbation_is_learned_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    attack = {"method": "universal", "universal": {"epochs": 10}}
    whole = bench.run(**attack)
    played = bench.open(**attack).universal
    # As long as the longest of what it is played to, with all channels.
    lengths = {
        "informed": LENGTH,
        "blind": 2 * (3 * LENGTH + 17),
        "excerpts": 2 * (2 * LENGTH + 17),
    }
    assert played.shape == (1, lengths[bench.system])
    assert played.abs().max() == pytest.approx(0.02)
    shutil.rmtree(bench.destination)
    killed(bench, monkeypatch, "craft", 1, **attack)
    file = bench.unfinished() / "universal.npy"
    if damage:
        file.write_bytes(DAMAGE[damage](file.read_bytes()))
    learned = Killed(UniversalPerturbation.learned, 0)
    monkeypatch.setattr(UniversalPerturbation, "learned", lambda *arguments: learned(*arguments))
    assert bench.run(**attack) == whole
    assert learned.calls == bool(damage)
    # The index vouches for it, and goes last.
    killed(bench, monkeypatch, "write_sealed", 1, **attack)
    assert "universal.npy" in bench.stored()
    bench.run(**attack)
    write_array(bench.destination / "universal.npy", played.numpy() * np.float32(0.5))
    with pytest.raises(InputError, match=r"universal.npy: damaged; run generate-pgd-adversarials"):
        bench.open(**attack)


def test_what_was_made_with_anything_else_is_refused(bench: Bench) -> None:
    bench.run()
    again = "run generate-pgd-adversarials again"
    with pytest.raises(InputError, match=rf"attack.eps = 0.02, but .* says 0.01; {again}"):
        bench.open(eps=0.01)
    with pytest.raises(InputError, match=r"attack.pgd.steps = 3, but params.yaml says 4"):
        bench.open(pgd={"steps": 4})
    params = bench.make_params(attack={**QUICK, **bench.own})
    with pytest.raises(InputError, match=r"segments.loud_db = -30.0, but params.yaml says -10"):
        open_adversarials(bench.destination, params.attack, params.segments, bench.data)
    manifest = bench.data.folder / "manifest.json"
    rewrite_manifest(manifest.parent, manifest.read_text() + "\n")
    bench.data = PreparedData(bench.data.folder)
    with pytest.raises(InputError, match=rf"{bench.destination}: made with data = .*; {again}"):
        bench.open()


@pytest.mark.parametrize("name", ["test-1.npy", "system.safetensors"])
def test_a_damaged_file_is_refused(bench: Bench, name: str) -> None:
    content = bench.run()[name]
    file = bench.destination / name
    for damage in ("empty", "cut", "zip"):
        file.write_bytes(DAMAGE[damage](content))
        with pytest.raises(InputError, match=rf"{name}: damaged; run generate-pgd-adversarials"):
            bench.open()
    file.unlink()
    with pytest.raises(InputError, match=rf"{name}: no such file"):
        bench.open()
    file.write_bytes(content)
    bench.open()


TRACK = {"name": "x", "file": "x.npy", "parts": 1, "sha256": 64 * "0", "budget_used": 1.0}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 1}, "format 1, this one reads from 2 on; run generate"),
        ({"format": 3}, "format 3 of a newer release; this one reads up to 2: update it"),
        ({"format": None}, "format None is no number; run generate"),
        ({"format": True}, "format True is no number; run generate"),
        ({"tracks": None}, "tracks = None is not allowed: .*list; run generate"),
        ({"tracks": []}, "tracks = .* at least 1 item .*; run generate"),
        ({"tracks": [3]}, "tracks.0 = 3 is not allowed: an object was expected; run generate"),
        ({"tracks": [{"name": "x"}]}, "tracks.0.file is missing; .*; run generate"),
        ({"tracks": 2 * [TRACK]}, "a file of a track stands there twice; run generate"),
        ({"tracks": [{**TRACK, "file": "../x.npy"}]}, "tracks.0.file = .*; run generate"),
        ({"tracks": [{**TRACK, "budget_used": -1.0}]}, "tracks.0.budget_used = .*; run generate"),
        ({"model_sha256": 3}, "model_sha256 = 3 is not allowed: .*; run generate"),
        ({"gate": {"passed": 1, "checks": []}}, "gate.passed = 1 is not .*; run generate"),
        ({"gate": None}, "gate = None is not allowed: .*; run generate"),
        ({"threat": "deaf"}, "threat = 'deaf' is not allowed: .*; run generate"),
    ],
)
def test_an_index_that_is_none_is_refused(bench: Bench, change: Any, said: str) -> None:
    index = json.loads(bench.run()["index.json"])
    (bench.destination / "index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(InputError, match=f"adversarial/x/1/index.json: {said}"):
        bench.open()
    for text in ("", "[]", "{", "{}", '{"format": NaN}', '{"format": 2, "format": 2}'):
        (bench.destination / "index.json").write_text(text)
        with pytest.raises(InputError):
            bench.open()


def vouched(bench: Bench, name: str, change: Callable[[Any], Any]) -> store.Adversarials:
    """What is opened after a stored track was changed, and the index with it."""
    file = bench.destination / name
    write_array(file, change(np.load(file)))
    index = json.loads((bench.destination / "index.json").read_text())
    entry = next(entry for entry in index["tracks"] if entry["file"] == name)
    entry["sha256"] = sha256(file)
    (bench.destination / "index.json").write_text(json.dumps(index))
    return bench.open()


def test_the_budget_is_measured_on_what_is_read(bench: Bench) -> None:
    """Whatever an index says of it."""
    whole = bench.run()
    params = bench.params()
    sections = bench.separator, params.attack, params.segments, bench.data
    stored = bench.open()
    assert measured(stored, *sections).budget_used == stored.budget_used

    def louder(audio: Any) -> Any:
        audio[-1, -1] += 0.05
        return audio

    def spoiled(audio: Any) -> Any:
        audio[0, 3] = np.nan
        return audio

    for change, said in (
        (louder, r"test-2.npy: \d.* times the budget of attack.norm; run generate"),
        (spoiled, "test-2.npy: holds samples that are not numbers; run generate"),
        (lambda audio: audio[:, 1:], "no adversarials for test track 2; run generate"),
    ):
        found = vouched(bench, "test-2.npy", change)
        assert found.budget_used <= 1  # says the index
        with pytest.raises(InputError, match=said):
            measured(found, *sections)
        (bench.destination / "test-2.npy").write_bytes(whole["test-2.npy"])
    same = vouched(bench, "test-2.npy", lambda audio: audio)
    assert 0 < measured(same, *sections).budget_used <= 1


def test_a_violated_budget_is_not_stored(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = store.craft

    def cheating(*arguments: Any) -> Any:
        found = honest(*arguments)
        found.adversarial[0][0, 5] += 0.05
        return found

    monkeypatch.setattr(store, "craft", cheating)
    with pytest.raises(InputError, match=r"test-0.npy: .* attack.method = pgd is .* its budget"):
        bench.run()
    assert "index.json" not in bench.stored()


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        ({"seconds": 0.6, "loud_db": -30}, "test track 0, test track 1: shorter than segments.sec"),
        ({"loud_db": 90}, "no test segment has audible vocals; see segments.loud_db"),
    ],
)
def test_segments_that_there_are_not(bench: Bench, segments: dict[str, float], said: str) -> None:
    params = bench.make_params(attack={**QUICK, **bench.own}, segments=segments)
    victim = Victim("x-1", bench.separator, bench.model)
    where = bench.destination, bench.work
    with pytest.raises(InputError) as error:
        generate(params.attack, params.segments, victim, bench.data, CPU, *where)
    assert str(error.value).startswith(said)


def test_an_informed_system_for_other_recordings_is_refused(bench: Bench) -> None:
    """A blind one hears the recordings through wrappers; of an informed one the mask would be."""
    system = Told(3.0)
    system.sample_rate = 8000
    with pytest.raises(InputError, match=r"a system for 8000 Hz, but .*prepared have 4000 Hz"):
        fitted(system, bench.data)
    with pytest.raises(InputError, match=r"attacked in mono, and this one takes 2 channels"):
        fitted(Told(3.0, channels=2), bench.data)
    assert fitted(bench.separator, bench.data) is bench.separator
    other = Saturating(3.0)
    other.sample_rate = 8000
    heard = fitted(other, bench.data)
    assert (heard.sample_rate, heard.channels) == (4000, 2)
