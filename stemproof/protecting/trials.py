"""Protection of test songs, one after the other: a row of figures each, which outlives a kill."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from stemproof.attacks.threat import fitted, threat_of
from stemproof.core.errors import InputError
from stemproof.core.progress import Progress
from stemproof.core.random import derive_seed
from stemproof.core.resume import Parts, begun
from stemproof.core.room import announce
from stemproof.data.long import LongAudio
from stemproof.data.store import PreparedData, PreparedTrack
from stemproof.protecting import run
from stemproof.protecting.aims import Aim
from stemproof.protecting.costs import costs
from stemproof.protecting.fine_tuning import Lesson, keep_weights, tuned, with_kept_weights
from stemproof.protecting.measuring import effect
from stemproof.protecting.preparing import checked_aims
from stemproof.protecting.section import ProtectSection
from stemproof.protecting.songs import Song, chosen, laid_out
from stemproof.separators.protocol import Separator
from stemproof.separators.repeating import Repeating

BYSTANDER = "repeating"  # at hand everywhere, and no network
WEIGHTS = "fine-tuned.safetensors"
COPIES = 6  # of a song while it is worked on: it, its windows, what is stored, noise, and the file
TOLD = "it is told something of the true vocals, and whoever has those needs no separator"


@dataclass(frozen=True)
class Trial:
    """One system, songs that are protected against it, and all on whom that is tried.

    Attributes:
        params: the section ``protect``.
        data: the recordings.
        aim: the system that songs are protected against.
        allies: those that they are protected against at the same time.
        others: those that they are not made for.
        parts: rows that are done.
        device: where to compute.
    """

    params: ProtectSection
    data: PreparedData
    aim: Aim
    allies: Sequence[Aim]
    others: Sequence[Aim]
    parts: Parts
    device: torch.device

    @property
    def aims(self) -> list[Aim]:
        """All that songs are protected against."""
        return [self.aim, *self.allies]

    @property
    def work(self) -> Path:
        """Songs that are worked on."""
        return self.parts.folder / "work"

    @cached_property
    def tracks(self) -> list[PreparedTrack]:
        """Test songs that are protected."""
        return chosen(self.data, "test", self.params.tracks, self.params.rendered)

    @cached_property
    def taught(self) -> list[PreparedTrack]:
        """Training songs by which the opponent learns; none where there is no such opponent."""
        count = self.params.fine_tuning.songs
        return chosen(self.data, "train", count, self.params.rendered) if count else []

    def rows(self) -> list[dict[str, Any]]:
        """What became of each test song; those that were kept are not protected again.

        Raises:
            InputError: the system cannot be aimed at or taught, or a song not be protected.
        """
        begun(self.parts.folder)
        found = {track.name: self.parts.find(track.name) for track in self.tracks}
        left = [track for track in self.tracks if found[track.name] is None]
        if left:
            self._announce()
            self._check(left[0])
            opponent = self._opponent()
        with Progress(
            total=len(self.tracks),
            initial=len(self.tracks) - len(left),
            desc="protect",
            unit="song",
        ) as bar:
            for track in left:
                found[track.name] = self.parts.keep(track.name, self._row(track, opponent))
                shutil.rmtree(self._folder(track))
                bar.update()
        return list(found.values())

    def finished(self) -> None:
        """All rows are stored where they belong: what was worked on goes, figures stay a while."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.parts.finished()

    def _folder(self, track: PreparedTrack) -> Path:
        return self.work / Path(track.file).stem

    def _announce(self) -> None:
        sizes = [4 * track.samples * track.channels for track in self.tracks]
        lessons = [4 * track.samples * track.channels for track in self.taught]
        announce("protect", self.work, COPIES * (max(sizes) + sum(lessons)))

    def _check(self, track: PreparedTrack) -> None:
        song = laid_out(track, self.data, self._folder(track), self.params)
        _, refused = checked_aims(self.aims, song.mixture, self.device, self.params.seed)
        for name, reason in refused.items():
            raise InputError(f"protect: {name} cannot be aimed at: {reason}; name another system")

    def _protected(self, track: PreparedTrack) -> tuple[run.Job, Song, LongAudio]:
        """A song, and what is stored of it when it is protected; windows that are done stay."""
        folder = self._folder(track)
        song = laid_out(track, self.data, folder, self.params)
        own = self.params.model_copy(
            update={"seed": derive_seed(self.params.seed, "protect", track.name) % 2**31}
        )
        stem = song.vocals if self.params.stems else None
        job = run.Job(song.mixture, stem, self.aims, self.others, own, folder, self.device)
        run.perturb(job)
        return job, song, run.store(job, folder / "protected.wav")

    def _row(self, track: PreparedTrack, opponent: Aim | None) -> dict[str, Any]:
        job, song, stored = self._protected(track)
        ways = replace(run.played(job, stored), stem=song.vocals)
        some = job.tiles.spread(self.params.survival)
        row = {
            "track": track.name,
            "seconds": song.mixture.seconds,
            "costs": costs(song.mixture, stored, self.params.bits),
            "effects": {one.name: effect(one, ways) for one in (*self.aims, *self.others)},
            "changes": {name: effect(self.aim, ways, name, some) for name in self.params.changes},
        }
        return row if opponent is None else {**row, "fine_tuned": effect(opponent, ways)}

    def _opponent(self) -> Aim | None:
        """The system after its training on protected songs; None where nobody trains it."""
        if not self.taught:
            return None
        file = self.work / WEIGHTS
        kept = with_kept_weights(self.aim, file)
        if kept is not None:
            return kept
        lessons = []
        with Progress(total=len(self.taught), desc="lessons", unit="song") as bar:
            for track in self.taught:
                _, song, stored = self._protected(track)
                lessons.append(Lesson(track.name, stored, song.vocals))
                bar.update()
        own, seed = self.params.fine_tuning, self.params.seed
        with Progress(total=own.steps, desc="fine-tuning", unit="step") as bar:
            learned = tuned(self.aim, lessons, own, seed, self.device, bar.update)
        keep_weights(learned, file)
        for track in self.taught:
            shutil.rmtree(self._folder(track))
        return learned


@dataclass(frozen=True)
class Cast:
    """Who plays which part.

    Attributes:
        aim: the system that songs are protected against.
        allies: those that they are protected against at the same time.
        others: those that they are not made for, with a separator that needs no training.
        left_out: why systems are none of these, by name.
    """

    aim: Aim
    allies: list[Aim]
    others: list[Aim]
    left_out: dict[str, str]


def cast(
    against: str, ensemble: Sequence[str], systems: Mapping[str, Separator], data: PreparedData
) -> Cast:
    """Who is aimed at, alone or with others, and who else is tried.

    Args:
        against: name of the system that songs are protected against.
        ensemble: names of those that they are protected against at the same time; it may be among
            them.
        systems: all that there are, by name.
        data: the recordings.

    Raises:
        InputError: a system that is aimed at is told something of the true vocals, or is not there.
    """
    informed = [name for name, system in systems.items() if threat_of(system) == "informed"]
    allies = [name for name in ensemble if name != against]
    for name in allies:
        if name not in systems:
            raise InputError(
                f"protect.ensemble: {name} is none of systems ({', '.join(systems)}); add it there"
            )
    for name in (against, *allies):
        if name in informed:
            where = "against" if name == against else "ensemble"
            raise InputError(f"protect.{where}: {name}: {TOLD}; name a blind system")
    aims = {
        name: Aim(name, fitted(system, data))
        for name, system in systems.items()
        if name not in informed
    }
    others = [aim for name, aim in aims.items() if name not in (against, *allies)]
    others.append(Aim(BYSTANDER, Repeating(data.sample_rate, data.channels)))
    left_out = dict.fromkeys(informed, TOLD)
    return Cast(aims[against], [aims[name] for name in allies], others, left_out)
