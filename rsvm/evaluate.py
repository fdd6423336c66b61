"""The figures of the systems: clean, attacked, under random noise, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from rsvm.attacks.generate import budget_used
from rsvm.attacks.minimal import REACHED
from rsvm.attacks.noise import signs
from rsvm.attacks.norms import budget_of, matched
from rsvm.bsseval import Estimate, Score, TrackEstimates, score_all
from rsvm.data.store import PreparedData, loud_mask
from rsvm.errors import InputError, RefusedError
from rsvm.files import fingerprint, read_array, read_json, write_json
from rsvm.medians import track_medians
from rsvm.metrics import output_gain, si_sdr, snr
from rsvm.model.stft import STFT
from rsvm.params import AttackParams, EvaluateParams, Params
from rsvm.separator import InformedSTFT, ReconstructingSeparator, batches, too_loud
from rsvm.sharding import WHOLE, Shard
from rsvm.stats import (
    Values,
    bootstrap,
    holm,
    median,
    median_difference,
    median_rise,
    paired_median,
)
from rsvm.workplace import capacity

PER_SEGMENT = (
    "si_sdr",
    "bs",
    "at_bs",
    "drop",
    "noise_bs",
    "noise_drop",
    "noise_worst_drop",
    "mixture_si_sdr",
    "stft_bs",
    "perturbation_snr",
    "output_gain",
)
SCORED_AT_ONCE = 1_500_000  # samples of music that wait for BSSEval; half a minute
# Compared between systems; Holm's correction counts all of them.
COMPARED = ("si_sdr", "bs", "at_bs", "rb", "rb_net", "paired_drop")


@dataclass(frozen=True)
class Evaluation:
    """The figures of one model.

    Attributes:
        tracks: one row a track, medians over its loud segments.
        segments: how many count.
        skipped: how many are too quiet.
        budget_used: largest stored perturbation as a fraction of the budget.
        bsseval: medians over tracks, or None when it was not asked for.
        not_reached: segments on which method minimal found nothing that costs enough, or None for
            another method.
    """

    tracks: pd.DataFrame
    segments: int
    skipped: int
    budget_used: float
    bsseval: dict[str, Any] | None
    not_reached: int | None = None


def evaluate(
    params: Params,
    name: str,
    separator: ReconstructingSeparator,
    data: PreparedData,
    adversarials: Mapping[str, Path],
    device: torch.device,
    shard: Shard = WHOLE,
) -> Evaluation:
    """Play clean, attacked and noisy mixtures of the test split to one model.

    Every figure is computed per segment, and the median over a track's loud segments is taken.
    Several processes share the tracks; all of them get the whole result.

    Args:
        params: the whole tree.
        name: variant and training seed, for messages.
        separator: the model.
        data: prepared data.
        adversarials: files of the adversarial mixtures (segments x samples) by the track's file
            name. Each is opened at its turn and not kept.
        device: where to compute.
        shard: which of the processes this is.
    """
    done: list[_Track] = []
    waiting: list[TrackEstimates] = []
    scores: list[list[Score]] = []
    own = shard.items(list(enumerate(data.tracks("test"))))
    at_once = 1 if params.evaluate.bsseval == "none" else capacity(params.runtime)
    progress = tqdm(own, desc=f"evaluate {name}", unit="track", disable=not shard.is_first)
    for number, track in progress:
        file = adversarials.get(track.file)
        stored = None if file is None else read_array(file)
        shape = track.count(params.segment_samples), params.segment_samples
        if stored is None or stored.shape != shape:
            raise InputError(
                f"no adversarials for {track.name}; run generate-pgd-adversarials again"
            )
        # One seed a track: the noise does not depend on the tracks before it. Not the numbers of
        # the attack's seeds: an attacker does not know the draws that it is tested with.
        seed = int(fingerprint("evaluate", params.evaluate.seed, number)[:15], 16)
        generator = torch.Generator().manual_seed(seed)
        clean, attacked = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
        rows: list[dict[str, Any]] = []
        for part in batches(len(stored), params.attack.batch):
            mixture, vocals = track.segments(params.segment_samples, part)
            adversarial = torch.from_numpy(np.array(stored[part]))
            played = _play(params, separator, mixture, vocals, adversarial, device, generator)
            clean[part], attacked[part] = played.clean.numpy(), played.attacked.numpy()
            if not all(bool(torch.isfinite(values).all()) for values in played.figures.values()):
                advice = too_loud([track]) or "its samples are in order: train the system again"
                raise InputError(f"{name}: an output for {track.name} is not a number; {advice}")
            rows += [
                {"track": track.name}
                | {key: float(values[segment]) for key, values in played.figures.items()}
                for segment in np.flatnonzero(loud_mask(vocals.numpy(), params.segments.loud_db))
            ]
        used = budget_used(track, stored, params)
        done.append(_Track(track.name, rows, len(stored) - len(rows), used))
        if params.evaluate.bsseval != "none":
            # What lies on the disk is handed to the workers as it is: mapped, not copied.
            mixture, vocals = track.audio[:, : stored.size]
            pair = [Estimate(mixture, clean.ravel()), Estimate(stored.ravel(), attacked.ravel())]
            waiting.append(TrackEstimates(track.name, mixture, vocals, pair))
        # Scored some tracks at a time: all of a large test split do not fit into memory.
        enough = (
            len(waiting) >= at_once
            and sum(len(estimates.vocals) for estimates in waiting) >= SCORED_AT_ONCE
        )
        if waiting and (enough or len(done) == len(own)):
            scores += score_all(
                waiting,
                params.data.sample_rate,
                params.evaluate.bsseval,
                params.runtime.workers_per_process,
                params.runtime.scheduler,
            )
            waiting = []
    done, scores = shard.gathered(done), shard.gathered(scores)
    segments = pd.DataFrame([row for track in done for row in track.rows])
    if segments.empty:
        raise InputError("no test segment has audible vocals; see segments.loud_db")
    return Evaluation(
        tracks=_per_track(segments),
        segments=len(segments),
        skipped=sum(track.skipped for track in done),
        budget_used=max(track.budget_used for track in done),
        bsseval=_bsseval([track.name for track in done], scores) if scores else None,
        not_reached=_not_reached(params.attack, segments["drop"]),
    )


def _not_reached(attack: AttackParams, drops: pd.Series[float]) -> int | None:
    if attack.method != "minimal":
        return None
    return int((drops < attack.drop - REACHED).sum())


def remembered(note: Path, run: str) -> Evaluation | None:
    """What :func:`remember` wrote for the same run, or None.

    Raises:
        InputError: there is a note, but the system refuses to read it.
    """
    try:
        told = read_json(note)
        if told.pop("run") != run:
            return None
        tracks = pd.DataFrame(**told.pop("tracks")).rename_axis("track")
        return Evaluation(tracks=tracks, **told)
    except RefusedError:
        raise
    except (InputError, KeyError, TypeError, ValueError):
        return None


def remember(note: Path, run: str, evaluation: Evaluation) -> None:
    """Keep a model's figures: when a later model fails, they need not be computed again.

    Args:
        note: file to write.
        run: fingerprint of everything that the figures depend on.
        evaluation: the figures.
    """
    told = {key: getattr(evaluation, key) for key in Evaluation.__dataclass_fields__}
    told["tracks"] = evaluation.tracks.to_dict("split")
    write_json(note, {"run": run, **told})


@dataclass(frozen=True)
class _Track:
    name: str
    rows: list[dict[str, Any]]
    skipped: int
    budget_used: float


@dataclass(frozen=True)
class _Played:
    figures: dict[str, Tensor]
    clean: Tensor
    attacked: Tensor


def _play(
    params: Params,
    separator: ReconstructingSeparator,
    mixture: Tensor,
    vocals: Tensor,
    adversarial: Tensor,
    device: torch.device,
    generator: torch.Generator,
) -> _Played:
    """Run a batch of segments through the system; results on the CPU."""
    oracle = InformedSTFT(STFT(params.model).to(device))
    # A system that is random at test time draws the same numbers for everything that is compared:
    # else a difference of two passes would be mostly theirs.
    common = int(torch.randint(2**62, (1,), generator=generator))

    def separate(heard: Tensor) -> Tensor:
        torch.manual_seed(common)
        return separator.separate(heard, context)

    x, s, x_adv = (signal.to(device) for signal in (mixture, vocals, adversarial))
    context = separator.context(x, s)
    with torch.no_grad():
        clean, attacked = separate(x), separate(x_adv)
        bs, at_bs = si_sdr(s, clean), si_sdr(s, attacked)
        # Noise of the norm that the perturbation has, which can be below the budget.
        budget = matched(budget_of(params.attack, x), x, x_adv)
        noise_bs = torch.stack(
            [
                si_sdr(s, separate(x + signs(x, budget, generator)))
                for _ in range(params.evaluate.noise_draws)
            ]
        )
        figures = {
            "si_sdr": si_sdr(s, separator.reconstruct(s)),
            "bs": bs,
            "at_bs": at_bs,
            "drop": bs - at_bs,
            "noise_bs": noise_bs.mean(0),
            "noise_drop": bs - noise_bs.mean(0),
            "noise_worst_drop": bs - noise_bs.amin(0),
            "mixture_si_sdr": si_sdr(s, x),
            "stft_bs": si_sdr(s, oracle.separate(x, oracle.context(x, s))),
            "perturbation_snr": snr(x, x_adv - x),
            "output_gain": output_gain(clean, attacked, x_adv - x),
        }
    # One copy for all figures: each waits for the device.
    rows = torch.stack(list(figures.values())).cpu()
    return _Played(dict(zip(figures, rows, strict=True)), clean.cpu(), attacked.cpu())


def _per_track(segments: pd.DataFrame) -> pd.DataFrame:
    names = segments["track"].tolist()
    medians = {key: track_medians(names, segments[key].to_numpy()) for key in PER_SEGMENT}
    table = pd.DataFrame({key: pd.Series(values) for key, values in medians.items()})
    table.insert(0, "segments", segments["track"].value_counts())
    table.index.name = "track"
    return table.loc[list(dict.fromkeys(names))]


def summarize(models: Mapping[int, Evaluation], settings: EvaluateParams) -> dict[str, Any]:
    """The content of ``metrics/<variant>.json``: figures of one variant over its training seeds.

    Per seed the median over tracks is taken (Li, 2022), then the mean over seeds; intervals
    resample tracks and seeds.

    Args:
        models: the variant's models by training seed.
        settings: bootstrap.
    """
    column = {key: _seeds_by_tracks(models, key) for key in PER_SEGMENT}
    options = _options(settings)
    intervals = {
        **{key: bootstrap(median, column[key], **options) for key in ("si_sdr", "bs", "at_bs")},
        "rb": bootstrap(median_difference, column["bs"], column["at_bs"], **options),
        "rb_net": bootstrap(median_difference, column["noise_bs"], column["at_bs"], **options),
        **{key: bootstrap(median, column[key], **options) for key in ("drop", "noise_drop")},
        "stft_bs": bootstrap(median, column["stft_bs"], **options),
        "mixture_si_sdr": bootstrap(median, column["mixture_si_sdr"], **options),
    }
    summary: dict[str, Any] = {}
    for key, interval in intervals.items():
        summary |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
    # The ratio means nothing for a system that separates nothing.
    if summary["bs"] > 0:
        summary["rb_relative"] = summary["rb"] / summary["bs"]
    for key in ("noise_worst_drop", "perturbation_snr", "output_gain"):
        summary[key] = float(median(column[key]).mean())
    first = next(iter(models.values()))
    summary |= {
        "n_seeds": len(models),
        "n_tracks": len(first.tracks),
        "n_segments": first.segments,
        "n_skipped": first.skipped,
        "budget_used": max(model.budget_used for model in models.values()),
    }
    if first.not_reached is not None:
        summary["n_not_reached"] = sum(model.not_reached or 0 for model in models.values())
    if first.bsseval is not None:
        summary["bsseval"] = _mean_bsseval([model.bsseval or {} for model in models.values()])
    summary["seeds"] = {
        str(seed): {
            **{key: float(median(column[key][row])) for key in ("si_sdr", "bs", "at_bs", "drop")},
            "rb": float(median_difference(column["bs"][row], column["at_bs"][row])),
        }
        for row, seed in enumerate(models)
    }
    return summary


def _seeds_by_tracks(models: Mapping[int, Evaluation], key: str) -> Values:
    """One figure as seeds x tracks."""
    return np.stack([model.tracks[key].to_numpy(dtype=np.float64) for model in models.values()])


def _options(settings: EvaluateParams) -> dict[str, Any]:
    return {
        "resamples": settings.bootstrap,
        "confidence": settings.confidence,
        "seed": settings.seed,
    }


def _mean_bsseval(of_seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures: mean over the seeds that have them. Failures: their sum."""
    result: dict[str, Any] = {}
    for condition in ("clean", "attacked"):
        known = [found[condition] for found in of_seeds if condition in found]
        if known:
            result[condition] = {
                figure: float(np.mean([found[figure] for found in known])) for figure in known[0]
            }
        failures = f"{condition}_failures"
        result[failures] = sum(found[failures] for found in of_seeds)
    return result


def _bsseval(names: list[str], scores: list[list[Score]]) -> dict[str, Any]:
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


def compare(
    systems: Mapping[str, Mapping[int, Evaluation]], settings: EvaluateParams
) -> dict[str, Any]:
    """The content of ``metrics/comparison.json``: every system minus the first one.

    Differences are paired by track and by training seed; p-values are adjusted for the number of
    comparisons in the whole table (Holm, 1979).

    Args:
        systems: models by training seed, of each variant; the first is the reference.
        settings: bootstrap.
    """
    reference, *others = systems
    base = {key: _seeds_by_tracks(systems[reference], key) for key in PER_SEGMENT}
    result: dict[str, Any] = {
        "reference": reference,
        "n_tracks": base["bs"].shape[1],
        "n_seeds": max(len(models) for models in systems.values()),
    }
    for name in others:
        own = {key: _seeds_by_tracks(systems[name], key) for key in PER_SEGMENT}
        result[name] = _differences(own, base, settings)
    _adjust([result[name][key] for name in others for key in COMPARED])
    return result


def contrast(
    first: pd.DataFrame, second: pd.DataFrame, settings: EvaluateParams
) -> dict[str, dict[str, float]]:
    """One system minus any other: for a question that was asked before the figures were seen.

    P-values are adjusted for the comparisons of this contrast only.

    Args:
        first: a table of :file:`plots/tracks`: medians per seed and track.
        second: of the same tracks; and of the same seeds, or of one model.
        settings: bootstrap.

    Raises:
        InputError: the tables are of other tracks or seeds.
    """
    tables = [list(table.groupby("seed", sort=False)) for table in (first, second)]
    tracks = {tuple(of_seed["track"]) for table in tables for _, of_seed in table}
    if len(tracks) > 1:
        raise InputError("the two systems were tested on other tracks; name two of one run")
    seeds = {tuple(seed for seed, _ in table) for table in tables if len(table) > 1}
    if len(seeds) > 1:
        raise InputError("the two systems were trained with other seeds; name two of one run")
    own, base = (
        {key: np.stack([of_seed[key].to_numpy() for _, of_seed in table]) for key in PER_SEGMENT}
        for table in tables
    )
    result = _differences(own, base, settings)
    _adjust([result[key] for key in COMPARED])
    return result


def _adjust(entries: list[dict[str, float]]) -> None:
    """Add p-values that are adjusted for how many there are."""
    for entry, adjusted in zip(entries, holm([e["p"] for e in entries]), strict=True):
        entry["p_holm"] = adjusted


def _differences(
    own: Mapping[str, Values], base: Mapping[str, Values], settings: EvaluateParams
) -> dict[str, dict[str, float]]:
    options = _options(settings)

    def rise(high: str, low: str) -> Any:
        return bootstrap(median_rise, own[high], own[low], base[high], base[low], **options)

    def difference(key: str) -> Any:
        return bootstrap(median_difference, own[key], base[key], **options)

    intervals = {
        **{key: difference(key) for key in ("si_sdr", "bs", "at_bs")},
        "rb": rise("bs", "at_bs"),
        "rb_net": rise("noise_bs", "at_bs"),
        # The same segments under the same attack: the median of the differences is sharper.
        "paired_drop": bootstrap(paired_median, own["drop"], base["drop"], **options),
    }
    return {
        key: {
            "difference": interval.value,
            "low": interval.low,
            "high": interval.high,
            "p": interval.p,
        }
        for key, interval in intervals.items()
    }
