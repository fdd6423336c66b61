"""What does sharing a training cost? Two processes of one thread against one of two threads."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from harness import Row, Sizes, Times
from project import PREPARED, baseline, new_project, prepared_demo, run_stage

SONGS = {"train_songs": 6, "valid_songs": 1, "test_songs": 1}
DEVICES = {"one": 1, "two": 2}


def changes(folder: Path, sizes: Sizes, devices: int, epochs: int) -> dict[str, Any]:
    """Parameters of a training in so many processes, which share two threads."""
    return {
        "data": {"root": str(folder / "songs")},
        "demo": sizes.of(SONGS, {}),
        "rsvm": {"training": {"epochs": epochs}},
        "runtime": {"accelerator": "cpu", "threads": 2 // devices},
        "processes": {"devices": devices},
    }


def rows(sizes: Sizes) -> list[Row]:
    """The same training, start not counted."""
    short, long = 1, sizes.of(5, 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def seconds(devices: int, epochs: int) -> float:
            new_project(folder, sizes, changes(folder, sizes, devices, epochs))
            return run_stage(folder, "train", "baseline")[0]

        params = new_project(folder, sizes, changes(folder, sizes, 1, short))
        prepared_demo(params, folder / PREPARED)
        # Starting is the same for a long training and a short one.
        times: dict[str, list[float]] = {side: [] for side in DEVICES}
        for number in range(sizes.of(4, 1)):
            for side in list(times)[:: -1 if number % 2 else 1]:
                took = seconds(DEVICES[side], long) - seconds(DEVICES[side], short)
                times[side].append(took)
    both = Times(times)
    weights = sum(weight.numel() for weight in baseline(params).parameters())
    detail = (
        f"four epochs of 12 steps: {both.median('one'):.1f} s in one process with two threads, "
        f"{both.median('two'):.1f} s in two with one; {weights / 1e6:.1f} million gradients are "
        "added up each step"
    )
    return [both.row("training in two processes: times one", "one", "two", 0.8, detail)]
