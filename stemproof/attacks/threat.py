"""What an adversary may change: segments of an informed system's input, or the recording itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stemproof.attacks.params import AttackParams
from stemproof.core.errors import InputError
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData, PreparedTrack
from stemproof.separators.protocol import Informed, Separator

Threat = Literal["informed", "blind"]


def threat_of(separator: Separator) -> Threat:
    """Whether a system is told something of the stems; the figures of the two are never ranked."""
    return "informed" if isinstance(separator, Informed) else "blind"


def fitted(separator: Separator, data: PreparedData) -> Separator:
    """A system that takes what an adversary changes.

    A blind system takes the recording, whatever its own rate and channels: a perturbation belongs
    to the recording, and can be played to any other system.

    Args:
        separator: any.
        data: the recordings.

    Raises:
        InputError: the system is informed and takes another rate, or more channels than one.
    """
    if threat_of(separator) == "blind":
        # Only here: a stage that plays nothing does not depend on their code.
        from stemproof.separators.wrappers import with_channels, with_sample_rate

        return with_channels(with_sample_rate(separator, data.sample_rate), data.channels)
    if separator.sample_rate != data.sample_rate:
        raise InputError(
            f"a system for {separator.sample_rate} Hz, but the recordings in {data.folder} have "
            f"{data.sample_rate} Hz; train it again"
        )
    if separator.channels != 1:
        raise InputError(
            f"an informed system is attacked in mono, and this one takes {separator.channels} "
            "channels; wrap it with stemproof.separators.wrappers.with_channels"
        )
    return separator


def played_to(
    separator: Separator, tracks: Sequence[PreparedTrack], params: AttackParams
) -> list[PreparedTrack]:
    """The tracks of a split that a system is attacked on.

    A blind system knows music from recordings of it: of the demo songs it hears those that are not
    rendered, unless ``attack.rendered`` says otherwise or there are no others.

    Args:
        separator: the system.
        tracks: all of a split, whichever process asks.
        params: the section ``attack``.
    """
    real = [track for track in tracks if not track.rendered]
    if threat_of(separator) == "informed" or params.rendered or not real:
        return list(tracks)
    return real


def excerpts_for(
    separator: Separator,
    tracks: Sequence[PreparedTrack],
    cut: SegmentParams,
    params: AttackParams,
    sample_rate: int,
) -> Excerpts:
    """How recordings are cut for the attack on a system.

    Args:
        separator: what :func:`fitted` gave.
        tracks: of some recordings.
        cut: the section ``segments``.
        params: the section ``attack``.
        sample_rate: of the recordings in Hz.
    """
    length = cut.samples(sample_rate)
    if threat_of(separator) == "informed":
        return Excerpts.segments(tracks, length)
    longest = None if params.excerpt is None else round(params.excerpt * sample_rate)
    return Excerpts.recordings(tracks, length, longest)


def training_excerpts(
    separator: Separator, tracks: Sequence[PreparedTrack], segment: int, samples: int
) -> Excerpts:
    """Parts of one length, which one perturbation for all is learned on.

    Not cut as the attacked ones are: the last excerpt of a recording is longer than those before
    it, and the perturbation is as long as the longest.

    Args:
        separator: what :func:`fitted` gave.
        tracks: of the training split.
        segment: samples of a segment.
        samples: of every part.

    Returns:
        None of tracks that are shorter.
    """
    if threat_of(separator) == "informed":
        return Excerpts.segments(tracks, segment).of_length(samples)
    whole = -(-samples // segment) * segment
    return Excerpts.recordings(tracks, segment, whole).of_length(samples)
