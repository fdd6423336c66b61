"""What data sets in the layout of MUSDB18 share: musdb finds and reads their songs.

There are two forms, one ``.stem.mp4`` file a song, and a folder of ``.wav`` files a song.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import yaml

from stemproof.core.errors import InputError
from stemproof.core.files import FloatArray
from stemproof.data.codec import Decoder, announced_samples, import_musdb, probe
from stemproof.data.recordings.protocol import MIXTURE, SPLITS, Recording

STEMS = ("drums", "bass", "other", "vocals")
STEM_SUFFIX = ".stem.mp4"
SETUP = "mus.yaml"
# Keys in mus.yaml of a folder of rendered songs: that it is one, and which songs are not.
RENDERED, REAL = "rendered", "real"


@dataclass(frozen=True)
class MusdbRecording:
    """A song as musdb knows it.

    Attributes:
        split: ``train``, ``valid`` or ``test``.
        name: of the song.
        track: musdb's own object.
        rendered: whether it is no recording of musicians.
    """

    split: str
    name: str
    track: Any
    rendered: bool = False

    @property
    def stems(self) -> tuple[str, ...]:
        """Parts of the mixture."""
        return STEMS

    def path_of(self, stem: str) -> Path:
        """The file that holds a stem."""
        return Path(self._part(stem).path)

    def read(self, stem: str) -> FloatArray:
        """The whole of a stem, frames x 2.

        Raises:
            InputError: the file is damaged or truncated.
        """
        part, path = self._part(stem), self.path_of(stem)
        try:
            # 16-bit steps and float32 are all that a decoder gives, whatever type they come in.
            audio = np.asarray(part.audio, dtype=np.float32)
        except (av.error.FFmpegError, OSError, ValueError, Warning) as error:
            raise InputError(f"{path}: cannot be decoded ({error})") from None
        announced = announced_samples(path, part.stem_id)
        if len(audio) < announced:
            raise InputError(
                f"{path}: truncated; {len(audio)} of {announced} samples could be read"
            )
        return audio

    def _part(self, stem: str) -> Any:
        return self.track if stem == MIXTURE else self.track.sources[stem]


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
        setup = read_setup(root / SETUP)
        _check_kind(root, self, bool(setup.get(RENDERED)))
        # One truncated file makes musdb.DB itself raise without naming it: look first.
        for path in _audio_files(root, self.as_wav):
            _check_file(path, sample_rate, minimum_samples, 1 if self.as_wav else 5)
        musdb = import_musdb(decoder)
        songs: list[Recording] = []
        for split in SPLITS:
            database = musdb.DB(
                root=str(root),
                setup_file=SETUP if setup else None,
                is_wav=self.as_wav,
                subsets=["test"] if split == "test" else ["train"],
                split=None if split == "test" else split,
            )
            real = setup.get(REAL) or []
            songs += [
                MusdbRecording(split, track.name, track, self.rendered and track.name not in real)
                for track in database.tracks
            ]
            if not database.tracks:
                raise InputError(
                    f"{root}: no track for the {split} split; validation tracks are those that "
                    "musdb names, or a mus.yaml in this folder"
                )
        return songs


def _check_layout(root: Path, as_wav: bool, source: str) -> None:
    if not root.is_dir():
        raise InputError(f"data.root = {root}: no such folder")
    for subset in ("train", "test"):
        folder = root / subset
        if not folder.is_dir():
            raise InputError(f"data.root = {root}: it has no folder {subset}/")
        has_stems = any(folder.glob(f"*{STEM_SUFFIX}"))
        has_folders = any(entry.is_dir() for entry in folder.iterdir())
        if as_wav and not has_folders:
            hint = "; for .stem.mp4 files set data.source = musdb18" if has_stems else ""
            raise InputError(f"{folder}: data.source = {source} needs a folder a track{hint}")
        if not as_wav and not has_stems:
            hint = "; for wav folders set data.source = musdb18hq" if has_folders else ""
            raise InputError(f"{folder}: data.source = musdb18 needs {STEM_SUFFIX} files{hint}")


def read_setup(path: Path) -> dict[str, Any]:
    """musdb's set-up in the data folder, or nothing when there is none.

    Raises:
        InputError: the file is not one.
    """
    if not path.is_file():
        return {}
    try:
        setup = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    needed = ("mixture", "sources", "targets", "stem_ids", "validation_tracks")
    missing = [key for key in needed if not isinstance(setup, dict) or key not in setup]
    if missing:
        raise InputError(f"{path}: not a set-up of musdb; it lacks {', '.join(missing)}")
    return dict(setup)


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


def _audio_files(root: Path, as_wav: bool) -> list[Path]:
    if not as_wav:
        return sorted(root.glob(f"t*/*{STEM_SUFFIX}"))
    folders = sorted(entry for entry in root.glob("t*/*") if entry.is_dir())
    return [folder / f"{name}.wav" for folder in folders for name in (MIXTURE, *STEMS)]


def _check_file(path: Path, sample_rate: int, minimum_samples: int, n_streams: int) -> None:
    if not path.is_file():
        raise InputError(f"{path}: missing; a track needs mixture, {', '.join(STEMS)}")
    try:
        described = probe(path)["streams"]
    except (av.error.FFmpegError, OSError, TypeError) as error:
        raise InputError(f"{path}: not readable as audio, or truncated ({error})") from None
    streams = [stream for stream in described if stream["codec_type"] == "audio"]
    if len(streams) < n_streams:
        raise InputError(f"{path}: {n_streams} audio streams were expected, it has {len(streams)}")
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
