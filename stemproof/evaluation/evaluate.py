"""Play clean, attacked and noisy mixtures of the test split to one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stemproof.attacks.budgets import matched
from stemproof.attacks.noise import signs
from stemproof.attacks.params import AttackParams
from stemproof.attacks.protocol import REACHED
from stemproof.attacks.stored import Adversarials, parts_of, read_stored
from stemproof.attacks.threat import excerpts_for, played_to, threat_of
from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray
from stemproof.core.machine import ProcessParams, WorkerParams
from stemproof.core.progress import Progress
from stemproof.core.random import Draws, derive_seed
from stemproof.core.resume import Parts
from stemproof.core.room import announce_held
from stemproof.core.shards import WHOLE, Shard
from stemproof.core.workers import capacity
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import MIXTURE, VOCALS, PreparedData, PreparedTrack, too_loud
from stemproof.evaluation.params import EvaluateParams
from stemproof.evaluation.tracks import Track, bsseval, per_track
from stemproof.figures.bsseval import Estimate, Score, TrackEstimates, score_all
from stemproof.figures.collapse import CLEAN, COUNTS, collapses, not_numbers
from stemproof.figures.figure import Per
from stemproof.figures.played import Played
from stemproof.figures.summary import Scored
from stemproof.figures.table import measured
from stemproof.separators.protocol import (
    Informed,
    Reconstructing,
    Separator,
    Side,
    redrawn,
    separated,
    side_of,
)

SCORED_AT_ONCE = 1_500_000  # samples of music that wait for BSSEval; half a minute


@dataclass(frozen=True)
class Evaluator:
    """What one model is evaluated with.

    Attributes:
        name: system and training seed, for messages.
        separator: the model.
        oracle: whose estimates stand beside those of an informed system; None for none.
        params: the section ``evaluate``.
        attack: the section ``attack``, as the adversarials were made.
        cut: the section ``segments``.
        workers: processes for BSSEval.
        processes: how many share the tracks.
        device: where to compute.
    """

    name: str
    separator: Separator
    oracle: Separator | None
    params: EvaluateParams
    attack: AttackParams
    cut: SegmentParams
    workers: WorkerParams
    processes: ProcessParams
    device: torch.device

    def evaluate(
        self,
        data: PreparedData,
        adversarials: Adversarials,
        shard: Shard = WHOLE,
        parts: Parts | None = None,
    ) -> Scored:
        """The figures of the test split.

        Every figure is computed per segment, and the median over a track's loud segments is taken;
        of a blind system some are computed per excerpt as well. Several processes share the tracks;
        all of them get the whole result.

        Args:
            data: prepared data.
            adversarials: what the attack stored.
            shard: which of the processes this is.
            parts: keeps tracks that are done for a run that goes on; None for nothing to be kept.

        Raises:
            InputError: a track has no adversarials, or some that are not numbers or exceed the
                budget, or an output is not a number.
        """
        own = shard.items(played_to(self.separator, data.tracks("test"), self.attack))
        excerpts = excerpts_for(self.separator, own, self.cut, self.attack, data.sample_rate)
        # Of mono only: BSSEval of a stereo track takes minutes.
        scored = self.params.bsseval != "none" and excerpts.channels == 1
        at_once = capacity(self.workers, self.processes) if scored else 1
        if shard.is_first and excerpts.places:
            cure = "lower evaluate.batch, or attack.excerpt for blind systems"
            announce_held(f"evaluate {self.name}", self._held(excerpts), cure)
        progress = Progress(
            own, desc=f"evaluate {self.name}", unit="track", disable=not shard.is_first
        )
        ready: dict[int, tuple[Track, list[Score]]] = {}
        waiting: dict[int, tuple[Track, TrackEstimates | None]] = {}
        for number, track in enumerate(progress):
            kept = parts.find(track.file) if parts else None
            if kept is not None:
                ready[number] = Track(**kept["track"]), kept["scores"]
            else:
                # Of a system that is random and does not say so.
                torch.manual_seed(derive_seed("evaluate", self.params.seed, track.name))
                stored, used = read_stored(adversarials, excerpts, number, self.attack)
                result, clean, attacked = self._track(excerpts, number, stored, used)
                estimates = None
                if scored:
                    samples = clean.shape[-1]
                    mixture, vocals = (track.mono(stem, 0, samples) for stem in (MIXTURE, VOCALS))
                    pair = [Estimate(mixture, clean[0]), Estimate(stored[0], attacked[0])]
                    estimates = TrackEstimates(track.name, mixture, vocals, pair)
                waiting[number] = result, estimates
            # Scored some tracks at a time: all of a large test split do not fit into memory.
            music = [estimates for _, estimates in waiting.values() if estimates is not None]
            enough = (
                len(waiting) >= at_once
                and sum(len(estimates.vocals) for estimates in music) >= SCORED_AT_ONCE
            )
            if not waiting or not (enough or not scored or number + 1 == len(own)):
                continue
            new = self._bsseval(music, data.sample_rate) if scored else [[] for _ in waiting]
            for (place, (result, _)), score in zip(waiting.items(), new, strict=True):
                ready[place] = result, score
                if parts:
                    parts.keep(own[place].file, {"track": asdict(result), "scores": score})
            waiting = {}
        found = shard.gathered([ready[number] for number in range(len(own))])
        done, scores = [track for track, _ in found], [score for _, score in found]
        segments = pd.DataFrame([row for track in done for row in track.rows])
        if segments.empty:
            raise InputError("no test segment has audible vocals; see segments.loud_db")
        counts: dict[str, float] = {
            "n_segments": len(segments),
            "n_skipped": sum(track.skipped for track in done),
            "budget_used": max(track.budget_used for track in done),
        }
        counts |= {key: int((segments[key] > 0).sum()) for key in COUNTS}
        aim = self.attack.of_method.aim
        whole = pd.DataFrame([row for track in done for row in track.whole])
        if aim is not None:
            # Held against what the attack aimed at: the loss of all that is heard at once. What
            # collapses under attack costs more than any aim; what is silent without, nothing.
            heard = segments if whole.empty else whole
            drops = heard["drop" if whole.empty else "excerpt_drop"]
            missed = drops < aim(self.attack) - REACHED
            missed |= heard[CLEAN] > 0
            counts["n_not_reached"] = int(missed.sum())
        names = [track.name for track in done]
        tables = per_track(segments.drop(columns=list(COUNTS)))
        if not whole.empty:
            tables = tables.join(
                per_track(whole.drop(columns=list(COUNTS))).drop(columns="segments")
            )
        return Scored(tables, counts, bsseval(names, scores) if any(scores) else None)

    def _held(self, excerpts: Excerpts) -> int:
        """Bytes of the signals of a batch, and of what is stored and put out for a track."""
        # Mixture, vocals and what was attacked; on this device also what is put out for them.
        signals = 5 + self.params.noise_draws if self.device.type == "cpu" else 3
        tracks = map(excerpts.of_track, range(len(excerpts.tracks)))
        batch = max(excerpts.largest_batch(parts, self.params.batch) for parts in tracks)
        track = max(place.stop for place in excerpts.places)
        return 4 * excerpts.channels * (signals * batch + 3 * track)

    def _bsseval(self, heard: list[TrackEstimates], rate: int) -> list[list[Score]]:
        workers = self.workers.per_process(self.processes)
        return score_all(heard, rate, self.params.bsseval, workers, self.workers.scheduler)

    def _track(
        self, excerpts: Excerpts, number: int, stored: FloatArray, used: float
    ) -> tuple[Track, FloatArray, FloatArray]:
        """Figures of one track, and the estimates, channels x samples."""
        track, channels = excerpts.tracks[number], excerpts.channels
        clean, attacked = np.empty_like(stored), np.empty_like(stored)
        rows: list[dict[str, Any]] = []
        whole: list[dict[str, Any]] = []
        skipped = 0
        for chosen in excerpts.batches(excerpts.of_track(number), self.params.batch):
            mixture, vocals = excerpts.read(chosen)
            adversarial = parts_of(excerpts, chosen, stored)
            # Not the numbers of the attack's seeds: an attacker does not know the draws that it is
            # tested with.
            seeds = [excerpts.seed(part, "evaluate", self.params.seed) for part in chosen]
            played = self.play(mixture, vocals, adversarial, seeds)
            for estimates, found in ((clean, played.clean), (attacked, played.attacked)):
                for part, estimate in zip(chosen, found.cpu().view_as(mixture), strict=True):
                    place = excerpts.places[part]
                    estimates[:, place.start : place.stop] = estimate.numpy()
            loud = torch.cat([excerpts.loud_segments(part, self.cut.loud_db) for part in chosen])
            rows += self._rows(track, played.cut(channels, excerpts.segment), loud.tolist())
            skipped += int((~loud).sum())
            if threat_of(self.separator) == "blind":
                counts = loud.reshape(len(chosen), -1).any(-1)
                whole += self._rows(track, played, counts.tolist(), "excerpt")
        return Track(track.name, rows, whole, skipped, used), clean, attacked

    def _rows(
        self, track: PreparedTrack, played: Played, counts: list[bool], per: Per = "segment"
    ) -> list[dict[str, Any]]:
        """Figures of those segments or excerpts that count."""
        figures = measured(played, per)
        self._check(track, played, figures)
        # Counted like figures: numbers of each segment.
        figures |= {key: found.to(played.vocals) for key, found in collapses(played).items()}
        # One copy for all figures: each waits for the device.
        values = dict(zip(figures, torch.stack(list(figures.values())).cpu(), strict=True))
        return [
            {"track": track.name} | {key: float(value[n]) for key, value in values.items()}
            for n in np.flatnonzero(counts)
        ]

    def play(
        self, mixture: Tensor, vocals: Tensor, adversarial: Tensor, seeds: Sequence[int]
    ) -> Played:
        """Play a batch to the system: clean, attacked, and with noise of the attack's norm.

        Args:
            mixture: batch x channels x samples.
            vocals: same shape.
            adversarial: same shape.
            seeds: one an item, of the noise and of what the system draws.
        """
        x, s, x_adv = (signal.to(self.device) for signal in (mixture, vocals, adversarial))
        # A system that is random at test time draws the same numbers for everything that is
        # compared: else a difference of two passes would be mostly theirs.
        system = redrawn(self.separator, [derive_seed(seed, "system") for seed in seeds])
        side = side_of(self.separator, x, s)
        flat, flat_adv = x.flatten(1), x_adv.flatten(1)
        with torch.no_grad():
            # Noise of the norm that the perturbation has, which can be below the budget.
            budget = matched(self.attack.bound.budget(flat), flat, flat_adv)
            draws = Draws.of(seeds, "noise")
            noisy = [
                self._separated(system, flat + signs(flat, budget, draws), x, side)
                for _ in range(self.params.noise_draws)
            ]
            return Played(
                mixture=flat,
                vocals=s.flatten(1),
                adversarial=flat_adv,
                clean=self._separated(system, flat, x, side),
                attacked=self._separated(system, flat_adv, x, side),
                noisy=noisy,
                reconstruction=system.reconstruct(s).flatten(1)
                if isinstance(system, Reconstructing)
                else None,
                oracle=self.oracle.separate(x, side_of(self.oracle, x, s)).flatten(1)
                if self.oracle is not None and isinstance(self.separator, Informed)
                else None,
            )

    @staticmethod
    def _separated(system: Separator, heard: Tensor, like: Tensor, side: Side) -> Tensor:
        return separated(system, heard.view_as(like), side).flatten(1)

    def _check(self, track: PreparedTrack, played: Played, figures: dict[str, Tensor]) -> None:
        if not bool(not_numbers(played, figures).any()):
            return
        advice = too_loud([track]) or "its samples are in order: train the system again"
        raise InputError(f"{self.name}: an output for {track.name} is not a number; {advice}")
