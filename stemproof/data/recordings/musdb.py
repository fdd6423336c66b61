"""What data sets in the layout of MUSDB18 share: how their songs are found and read.

There are two forms, one ``.stem.mp4`` file a song, and a folder of ``.wav`` files a song. Songs are
the entries directly under ``train/`` and ``test/``; names, splits and samples are those of musdb.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray
from stemproof.data.codec import (
    Decoder,
    announced_samples,
    audio_streams,
    import_musdb,
    read_stream,
)
from stemproof.data.entries import (
    STEM_STREAMS,
    STEM_SUFFIX,
    LeftOut,
    is_stem_file,
    song_name,
    visible,
)
from stemproof.data.problems import Problems
from stemproof.data.recordings.protocol import MIXTURE, SPLITS, Recording
from stemproof.data.recordings.setup import SETUP, STEMS, Setup, read_setup

SUBSETS = ("train", "test")


@dataclass(frozen=True)
class MusdbRecording:
    """A song.

    Attributes:
        split: ``train``, ``valid`` or ``test``.
        name: of the song.
        files: of the mixture and its stems: each its own, or one for all.
        streams: which audio stream of its file each is.
        decoder: what reads them.
        rendered: whether it is no recording of musicians.
    """

    split: str
    name: str
    files: Mapping[str, Path]
    streams: Mapping[str, int]
    decoder: Decoder
    rendered: bool = False

    @property
    def stems(self) -> tuple[str, ...]:
        """Parts of the mixture."""
        return STEMS

    def path_of(self, stem: str) -> Path:
        """The file that holds a stem."""
        return self.files[stem]

    def read(self, stem: str) -> FloatArray:
        """The whole of a stem, frames x 2.

        Raises:
            InputError: the file is damaged or truncated.
        """
        path, stream = self.files[stem], self.streams[stem]
        try:
            audio = read_stream(path, stream, self.decoder)
            announced = announced_samples(path, stream)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be decoded ({error})") from None
        if len(audio) < announced:
            raise InputError(
                f"{path}: truncated; {len(audio)} of {announced} samples could be read"
            )
        return audio


@dataclass(frozen=True)
class MusdbLayout:
    """A data set in this layout, in the official 80/14/50 split.

    A file ``mus.yaml`` in its root (musdb's own format) replaces musdb's list of validation tracks.

    Attributes:
        name: the value of ``data.source``.
        words: what the report calls it.
        as_wav: whether it has a folder of ``.wav`` files a song.
        rendered: whether its songs are rendered ones.
    """

    name: str
    words: str
    as_wav: bool = True
    rendered: bool = False

    def find(
        self, root: Path, decoder: Decoder, sample_rate: int, minimum_samples: int
    ) -> list[Recording]:
        """List the songs; arguments and errors are those of the protocol."""
        _check_layout(root, self.as_wav, self.name)
        own = read_setup(root / SETUP)
        _check_kind(root, self, own is not None and own.rendered)
        packaged = Path(import_musdb(decoder).__path__[0]) / "configs" / SETUP
        setup = own or read_setup(packaged)
        assert setup is not None
        problems, left_out = Problems(), LeftOut()
        songs: list[MusdbRecording] = []
        for subset in SUBSETS:
            with problems.noted():
                _refuse_link(root / subset)
            for place in visible(root / subset, left_out):
                with problems.noted():
                    if self._is_song(place):
                        songs.append(self._song(place, subset, setup, decoder))
                    else:
                        left_out.others.append(f"{subset}/{place.name}")
        left_out.tell(root)
        if own is not None:
            _check_names(root, own, songs, problems)
        for song in songs:
            for path in dict.fromkeys(song.files.values()):
                with problems.noted():
                    _check_file(path, sample_rate, minimum_samples, self.as_wav)
        problems.refuse()
        for split in SPLITS:
            if not any(song.split == split for song in songs):
                raise InputError(
                    f"{root}: no track for the {split} split; validation tracks are those that "
                    "musdb names, or a mus.yaml in this folder"
                )
        return sorted(songs, key=lambda song: SPLITS.index(song.split))

    def _is_song(self, place: Path) -> bool:
        """Whether an entry is a song, of this form.

        Raises:
            InputError: it is one of the other form, or a link.
        """
        if place.is_dir() or not place.exists():
            _refuse_link(place)
        other_form = is_stem_file(place) if self.as_wav else (place / "mixture.wav").exists()
        if other_form:
            form = "folders of wav files" if self.as_wav else f"{STEM_SUFFIX} files"
            raise InputError(
                f"{place}: data.source = {self.name} reads {form}; move it to a data.root of its "
                "own kind"
            )
        return place.is_dir() if self.as_wav else is_stem_file(place)

    def _song(self, place: Path, subset: str, setup: Setup, decoder: Decoder) -> MusdbRecording:
        name, parts = song_name(place), (MIXTURE, *STEMS)
        held_out = subset == "train" and name in setup.validation_tracks
        return MusdbRecording(
            "valid" if held_out else subset,
            name,
            {part: place / setup.file_of(part) if self.as_wav else place for part in parts},
            {part: 0 if self.as_wav else setup.stem_ids[part] for part in parts},
            decoder,
            self.rendered and name not in (setup.real or ()),
        )


def _check_layout(root: Path, as_wav: bool, source: str) -> None:
    if not root.is_dir():
        raise InputError(f"data.root = {root}: no such folder")
    for subset in SUBSETS:
        folder = root / subset
        if not folder.is_dir():
            raise InputError(f"data.root = {root}: it has no folder {subset}/")
        entries = visible(folder, LeftOut())
        has_stems = any(is_stem_file(entry) for entry in entries)
        has_folders = any(entry.is_dir() for entry in entries)
        if as_wav and not has_folders:
            hint = "; for .stem.mp4 files set data.source = musdb18" if has_stems else ""
            raise InputError(f"{folder}: data.source = {source} needs a folder a track{hint}")
        if not as_wav and not has_stems:
            hint = "; for wav folders set data.source = musdb18hq" if has_folders else ""
            raise InputError(f"{folder}: data.source = musdb18 needs {STEM_SUFFIX} files{hint}")


def _refuse_link(place: Path) -> None:
    """DVC hashes files behind links, but does not look into folders behind them."""
    if place.is_symlink():
        target = os.path.realpath(place)
        what = f"a link to the folder {target}" if place.exists() else "a link that leads nowhere"
        raise InputError(
            f"{place}: {what}, where DVC does not see a song that changes; put the folder itself "
            "there, or links to its files (data.root itself may be a link)"
        )


def _check_kind(root: Path, layout: MusdbLayout, rendered: bool) -> None:
    """Rendered songs must never be reported as MUSDB18, nor the other way round."""
    if rendered and not layout.rendered:
        raise InputError(
            f"data.root = {root} holds rendered demo songs, but data.source = {layout.name}; "
            "set data.source = demo, or data.root to the recordings"
        )
    if layout.rendered and not rendered:
        raise InputError(
            f"data.root = {root} holds no rendered demo songs; "
            "set data.source to musdb18 or musdb18hq"
        )


def _check_names(root: Path, own: Setup, songs: list[MusdbRecording], problems: Problems) -> None:
    """A song that is misspelt in mus.yaml would be trained on, or be taken for a rendered one."""
    held_out = {song.name for song in songs if song.split == "valid"}
    everywhere = {song.name for song in songs}
    for key, names, there in (
        ("validation_tracks", own.validation_tracks, held_out),
        ("real", own.real or (), everywhere),
    ):
        for name in names:
            if name not in there:
                where = "train/" if key == "validation_tracks" else "train/ or test/"
                problems.add(
                    f"{root / SETUP}: {key} names {name!r}, and there is no such song in {where}; "
                    "correct the name, or take it out"
                )


def _check_file(path: Path, sample_rate: int, minimum_samples: int, as_wav: bool) -> None:
    if not path.is_file():
        raise InputError(f"{path}: missing; a track needs mixture, {', '.join(STEMS)}")
    try:
        streams = audio_streams(path)
    except (av.error.FFmpegError, OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not readable as audio, or truncated ({error})") from None
    wanted = 1 if as_wav else STEM_STREAMS
    if len(streams) != wanted:
        raise InputError(f"{path}: {wanted} audio streams were expected, it has {len(streams)}")
    for stream in streams:
        if int(stream["sample_rate"]) != sample_rate:
            raise InputError(
                f"{path}: sample rate {stream['sample_rate']} Hz, "
                f"but data.sample_rate = {sample_rate}; resample the file"
            )
        if stream["channels"] != 2:
            raise InputError(f"{path}: stereo was expected, it has {stream['channels']} channel(s)")
        if stream["duration_ts"] < minimum_samples:
            raise InputError(
                f"{path}: {stream['duration_ts']} samples, shorter than one segment "
                f"({minimum_samples} samples; see segments.seconds)"
            )
