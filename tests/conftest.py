"""Small parameters and small data sets in the MUSDB18-HQ layout."""

from __future__ import annotations

import copy
import functools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from hypothesis import settings

from stemproof.attacks.broken import BreakParams
from stemproof.attacks.params import AttackSection
from stemproof.auditing.params import AuditParams
from stemproof.core.files import sha256
from stemproof.core.machine import ProcessParams, RuntimeParams, WorkerParams
from stemproof.core.params import Name, Sections, Systems, TrainParams, load_params
from stemproof.data.manifest import MANIFEST, MANIFEST_SHA256
from stemproof.data.params import DataParams, DemoParams, SegmentParams
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.params import StatisticsParams
from stemproof.protecting.section import ProtectSection
from stemproof.report.params import ReportParams
from stemproof.separators.registry import Entries
from stemproof.separators.rsvm.params import FamilyParams

# How long an example takes says nothing on a machine that has other work.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent
RATE = 4000
SMALL: dict[str, Any] = {
    "data": {"sample_rate": RATE, "source": "musdb18hq"},
    "segments": {"seconds": 0.25},
    "separators": {
        "baseline": {"kind": "rsvm"},
        "improved": {"kind": "rsvm", "attention": {"heads": 2, "width": 8}, "dropout": 0.2},
        "stft": {"kind": "stft", "window": 128, "hop": 32},
    },
    "rsvm": {
        "sizes": {"channels": 24, "kernel": 128, "hop": 32},
        "training": {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3},
    },
    "attack": {"batch": 5, "eps": 0.01, "pgd": {"steps": 4}},
    "breaks": {"steps": 3, "per_track": 1},
    "evaluate": {"noise_draws": 2, "bsseval": "none", "batch": 5},
    "statistics": {"bootstrap": 200},
    "runtime": {"accelerator": "cpu", "threads": 1},
    "workers": {"count": 1},
}


class AllParams(Sections):
    """Every section of the parameters; a stage loads only its own."""

    demo: DemoParams
    data: DataParams
    segments: SegmentParams
    systems: Systems
    reference: Name
    ablations: list[Name]
    own: list[Name]
    train: TrainParams
    separators: Entries
    rsvm: FamilyParams
    attack: AttackSection
    breaks: BreakParams
    evaluate: EvaluateParams
    statistics: StatisticsParams
    audit: AuditParams
    protect: ProtectSection
    report: ReportParams
    runtime: RuntimeParams
    processes: ProcessParams
    workers: WorkerParams

    @property
    def segment_samples(self) -> int:
        """Length of a segment."""
        return self.segments.samples(self.data.sample_rate)


def default_tree() -> dict[str, Any]:
    return copy.deepcopy(_written())


@functools.cache
def _written() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "tests/params.yaml").read_text())


def merged(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(tree)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict) and key != "separators":
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)  # what is changed of it later is of this tree
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with many slow tests first, so that processes that share the tests end together."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
READ: dict[str, AllParams] = {}


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_waiting_for_disks(request: pytest.FixtureRequest) -> Iterator[None]:
    """That files are on the disk before they have their names is tested in one place."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name != "test_writing.py":
            patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture
def make_params(tmp_path: Path) -> Callable[..., AllParams]:
    """Small parameters with changes, read from a real file."""

    def make(**changes: Any) -> AllParams:
        path = tmp_path / "params.yaml"
        text = yaml.dump(merged(merged(_written(), SMALL), changes), Dumper=DUMPER)
        path.write_text(text)
        # The same text is read once: many tests change nothing, and parsing is most of their time.
        if text not in READ:
            READ[text] = load_params(AllParams, path)
        return READ[text].model_copy(deep=True)

    return make


def write_track(folder: Path, seed: int, seconds: float = 1.1, rate: int = RATE) -> None:
    """A track of tones and noise whose stems add up to the mixture."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    stems = {
        "drums": rng.standard_normal(len(time)) * (np.sin(12 * time) > 0.7),
        "bass": np.sin(2 * np.pi * rng.uniform(60, 120) * time),
        "other": np.sign(np.sin(2 * np.pi * rng.uniform(200, 400) * time)),
        "vocals": np.sin(2 * np.pi * (300 * time + 3 * np.sin(6 * time))) * (1 + np.sin(5 * time)),
    }
    folder.mkdir(parents=True)
    rounded = {
        name: np.stack([stem, 0.8 * stem], axis=1) * 0.1 * 32768 for name, stem in stems.items()
    }
    integers = {name: np.round(stem).astype(np.int16) for name, stem in rounded.items()}
    integers["mixture"] = np.sum(list(integers.values()), axis=0).astype(np.int16)
    for name, signal in integers.items():
        soundfile.write(folder / f"{name}.wav", signal, rate, subtype="PCM_16")


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Four training, one validation and two test tracks."""
    root = tmp_path / "songs"
    for number in range(5):
        write_track(root / "train" / f"train {number}", number)
    for number in range(2):
        write_track(root / "test" / f"test {number}", 100 + number)
    from stemproof.data.codec import import_musdb

    musdb = import_musdb("pyav")
    setup = yaml.safe_load((Path(musdb.__path__[0]) / "configs" / "mus.yaml").read_text())
    setup["validation_tracks"] = ["train 4"]
    (root / "mus.yaml").write_text(yaml.safe_dump(setup))
    return root


@pytest.fixture
def previews() -> Path:
    """The real MUSDB18 previews, where MUSDB_PATH names them."""
    path = os.environ.get("MUSDB_PATH")
    if not path:
        pytest.skip("MUSDB_PATH is not set")
    return Path(path)


def rewrite_manifest(folder: Path, text: str) -> None:
    """Prepared data that say something else, and were written so."""
    (folder / MANIFEST).write_text(text)
    (folder / MANIFEST_SHA256).write_text(sha256(folder / MANIFEST))


def hold_out(root: Path, *songs: str) -> None:
    """A mus.yaml in a folder of songs: as musdb has it, with other songs to validate on."""
    from stemproof.data.codec import import_musdb

    packaged = Path(import_musdb("pyav").__path__[0]) / "configs" / "mus.yaml"
    setup = yaml.safe_load(packaged.read_text()) | {"validation_tracks": list(songs)}
    (root / "mus.yaml").write_text(yaml.safe_dump(setup))


def write_songs(root: Path) -> None:
    """A data set of five songs: one to train on, one held out, three to test on."""
    for number, split in enumerate(["train"] * 2 + ["test"] * 3):
        write_track(root / split / f"song {number}", number)
    hold_out(root, "song 1")
