"""What there is to hear: the clips that the stage ``listen`` wrote, for the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemproof.core.documents import read_document
from stemproof.core.errors import InputError
from stemproof.core.files import opened
from stemproof.evaluation.clips import INDEX, read_clip
from stemproof.report import spectrograms
from stemproof.report.heard import Clips
from stemproof.report.params import Audio

LIMIT = 8_000_000  # letters of audio in the page
MISSING = "no such file; run listen"
WORDS = {
    "median": "the middle segment of the middle track",
    "worst": "the segment that loses most of the track that loses most",
    "best": "the segment that loses least of the track that loses least",
}


@dataclass(frozen=True)
class Clip:
    """One clip.

    Attributes:
        title: what it is.
        note: a figure of it.
        picture: its spectrogram, SVG.
        audio: a data URI; empty where it is not embedded.
    """

    title: str
    note: str
    picture: str
    audio: str


@dataclass(frozen=True)
class Part:
    """A segment.

    Attributes:
        threat: of the systems.
        title: which rule chose it, and what it is.
        why_silent: why there is no audio; empty where there is.
        shared: clips that are the same for all systems.
        systems: name, what the attack costs it, and its own clips.
    """

    threat: str
    title: str
    why_silent: str
    shared: list[Clip]
    systems: list[tuple[str, str, list[Clip]]]


@dataclass(frozen=True)
class Listening:
    """All that there is to hear.

    Attributes:
        parts: the segments.
        seed: of the models' training.
        data: hash of the prepared recordings.
        models: hash of each system's model.
        views: what systems show of what they have learned.
    """

    parts: list[Part]
    seed: int
    data: str
    models: Mapping[str, str]
    views: Mapping[str, Sequence[Mapping[str, Any]]]

    def of(self, informed: bool) -> list[Part]:
        """The segments of one threat model."""
        threat = "informed" if informed else "blind"
        return [part for part in self.parts if part.threat == threat]


def read_listening(
    folder: Path, shown: Mapping[str, Any], audio: Audio, order: Sequence[str]
) -> Listening:
    """Read what the stage ``listen`` wrote.

    Args:
        folder: where.
        shown: the parameters of the run.
        audio: ``report.audio``.
        order: of the systems in the tables.

    Raises:
        InputError: it is missing or damaged.
    """
    file = folder / INDEX
    with opened(file, MISSING):
        index = read_document(file, Clips)
    named = {system["system"] for about in index["parts"] for system in about["systems"]}
    if not {*named, *index["views"]} <= set(order):
        raise InputError(f"{file}: of other systems than the tables; run listen again")
    source, room = shown["data"]["source"], LIMIT
    parts = []
    for about in index["parts"]:
        reader = _Reader(folder, about)
        silent = _why_silent(audio, source == "demo" and about["rendered"])
        if not silent and reader.letters > room:
            silent = "No audio: the page would be too large."
        part = reader.part(silent, order)
        room -= 0 if silent else reader.letters
        parts.append(part)
    return Listening(parts, index["seed"], index["data"], index["models"], index["views"])


def _why_silent(audio: Audio, is_free: bool) -> str:
    if audio is True or (audio == "demo" and is_free):
        return ""
    if audio is False:
        return "No audio: report.audio is false."
    return (
        "No audio: it is a recording, which may not be handed on freely; report.audio=true "
        "embeds it all the same."
    )


class _Reader:
    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self.about = about
        mixture, rate = read_clip(folder / about["shared"]["mixture"])
        self.reference = float(spectrograms.levels(mixture, rate).max())

    @property
    def letters(self) -> int:
        """Of all audio of the segment, as it stands in a page."""
        own = [name for system in self.about["systems"] for name in system["files"].values()]
        files = [*self.about["shared"].values(), *own]
        return sum(-(-(self.folder / name).stat().st_size // 3) * 4 for name in files)

    def part(self, silent: str, order: Sequence[str]) -> Part:
        about = self.about
        start, end = about["start"], about["start"] + about["seconds"]
        rules = " and ".join(WORDS[rule] for rule in about["rules"])
        title = f"{rules[0].upper()}{rules[1:]}: {about['track']}, {start:g} to {end:g} s"
        if about["turned_down_db"]:
            title += f" (all clips turned down by {about['turned_down_db']:g} dB)"
        sound = not silent
        shared = [
            self._clip(
                about["shared"]["mixture"], "Mixture", "what the system is meant to hear", sound
            ),
            self._clip(about["shared"]["vocals"], "True vocals", "what it should give", sound),
        ]
        systems = sorted(about["systems"], key=lambda system: order.index(system["system"]))
        return Part(
            about["threat"], title, silent, shared, [self._system(s, sound) for s in systems]
        )

    def _system(self, about: Mapping[str, Any], sound: bool) -> tuple[str, str, list[Clip]]:
        name, files, figures = about["system"], about["files"], about["figures"]
        cost = "collapsed"
        if "drop" in figures:
            cost = f"the attack costs {figures['drop']:.2f} dB here"

        def level(key: str, words: str) -> str:
            return f"{words} {figures[key]:.1f} dB" if key in figures else "silence"

        snr = level("perturbation_snr", "below the mixture by")
        clips = [
            self._clip(
                files["clean"], f"Vocals before the attack, {name}", level("bs", "SI-SDR"), sound
            ),
            self._clip(
                files["separated"],
                f"Vocals after the attack, {name}",
                level("at_bs", "SI-SDR"),
                sound,
            ),
            self._clip(
                files["attacked"], f"Attacked mixture, {name}", "mixture plus perturbation", sound
            ),
            self._clip(
                files["perturbation"],
                f"Perturbation alone, {name}",
                f"{snr}; here amplified by {about['amplified_db']} dB",
                sound,
            ),
        ]
        return name, cost, clips

    def _clip(self, file: str, title: str, note: str, sound: bool) -> Clip:
        path = self.folder / file
        audio, rate = read_clip(path)
        says = f"Spectrogram: {title}"
        picture = spectrograms.draw(audio, rate, self.reference, says)
        encoded = base64.b64encode(path.read_bytes()).decode() if sound else ""
        return Clip(title, note, picture, f"data:audio/wav;base64,{encoded}" if sound else "")
