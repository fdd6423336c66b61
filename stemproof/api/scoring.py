"""The third call: figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stemproof.api.attacking import Attacked
from stemproof.api.document import LocalData
from stemproof.api.fitting import attack_params, fitting, seeds_of
from stemproof.api.recordings import Signal, as_batch, hash_of, shown
from stemproof.attacks.budgets import used
from stemproof.attacks.params import AttackParams
from stemproof.core.batches import batches
from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams, WorkerParams
from stemproof.data.params import SegmentParams
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.collapse import COUNTS, collapses, not_numbers
from stemproof.figures.medians import track_medians
from stemproof.figures.params import StatisticsParams
from stemproof.figures.summary import Scored, summarize
from stemproof.figures.table import measured
from stemproof.separators.own import tried
from stemproof.separators.protocol import Separator


@dataclass(frozen=True)
class Scores:
    """The figures of :func:`score`.

    Attributes:
        table: one row a recording; a figure that does not apply to the system is no column, and
            one of silence is NaN. In dB, but for ``output_gain``, which is a ratio.
        summary: medians over tracks with bootstrap intervals (``at_bs``, ``at_bs_low``,
            ``at_bs_high``), and counts. Of a single track the intervals mean nothing. A figure
            that nothing is left of, because all that was put out is silence, is no key.
        params: every parameter of the attack; None when nothing was said of it.
        evaluate: parameters of the controls.
        statistics: parameters of the intervals.
        data: what was played.
    """

    table: pd.DataFrame
    summary: Mapping[str, Any]
    params: AttackParams | None
    evaluate: EvaluateParams
    statistics: StatisticsParams
    data: LocalData
    _system: Separator = field(repr=False)
    _device: str = field(repr=False)


def score(
    separator: Separator,
    mixture: Signal,
    vocals: Signal,
    adversarial: Attacked | Signal,
    params: AttackParams | None = None,
    *,
    names: Sequence[str] | None = None,
    evaluate: EvaluateParams | None = None,
    statistics: StatisticsParams | None = None,
    sample_rate: int | None = None,
) -> Scores:
    """The figures of a system on clean and attacked recordings, with random noise as a control.

    What a figure means is said in :mod:`stemproof.figures.table`. There is no oracle beside the
    system, and no BSSEval.

    Args:
        separator: the system that was attacked.
        mixture: clean mixtures, batch x channels x samples.
        vocals: true vocals, same shape.
        adversarial: what :func:`attack` gave; or attacked mixtures of any origin, same shape.
        params: the attack behind mixtures of another origin; by default its budget is L-inf, and a
            claim cannot be made.
        names: of the track that each recording is of. Medians are taken over a track's recordings,
            then over tracks; by default every recording is a track of its own.
        evaluate: noise draws and seed; ``batch`` recordings are played at once.
        statistics: how the intervals are made.
        sample_rate: of the recordings in Hz, if it shall be checked.

    Raises:
        InputError: the recordings do not fit together or the system, or an output is not a number.

    >>> import torch, stemproof
    >>> system = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=8000, channels=1)
    >>> vocals = 0.1 * torch.sin(torch.arange(800) / 9)[None, None]
    >>> mixture = vocals + 0.05 * torch.cos(torch.arange(800) / 4)
    >>> found = stemproof.attack(system, mixture, vocals, eps=0.01, pgd={"steps": 4})
    >>> scores = stemproof.score(system, mixture, vocals, found)
    >>> {key: round(float(scores.table[key].iloc[0]), 1) for key in ("bs", "at_bs", "drop")}
    {'bs': 6.0, 'at_bs': 4.0, 'drop': 1.9}
    >>> round(scores.summary["rb"], 1), scores.summary["n_tracks"]
    (1.9, 1)
    """
    recordings = fitting(separator, mixture, vocals, sample_rate)
    x, s = recordings.mixture, recordings.vocals
    if isinstance(adversarial, Attacked):
        if params is not None and params != adversarial.params:
            raise InputError("what `attack` gave has its own parameters; leave params out")
        attacked, known = adversarial.adversarial, adversarial.params
    else:
        attacked, known = as_batch(adversarial, "adversarial"), attack_params(separator, params)
    if attacked.shape != x.shape:
        raise InputError(
            f"adversarial is {shown(attacked)}, but the mixture is {shown(x)}; they must be of "
            "one shape"
        )
    tried(separator, x[:1], s[:1])
    controls, intervals = evaluate or EvaluateParams(), statistics or StatisticsParams()
    player = Evaluator(
        "the system",
        separator,
        None,
        controls,
        known,
        SegmentParams(),
        WorkerParams(),
        ProcessParams(),
        x.device,
    )
    parts = []
    for part in batches(len(x), controls.batch):
        seeds = seeds_of(part, "evaluate", controls.seed)
        played = player.play(x[part], s[part], attacked[part].to(x), seeds)
        figures = measured(played)
        broken = not_numbers(played, figures).nonzero().flatten().tolist()
        if broken:
            place = part.start + broken[0]
            raise InputError(f"recording {place}: an output is not a number; leave it out")
        figures |= collapses(played)
        parts.append(pd.DataFrame({key: value.cpu().numpy() for key, value in figures.items()}))
    rows = pd.concat(parts, ignore_index=True).astype(np.float64)
    collapsed = {key: int(rows.pop(key).sum()) for key in COUNTS}
    tracks = recordings.names(names)
    rows.index = pd.Index(tracks, name="track")
    medians = {
        key: pd.Series(track_medians(tracks, rows[key].to_numpy()), dtype=float) for key in rows
    }
    per_track = pd.DataFrame(medians).loc[list(dict.fromkeys(tracks))]
    budget = known.bound.budget(x.flatten(1))
    counts = {
        "n_segments": len(rows),
        "n_skipped": 0,
        **collapsed,
        "budget_used": used(budget, x.flatten(1), attacked.to(x).flatten(1)),
    }
    summary = summarize({0: Scored(per_track, counts)}, intervals)
    data = LocalData(
        sha256=recordings.sha256,
        adversarial_sha256=hash_of(attacked, sample_rate=recordings.sample_rate),
        recordings=len(rows),
        tracks=len(per_track),
        channels=x.shape[1],
        samples=x.shape[2],
        sample_rate=recordings.sample_rate,
    )
    said = isinstance(adversarial, Attacked) or params is not None
    if not said:
        del summary["budget_used"]
    return Scores(
        rows,
        summary,
        known if said else None,
        controls,
        intervals,
        data,
        separator,
        x.device.type,
    )
