"""What there is to hear of an attack: three segments, chosen by a rule, as every system heard them.

The rule looks at the paired drop, first of the tracks, then of the segments of one track: the
segment that loses most in the track that loses most (``worst``), the segment that loses least in
the track that loses least (``best``), and the one in the middle of the track in the middle
(``median``). It looks at one system of each threat model; the others are heard on the same
segments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stemproof.attacks.stored import Adversarials, parts_of
from stemproof.attacks.threat import excerpts_for, played_to, threat_of
from stemproof.core.files import FloatArray, read_array
from stemproof.core.progress import Progress
from stemproof.core.room import announce_held
from stemproof.data.store import MIXTURE, PreparedData, PreparedTrack
from stemproof.evaluation.clips import INDEX, amplification, level, write_clip
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.views import view_names, write_views
from stemproof.figures.table import measured

RULES = ("median", "worst", "best")
SHARED, OWN = ("mixture", "vocals"), ("attacked", "perturbation", "clean", "separated")
FIGURES = ("bs", "at_bs", "drop", "perturbation_snr")


@dataclass(frozen=True)
class Segments:
    """The whole segments of a track as one system heard them.

    Attributes:
        starts: first samples.
        loud: which of them count.
        signals: by name (:data:`SHARED` and :data:`OWN`), segments x channels x samples; ``clean``
            are the vocals separated from the clean mixture, ``separated`` from the attacked one.
        figures: by key, one value a segment.
    """

    starts: list[int]
    loud: list[bool]
    signals: Mapping[str, FloatArray]
    figures: Mapping[str, FloatArray]

    def by_drop(self) -> list[int]:
        """Numbers of the segments that count and have a paired drop, the smallest first."""
        drops = self.figures["drop"]
        known = [n for n, loud in enumerate(self.loud) if loud and not np.isnan(drops[n])]
        return sorted(known, key=lambda n: (float(drops[n]), n))


@dataclass(frozen=True)
class Listener:
    """A system, and what it can be heard on.

    Attributes:
        system: its name.
        evaluator: what plays to it.
        data: the recordings.
        stored: the attacked mixtures.
        drops: its paired drop by track, of those that have one.
    """

    system: str
    evaluator: Evaluator
    data: PreparedData
    stored: Adversarials
    drops: Mapping[str, float]

    @cached_property
    def tracks(self) -> dict[str, PreparedTrack]:
        """What it was attacked on, by name."""
        tracks = self.data.tracks("test")
        own = played_to(self.evaluator.separator, tracks, self.evaluator.attack)
        return {track.name: track for track in own}

    def held(self) -> int:
        """Bytes of all signals of the longest track that may be heard."""
        segment = self.evaluator.cut.samples(self.data.sample_rate)
        counts = [self.tracks[name].count(segment) for name in self.drops]
        samples = self.evaluator.separator.channels * segment * max(counts, default=0)
        return 4 * len((*SHARED, *OWN)) * samples

    def heard(self, name: str) -> Segments:
        """Play a track to it, clean and attacked."""
        track, rate = self.tracks[name], self.data.sample_rate
        player = self.evaluator
        excerpts = excerpts_for(player.separator, [track], player.cut, player.attack, rate)
        stored = read_array(self.stored.files[track.file])
        starts: list[int] = []
        loud: list[bool] = []
        signals: dict[str, list[FloatArray]] = {key: [] for key in (*SHARED, *OWN)}
        figures: dict[str, list[FloatArray]] = {key: [] for key in FIGURES}
        for chosen in excerpts.batches(range(len(excerpts)), player.params.batch):
            mixture, vocals = excerpts.read(chosen)
            # The seeds of the evaluation: a system that is random draws what it was scored with.
            seeds = [excerpts.seed(part, "evaluate", player.params.seed) for part in chosen]
            adversarial = parts_of(excerpts, chosen, stored)
            played = player.play(mixture, vocals, adversarial, seeds)
            cut = played.cut(excerpts.channels, excerpts.segment)
            found = {
                "mixture": cut.mixture,
                "vocals": cut.vocals,
                "attacked": cut.adversarial,
                "perturbation": cut.perturbation,
                "clean": cut.clean,
                "separated": cut.attacked,
            }
            for key, signal in found.items():
                signals[key].append(
                    signal.cpu().numpy().reshape(len(signal), excerpts.channels, -1)
                )
            values = measured(cut)
            for key in FIGURES:
                figures[key].append(values[key].cpu().numpy())
            for part in chosen:
                first, count = excerpts.places[part].start, excerpts.counted(part)
                starts += [first + n * excerpts.segment for n in range(count)]
                loud += excerpts.loud_segments(part, player.cut.loud_db).tolist()[:count]
        return Segments(starts, loud, _joined(signals), _joined(figures))


def _joined(parts: Mapping[str, list[FloatArray]]) -> dict[str, FloatArray]:
    return {key: np.concatenate(of) for key, of in parts.items()}


@dataclass(frozen=True)
class Choice:
    """A segment that is heard, and why.

    Attributes:
        rules: which of :data:`RULES` chose it.
        track: name of its track.
        number: of the segment in the track.
    """

    rules: tuple[str, ...]
    track: str
    number: int


def choose(listener: Listener) -> list[Choice]:
    """The segments to hear, by the paired drops of one system; none where it has none."""
    tracks = sorted(listener.drops, key=lambda name: (listener.drops[name], name))
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for rule in RULES if tracks else ():
        track = _at(tracks, rule)
        segments = listener.heard(track).by_drop()
        if segments:
            place = track, _at(segments, rule)
            found[place] = (*found.get(place, ()), rule)
    return [Choice(rules, track, number) for (track, number), rules in found.items()]


def _at(rising: Sequence[Any], rule: str) -> Any:
    """The smallest, the middle (of two the smaller) or the largest of what is sorted."""
    return rising[{"best": 0, "median": (len(rising) - 1) // 2, "worst": -1}[rule]]


def file_names(systems: Sequence[str]) -> list[str]:
    """Every file that :func:`listen` may write."""
    parts = range(2 * len(RULES))  # of both threat models
    shared = [f"{part}-{key}.wav" for part in parts for key in SHARED]
    own = [f"{part}-{name}-{key}.wav" for part in parts for name in systems for key in OWN]
    views = [name for system in systems for name in view_names(system)]
    return [INDEX, *shared, *own, *views]


def listen(listeners: Sequence[Listener], folder: Path) -> list[dict[str, Any]]:
    """Write the clips of all systems.

    Args:
        listeners: the systems, in the order of tables; of each threat model the first one that
            has a paired drop chooses.
        folder: ready for :func:`file_names`.

    Returns:
        What the index says of each segment.
    """
    groups = [
        (threat, [one for one in listeners if threat_of(one.evaluator.separator) == threat])
        for threat in ("informed", "blind")
    ]
    held = max(sum(one.held() for one in group) for _, group in groups)
    announce_held("listen", held, "name fewer `systems`")
    parts: list[dict[str, Any]] = []
    total = len(RULES) * sum(len(group) for _, group in groups)
    bar = Progress(total=total, desc="listen", unit="recording")
    for threat, group in groups:
        chooser = next((one for one in group if one.drops), None)
        for choice in choose(chooser) if chooser else ():
            assert chooser is not None
            about = {"threat": threat, "rules": choice.rules, "chosen_by": chooser.system}
            parts.append(about | _write(group, choice, folder, len(parts)))
            bar.update(len(choice.rules) * len(group))
    bar.close()
    return parts


def look(
    listeners: Sequence[Listener], parts: Sequence[Mapping[str, Any]], folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """Write what systems show of what they have learned, on the first segment that is heard.

    Args:
        listeners: the systems.
        parts: what :func:`listen` gave.
        folder: ready for :func:`file_names`.

    Returns:
        What the index says of each system's.
    """
    found = {}
    for one in listeners:
        player = one.evaluator
        heard = [part for part in parts if part["threat"] == threat_of(player.separator)]
        if not heard:
            continue
        rate, track = one.data.sample_rate, one.tracks[heard[0]["track"]]
        start, length = round(heard[0]["start"] * rate), round(heard[0]["seconds"] * rate)
        mixture = track.read(MIXTURE, start, length)
        if player.separator.channels == 1:
            mixture = mixture.mean(axis=0, keepdims=True)
        recording = torch.from_numpy(mixture)[None].to(player.device)
        views = write_views(player.separator, recording, folder, one.system)
        if views:
            found[one.system] = views
    return found


def _write(group: Sequence[Listener], choice: Choice, folder: Path, part: int) -> dict[str, Any]:
    first, rate, number = group[0], group[0].data.sample_rate, choice.number
    heard = {one.system: one.heard(choice.track) for one in group}
    clips = {
        name: {key: signal[number] for key, signal in segments.signals.items()}
        for name, segments in heard.items()
    }
    shared = clips[first.system]
    # The same for all: their loudness is part of what is compared.
    turned = level([clip for own in clips.values() for clip in own.values()])
    for key in SHARED:
        write_clip(folder / f"{part}-{key}.wav", shared[key], rate, turned)
    systems = []
    for name, own in clips.items():
        more = amplification(own["perturbation"], own["mixture"], turned)
        for key in OWN:
            gain = turned + (more if key == "perturbation" else 0)
            write_clip(folder / f"{part}-{name}-{key}.wav", own[key], rate, gain)
        values = {key: float(heard[name].figures[key][number]) for key in FIGURES}
        figures = {key: value for key, value in values.items() if np.isfinite(value)}
        systems.append({"system": name, "amplified_db": more, "figures": figures})
    length = shared["mixture"].shape[-1]
    return {
        "track": choice.track,
        "rendered": first.tracks[choice.track].rendered,
        "start": heard[first.system].starts[number] / rate,
        "seconds": length / rate,
        "turned_down_db": -turned,
        "shared": {key: f"{part}-{key}.wav" for key in SHARED},
        "systems": [
            {**about, "files": {key: f"{part}-{about['system']}-{key}.wav" for key in OWN}}
            for about in systems
        ],
    }
