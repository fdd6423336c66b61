"""What is known of a track, and of all tracks together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stemproof.figures.bsseval import Score
from stemproof.figures.collapse import COUNTS
from stemproof.figures.medians import track_medians


@dataclass(frozen=True)
class Track:
    """What is known of one track.

    Attributes:
        name: of the song.
        rows: figures of the segments that count.
        whole: figures of the excerpts that count, of a blind system.
        skipped: segments that do not count.
        budget_used: largest stored perturbation as a fraction of the budget.
    """

    name: str
    rows: list[dict[str, Any]]
    whole: list[dict[str, Any]]
    skipped: int
    budget_used: float


def per_track(segments: pd.DataFrame) -> pd.DataFrame:
    """One row a track: medians over its segments, and how many there are."""
    names = segments["track"].tolist()
    keys = [key for key in segments.columns if key not in {"track", *COUNTS}]
    medians = {key: track_medians(names, segments[key].to_numpy()) for key in keys}
    # Of a track that has collapsed there is a row, and no figure.
    table = pd.DataFrame({key: pd.Series(values, dtype=float) for key, values in medians.items()})
    table.insert(0, "segments", segments["track"].value_counts())
    table.index.name = "track"
    return table.loc[list(dict.fromkeys(names))]


def bsseval(names: list[str], scores: list[list[Score]]) -> dict[str, Any]:
    """Medians over tracks of BSSEval's figures, clean and attacked; failures are counted."""
    result: dict[str, Any] = {}
    for place, condition in enumerate(("clean", "attacked")):
        chosen = [score[place] for score in scores]
        good = [score for score in chosen if not isinstance(score, str)]
        if good:
            result[condition] = {
                figure: float(np.median([score[figure] for score in good])) for figure in good[0]
            }
        result[f"{condition}_failures"] = len(chosen) - len(good)
        for name, failure in zip(names, chosen, strict=True):
            if isinstance(failure, str):
                print(f"BSSEval of {name} ({condition}) left out: {failure}")
    return result
