"""How far are the recordings of a data set from the limits at which one is refused?

    python benchmarks/recording_limits.py --root data/musdb18-7

The limits are those of stemproof/data/checks.py, and this is what they were chosen by.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from tqdm import tqdm
from typer import Option

from stemproof.core.ending import one_line
from stemproof.core.files import FloatArray
from stemproof.data.checks import CANCELLED_DB, ERRATA, LOUDEST, STEMS_SUM_DB, power, sum_db
from stemproof.data.recordings.protocol import MIXTURE, VOCALS
from stemproof.data.recordings.registry import find_source


def cancelled(audio: FloatArray) -> float | None:
    """How far the mean of the channels lies below them, in dB; frames x channels."""
    each, mean = power(audio) / audio.shape[1], power(audio.mean(axis=1))
    return sum_db(each, mean) if each else None


def main(
    root: Annotated[Path, Option(help="folder with train/ and test/")],
    source: Annotated[str, Option(help="as in data.source")] = "musdb18",
    rate: Annotated[int, Option(help="Hz")] = 44_100,
) -> None:
    """Print the extremes over all recordings, beside the limits."""
    sums: dict[str, float] = {}
    peaks: list[float] = []
    below: dict[str, list[float]] = {MIXTURE: [], VOCALS: []}
    songs = find_source(source).find(root, "pyav", rate, 1)
    for song in tqdm(songs, unit="recording"):
        audio = {stem: song.read(stem) for stem in (MIXTURE, *song.stems)}
        peaks.append(max(float(np.abs(one).max()) for one in audio.values()))
        mixture = audio[MIXTURE].astype(np.float64)
        rest = mixture - sum(audio[stem].astype(np.float64) for stem in song.stems)
        found = sum_db(power(mixture), power(rest))
        if found is not None:
            sums[song.name] = found
        for stem, values in below.items():
            level = cancelled(audio[stem])
            if level is not None:
                values.append(level)
    print(f"{len(songs)} recordings")
    print(f"largest sample {max(peaks):.3f}; at most {LOUDEST:g}")
    known = [value for name, value in sums.items() if name not in ERRATA]
    print(
        f"mixture over what its stems miss: median {statistics.median(known):.1f} dB, lowest "
        f"{min(known):.1f} dB; at least {STEMS_SUM_DB:g} dB"
    )
    for name in ERRATA:
        if name in sums:
            print(f"{name}, of the errata: {sums[name]:.1f} dB")
    for stem, values in below.items():
        print(
            f"{stem}: mean of the channels at most {max(values):.1f} dB below them; "
            f"at most {CANCELLED_DB:g} dB"
        )


if __name__ == "__main__":
    with one_line():
        typer.run(main)
