"""Do two implementations agree on the attack on Spleeter and on its break points?

    python benchmarks/restatement.py measure --root data/musdb18-7 --out restated.jsonl
    python benchmarks/restatement.py compare restated.jsonl metrics/models/spleeter/218/tracks.csv

`measure` is the second one, in restated.py; the pipeline is the first. It attacks whole recordings:
the pipeline has to be run on the same ones, with an empty `attack.excerpt` and the same eps. With
`--same-protocol` it starts where the pipeline starts and searches as the pipeline does
(restated_protocol.py): then the figures are to agree, and not only to be of one size.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor
from typer import Argument, Option

import restated_protocol
from restated import (
    DROPS,
    TOLERANCE,
    WINDOW,
    Task,
    break_points,
    load_spleeter,
    random_start,
    worst_in_box,
)
from stemproof.core.ending import one_line
from stemproof.core.errors import InputError, explaining
from stemproof.core.files import opened
from stemproof.core.tables import read_table
from stemproof.data.recordings.musdb18 import SOURCE
from stemproof.data.recordings.protocol import MIXTURE, VOCALS, Recording

RATE = 44_100  # Hz, of Spleeter
COLLAPSED = -20.0  # dB of SI-SDR; below it two attacks need not agree
BREAKS = tuple(f"break_{drop}db" for drop in sorted(DROPS))
COLUMNS = {"clean": "excerpt_bs", "attacked": "excerpt_at_bs", **{key: key for key in BREAKS}}
Line = dict[str, Any]
app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def measure(
    root: Annotated[Path, Option(help="folder with train/ and test/ of .stem.mp4 files")],
    out: Annotated[Path, Option(help="a line of JSON a recording; those that are there stay")],
    tracks: Annotated[list[int] | None, Option(help="numbers in the test split")] = None,
    eps: Annotated[float, Option(min=0.0, help="largest change of a sample, full scale 1")] = 0.003,
    steps: Annotated[int, Option(min=1, help="gradient steps of the attack")] = 10,
    search_steps: Annotated[int, Option(min=1, help="gradient steps in every ball")] = 10,
    seed: Annotated[int, Option(help="of the attack's random starts")] = 0,
    threads: Annotated[int, Option(min=1, help="CPU threads")] = 2,
    accelerator: Annotated[str, Option(help="cpu or cuda")] = "cpu",
    same_protocol: Annotated[bool, Option(help="start and search as the pipeline does")] = False,
    double: Annotated[bool, Option(help="in double precision")] = False,
) -> None:
    """Attack test recordings (every fifth unless --tracks names others), and break them."""
    torch.set_num_threads(threads)
    settings = {"eps": eps, "steps": steps, "search_steps": search_steps, "seed": seed}
    settings |= {"same_protocol": same_protocol, "double": double}
    known = {line["track"]: line for line in read_lines(out)} if out.exists() else {}
    if any(line.get(key) != value for line in known.values() for key, value in settings.items()):
        raise InputError(f"{out}: measured with other settings; name another file in --out")
    found = SOURCE.find(root, "pyav", RATE, WINDOW)
    songs = sorted((song for song in found if song.split == "test"), key=lambda song: song.name)
    chosen = sorted(set(tracks or range(0, len(songs), 5)))
    if not all(0 <= number < len(songs) for number in chosen):
        raise InputError(f"--tracks: the test split has the numbers 0 to {len(songs) - 1}")
    device = torch.device(accelerator)
    torch.backends.cudnn.allow_tf32 = False  # it is on by default
    dtype = torch.float64 if double else torch.float32
    separate = load_spleeter(device, dtype)
    search = restated_protocol.break_points if same_protocol else break_points
    with explaining(out, "written"):  # better now than after the first recording
        out.open("a").close()
    for number in chosen:
        if songs[number].name in known:
            continue
        stems = (waveform(songs[number], stem).to(device, dtype) for stem in (MIXTURE, VOCALS))
        task = Task(separate, *stems)
        if same_protocol:
            start = restated_protocol.start(task, eps, songs[number].name, seed)
        else:  # its own draws for every recording: an interrupted run ends with the same figures
            draws = torch.Generator().manual_seed(seed * 100_003 + number)
            start = random_start(task, eps, draws)
        figures: dict[str, float | None] = {}
        if task.vocals.any():
            with torch.no_grad():
                figures["clean"] = task.figure(torch.zeros_like(task.mixture)).item()
            figures["attacked"] = worst_in_box(task, eps, steps, start)
            figures |= search(task, search_steps)
        line = {"track": songs[number].name, "number": number, **settings, **figures}
        with explaining(out, "written"), out.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def waveform(song: Recording, stem: str) -> Tensor:
    """2 x samples."""
    return torch.from_numpy(song.read(stem)).T.contiguous()


def read_lines(path: Path) -> list[Line]:
    """What was measured so far.

    Raises:
        InputError: a line is damaged, as after an interruption.
    """
    with opened(path, "no such file; `measure` writes it") as stream:
        lines = stream.read().decode().splitlines()
    found = []
    for number, text in enumerate(lines, start=1):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict) or "track" not in line:
            raise InputError(
                f"{path}: line {number} is damaged; delete that line and measure again"
            )
        found.append(line)
    return found


@app.command()
def compare(
    ours: Annotated[Path, Argument(help="what `measure` wrote")],
    theirs: Annotated[
        Path, Argument(help="the pipeline's metrics/models/spleeter/SEED/tracks.csv")
    ],
) -> None:
    """Print both sides of every recording, in dB, and how far they are apart."""
    table = read_table(theirs)
    lacking = {"track", *COLUMNS.values()} - set(table.columns)
    if lacking:
        raise InputError(f"{theirs}: it has no column {', '.join(sorted(lacking))}; run evaluate")
    rows = table.set_index("track").to_dict("index")
    pairs = [(line, rows[line["track"]]) for line in read_lines(ours) if line["track"] in rows]
    if not pairs:
        raise InputError(
            f"{ours} and {theirs} have no track in common; measure the same recordings"
        )
    print(f"| track | {' | '.join(f'{key}: here, pipeline, off' for key in COLUMNS)} |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    apart: dict[str, list[tuple[float, float]]] = {key: [] for key in COLUMNS}
    for line, row in pairs:
        cells = []
        for key, column in COLUMNS.items():
            here, there = line.get(key), row[column]
            if here is None or not math.isfinite(there):
                cells.append(f"{shown(here)}, {shown(there)}, -")
                continue
            apart[key].append((here, there))
            cells.append(f"{here:.2f}, {there:.2f}, {here - there:+.2f}")
        print(f"| {line['track']} | {' | '.join(cells)} |")
    standing = [pair for pair in apart["attacked"] if min(pair) > COLLAPSED]
    breaks = [pair for key in BREAKS for pair in apart[key]]
    print(f"\n{len(pairs)} recordings; absolute differences:")
    print(f"- clean SI-SDR: {largest(abs(a - b) for a, b in apart['clean'])}")
    print(
        f"- attacked SI-SDR, {len(standing)} where neither collapsed (> {COLLAPSED:g} dB): "
        f"{largest(abs(a - b) for a, b in standing)}; "
        f"here stronger by {largest(b - a for a, b in standing)}"
    )
    print(
        f"- break points, {len(breaks)} (bisected to {TOLERANCE:g} dB here): "
        f"{largest(abs(a - b) for a, b in breaks)}; "
        f"here stronger by {largest(a - b for a, b in breaks)}"
    )


def shown(value: float | None) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.2f}"


def largest(values: Iterable[float]) -> str:
    """The largest of some differences in words."""
    found = list(values)
    return f"at most {max(found):.2f} dB" if found else "none to compare"


if __name__ == "__main__":
    with one_line():
        app()
