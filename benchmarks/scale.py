"""Do attack and evaluation cost as much per track, however many there are? Time, and memory."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from harness import Row, Sizes, Times, race
from project import PREPARED, SEED, Params, new_project, prepared_demo, quiet, run_stage
from stemproof.attacks.store import Victim, generate
from stemproof.attacks.stored import open_adversarials
from stemproof.data.manifest import MANIFEST, write_manifest
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.separators.checkpoint import load
from stemproof.separators.registry import oracle

CPU = torch.device("cpu")


def rows(sizes: Sizes) -> list[Row]:
    """1, 2, 4 and 8 times the tracks, with a small model."""
    counts = sizes.of([8, 16, 32, 64], [1, 2, 3, 4])
    systems = sizes.of(["baseline", "improved"], ["baseline"])
    songs = {"train_songs": 2, "valid_songs": 1, "test_songs": counts[-1]}
    small = {"rsvm": {"sizes": {"channels": 100}}, "attack": {"pgd": {"steps": 2}}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = folder / "whole"
        changes = {
            "data": {"root": str(folder / "songs")},
            "demo": {**songs, "seconds": sizes.of(4.0, 2.0)},
            **sizes.of(small, {}),
        }
        params = new_project(folder, sizes, changes)
        prepared_demo(params, whole)
        link(folder / PREPARED, whole)
        for system in systems:
            run_stage(folder, "train", system)
        for count in counts:
            choose_tracks(whole, folder / str(count), count)
        times = race(
            {str(count): partial(attack_and_evaluate, params, folder, count) for count in counts},
            sizes.of(5, 1),
        )
        peaks: dict[int, list[float]] = {counts[0]: [], counts[-1]: []}
        for count, found in peaks.items():
            link(folder / PREPARED, folder / str(count))
            for system in systems:
                run_stage(folder, "train", system)  # on these recordings, as stages demand
            found += [peak_memory(folder, systems) for _ in range(sizes.of(3, 1))]
    return [per_added_track(counts, times), less_memory(peaks)]


def per_added_track(counts: list[int], times: Times) -> Row:
    """Whether the last tracks cost as much time as the first."""
    added = {
        (few, many): (times.median(str(many)) - times.median(str(few))) / (many - few)
        for few, many in pairwise(counts)
    }
    detail = ", ".join(f"{count} tracks {times.median(str(count)):.2f} s" for count in counts)
    detail += "; per added track " + ", ".join(f"{own * 1e3:.0f} ms" for own in added.values())
    [(first, second), *_, (third, fourth)] = added
    name = f"time per added track: {first}-{second} over {third}-{fourth}"
    return Row(name, added[first, second] / added[third, fourth], 0.8, detail)


def less_memory(peaks: dict[int, list[float]]) -> Row:
    """Whether memory stays, by its peaks in MiB."""
    small, large = (float(np.median(found)) for found in peaks.values())
    few, many = peaks
    detail = "; ".join(
        f"{count} tracks {', '.join(f'{peak:.0f}' for peak in found)} MiB"
        for count, found in peaks.items()
    )
    return Row(f"peak memory: {few} tracks over {many}", small / large, 0.9, detail)


def peak_memory(folder: Path, systems: list[str]) -> float:
    """The largest of the stages that go through the tracks, in MiB."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    stages = [
        (stage, system)
        for stage in ("generate", "find_break_points", "evaluate")
        for system in systems
    ]
    return max(run_stage(folder, *stage)[1] for stage in stages)


def link(place: Path, folder: Path) -> None:
    """Let a place lead to a folder, wherever it led before."""
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(folder)


def choose_tracks(source: Path, destination: Path, count: int) -> None:
    """A prepared folder with the first test tracks of another, and its other splits."""
    manifest = json.loads((source / MANIFEST).read_text())
    test = [track for track in manifest["tracks"] if track["split"] == "test"][:count]
    rest = [track for track in manifest["tracks"] if track["split"] != "test"]
    destination.mkdir()
    for track in (*rest, *test):
        (destination / track["file"]).symlink_to(source / track["file"])
    write_manifest(destination, manifest | {"tracks": [*rest, *test]})


def attack_and_evaluate(params: Params, project: Path, count: int) -> None:
    """What the two stages do for one model."""
    data = PreparedData(project / str(count))
    file = project / f"models/baseline/{SEED}.safetensors"
    separator = load(file, params.attack.mask)
    evaluator = Evaluator(
        "baseline",
        separator,
        oracle(params.separators, params.evaluate.oracle, data.sample_rate, CPU),
        params.evaluate,
        params.attack,
        params.segments,
        params.workers,
        params.processes,
        CPU,
    )
    with tempfile.TemporaryDirectory() as name, quiet():
        found, scratch = Path(name) / "found", Path(name) / "scratch"
        victim = Victim("baseline", separator, file)
        generate(params.attack, params.segments, victim, data, CPU, found, scratch)
        evaluator.evaluate(data, open_adversarials(found, params.attack, params.segments, data))
