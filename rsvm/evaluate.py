"""The figures of one system: clean, attacked, under random noise, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from rsvm.attacks.generate import budget_used
from rsvm.attacks.noise import signs
from rsvm.attacks.norms import make_budget
from rsvm.bsseval import FIGURES, Estimate, Score, score_all
from rsvm.data.store import PreparedData, PreparedTrack, loud_mask
from rsvm.errors import InputError
from rsvm.files import FloatArray
from rsvm.metrics import output_gain, si_sdr, snr
from rsvm.params import EvaluateParams, Params
from rsvm.separator import InformedRSVM, batches
from rsvm.stats import Values, bootstrap, median, median_difference, median_rise, track_medians

PER_SEGMENT = (
    "si_sdr",
    "bs",
    "at_bs",
    "drop",
    "noise_drop",
    "noise_worst_drop",
    "mixture_si_sdr",
    "perturbation_snr",
    "output_gain",
)


@dataclass(frozen=True)
class Evaluation:
    """One system's figures.

    Attributes:
        summary: the content of ``metrics/<variant>.json``.
        tracks: one row a track, medians over its loud segments.
    """

    summary: dict[str, Any]
    tracks: pd.DataFrame


def evaluate(
    params: Params,
    name: str,
    separator: InformedRSVM,
    data: PreparedData,
    adversarials: Mapping[str, FloatArray],
    device: torch.device,
) -> Evaluation:
    """Play clean, attacked and noisy mixtures of the test split to one system.

    Every figure is computed per segment; the median over a track's loud segments and then the
    median over tracks is taken (Li, 2022). Intervals resample tracks.

    Args:
        params: the whole tree.
        name: the variant.
        separator: the system.
        data: prepared data.
        adversarials: adversarial mixtures by the track's file name, segments x samples.
        device: where to compute.
    """
    rows: list[dict[str, Any]] = []
    waiting: list[Estimate] = []
    scores: list[Score] = []
    skipped = 0
    used = 0.0
    tracks = data.tracks("test")
    for number, track in enumerate(tqdm(tracks, desc=f"evaluate {name}", unit="track")):
        adversarial = adversarials.get(track.file)
        mixture, vocals = track.segments(params.segment_samples)
        if adversarial is None or adversarial.shape != tuple(mixture.shape):
            raise InputError(
                f"no adversarials for {track.name}; run generate-pgd-adversarials again"
            )
        used = max(used, budget_used(track, adversarial, params))
        attacked = torch.from_numpy(np.array(adversarial))
        # One seed a track: the noise does not depend on the tracks before it.
        generator = torch.Generator().manual_seed(params.evaluate.seed * 1_000_003 + number)
        torch.manual_seed(generator.initial_seed())  # for a system that is random at test time
        played = list(_play(params, separator, mixture, vocals, attacked, device, generator))
        figures = {key: torch.cat([part.figures[key] for part in played]) for key in PER_SEGMENT}
        loud = loud_mask(vocals.numpy(), params.segments.loud_db)
        skipped += int((~loud).sum())
        for segment in np.flatnonzero(loud):
            rows.append(
                {"track": track.name}
                | {key: float(values[segment]) for key, values in figures.items()}
            )
        clean = torch.cat([part.clean for part in played])
        under_attack = torch.cat([part.attacked for part in played])
        if params.evaluate.bsseval:
            waiting.append(_reassembled(track, mixture, mixture, vocals, clean))
            waiting.append(_reassembled(track, mixture, attacked, vocals, under_attack))
        # Scored a few tracks at a time: all of a large test split do not fit into memory.
        if len(waiting) >= 2 * params.runtime.workers or number == len(tracks) - 1:
            scores += score_all(waiting, params.data.sample_rate, params.runtime.workers)
            waiting = []
    if not rows:
        raise InputError("no test segment has audible vocals; see segments.loud_db")
    segments = pd.DataFrame(rows)
    per_track = _per_track(segments)
    summary = _summary(per_track, params.evaluate)
    summary |= {
        "n_tracks": len(per_track),
        "n_segments": len(segments),
        "n_skipped": skipped,
        "budget_used": used,
    }
    if params.evaluate.bsseval:
        names = [track.name for track in tracks]
        summary["bsseval"] = _bsseval(names, scores)
    return Evaluation(summary, per_track)


@dataclass(frozen=True)
class _Played:
    figures: dict[str, Tensor]
    clean: Tensor
    attacked: Tensor


def _play(
    params: Params,
    separator: InformedRSVM,
    mixture: Tensor,
    vocals: Tensor,
    adversarial: Tensor,
    device: torch.device,
    generator: torch.Generator,
) -> Iterator[_Played]:
    """Run one track's segments through the system, batch by batch; results on the CPU."""
    attack = params.attack
    for part in batches(len(mixture), attack.batch):
        x, s, x_adv = (t[part].to(device) for t in (mixture, vocals, adversarial))
        context = separator.context(x, s)
        with torch.no_grad():
            clean = separator.separate(x, context)
            attacked = separator.separate(x_adv, context)
            bs, at_bs = si_sdr(s, clean), si_sdr(s, attacked)
            budget = make_budget(attack.norm, x, attack.eps, attack.snr)
            noisy_drops = []
            for _ in range(params.evaluate.noise_draws):
                noisy = x + signs(x, budget, generator)
                noisy_drops.append(bs - si_sdr(s, separator.separate(noisy, context)))
            noise_drop = torch.stack(noisy_drops)
            figures = {
                "si_sdr": si_sdr(s, separator.reconstruct(s)),
                "bs": bs,
                "at_bs": at_bs,
                "drop": bs - at_bs,
                "noise_drop": noise_drop.mean(0),
                "noise_worst_drop": noise_drop.amax(0),
                "mixture_si_sdr": si_sdr(s, x),
                "perturbation_snr": snr(x, x_adv - x),
                "output_gain": output_gain(clean, attacked, x_adv - x),
            }
        yield _Played({k: v.cpu() for k, v in figures.items()}, clean.cpu(), attacked.cpu())


def _reassembled(
    track: PreparedTrack, mixture: Tensor, heard: Tensor, vocals: Tensor, estimate: Tensor
) -> Estimate:
    """Join segments; the accompaniment is what remains of the clean, or the heard, mixture."""
    references = torch.stack([vocals.flatten(), (mixture - vocals).flatten()])
    estimates = torch.stack([estimate.flatten(), (heard - estimate).flatten()])
    return Estimate(track.name, references.double().numpy(), estimates.double().numpy())


def _per_track(segments: pd.DataFrame) -> pd.DataFrame:
    names = segments["track"].tolist()
    medians = {key: track_medians(names, segments[key].to_numpy()) for key in PER_SEGMENT}
    table = pd.DataFrame({key: pd.Series(values) for key, values in medians.items()})
    table.insert(0, "segments", segments["track"].value_counts())
    table.index.name = "track"
    return table.loc[list(dict.fromkeys(names))]


def _summary(tracks: pd.DataFrame, settings: EvaluateParams) -> dict[str, Any]:
    column = {key: tracks[key].to_numpy(dtype=np.float64) for key in PER_SEGMENT}
    options: dict[str, Any] = {
        "resamples": settings.bootstrap,
        "confidence": settings.confidence,
        "seed": settings.seed,
    }
    rb = bootstrap(median_difference, column["bs"], column["at_bs"], **options)
    summary: dict[str, Any] = {}
    for key in ("si_sdr", "bs", "at_bs"):
        interval = bootstrap(median, column[key], **options)
        summary |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
    summary |= {"rb": rb.value, "rb_low": rb.low, "rb_high": rb.high}
    # The ratio means nothing for a system that separates nothing.
    if summary["bs"] > 0:
        summary["rb_relative"] = rb.value / summary["bs"]
    for key in ("drop", "noise_drop"):
        interval = bootstrap(median, column[key], **options)
        summary |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
    for key in ("noise_worst_drop", "mixture_si_sdr", "perturbation_snr", "output_gain"):
        summary[key] = float(median(column[key]))
    return summary


def _bsseval(names: list[str], scores: list[Score]) -> dict[str, Any]:
    """Medians over tracks of museval's figures, clean and attacked; failures are counted.

    ``scores`` holds, track by track, the clean one and then the attacked one.
    """
    result: dict[str, Any] = {}
    for condition, chosen in (("clean", scores[::2]), ("attacked", scores[1::2])):
        good = [score for score in chosen if not isinstance(score, str)]
        if good:
            result[condition] = {
                figure: float(np.median([score[figure] for score in good])) for figure in FIGURES
            }
        result[f"{condition}_failures"] = len(chosen) - len(good)
        for name, failure in zip(names, chosen, strict=True):
            if isinstance(failure, str):
                print(f"BSSEval of {name} ({condition}) left out: {failure}")
    return result


def compare(
    improved: pd.DataFrame, baseline: pd.DataFrame, settings: EvaluateParams
) -> dict[str, Any]:
    """Improved minus baseline with intervals, paired by track.

    Args:
        improved: per-track figures.
        baseline: the same of the system it is compared with.
        settings: bootstrap.
    """
    options: dict[str, Any] = {
        "resamples": settings.bootstrap,
        "confidence": settings.confidence,
        "seed": settings.seed,
    }
    shared = [track for track in improved.index if track in baseline.index]

    def column(table: pd.DataFrame, key: str) -> Values:
        return table.loc[shared, key].to_numpy(dtype=np.float64)

    result: dict[str, Any] = {"n_tracks": len(shared)}
    intervals = {
        key: bootstrap(median_difference, column(improved, key), column(baseline, key), **options)
        for key in ("si_sdr", "bs", "at_bs", "drop")
    }
    intervals["rb"] = bootstrap(
        median_rise,
        *(column(table, key) for table in (improved, baseline) for key in ("bs", "at_bs")),
        **options,
    )
    # The same attack on the same track: the median of the differences is the sharper figure.
    intervals["paired_drop"] = bootstrap(
        median, column(improved, "drop") - column(baseline, "drop"), **options
    )
    for key, interval in intervals.items():
        result[key] = {
            "difference": interval.value,
            "low": interval.low,
            "high": interval.high,
        }
    return result
