"""``mus.yaml``, musdb's own set-up, where a data set has one in its root."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from stemproof.core.files import is_there
from stemproof.core.params import read_tree, validate
from stemproof.data.entries import STEM_STREAMS
from stemproof.data.recordings.protocol import MIXTURE

STEMS = ("drums", "bass", "other", "vocals")
SETUP = "mus.yaml"
# Keys in mus.yaml of a folder of rendered songs: that it is one, and which songs are not.
RENDERED, REAL = "rendered", "real"
FileName = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00]+$", max_length=255)]


class Setup(BaseModel):
    """What is read of the file; musdb knows more, which changes nothing here.

    Attributes:
        mixture: file name of the mixture in a folder of wav files.
        sources: file names of the stems.
        stem_ids: numbers of mixture and stems among the audio streams of a .stem.mp4.
        validation_tracks: names of songs in ``train/`` that are held out.
        rendered: whether the songs are rendered ones.
        real: names of those that are not.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    mixture: FileName
    sources: dict[str, FileName]
    stem_ids: dict[str, int]
    validation_tracks: list[str] = Field(min_length=1)
    rendered: bool = False
    real: list[str] | None = None

    @field_validator("sources")
    @classmethod
    def _all_stems(cls, sources: dict[str, Any]) -> dict[str, Any]:
        if missing := [stem for stem in STEMS if stem not in sources]:
            raise ValueError(f"no {', '.join(missing)} there")
        return sources

    @field_validator("stem_ids")
    @classmethod
    def _every_stream_once(cls, numbers: dict[str, int]) -> dict[str, int]:
        named = sorted(numbers.get(stem, -1) for stem in (MIXTURE, *STEMS))
        if named != list(range(STEM_STREAMS)):
            raise ValueError(f"{MIXTURE}, {', '.join(STEMS)} need the numbers 0 to 4, each once")
        return numbers

    def file_of(self, stem: str) -> str:
        """The name of the wav file of a stem, or of the mixture."""
        return self.mixture if stem == MIXTURE else self.sources[stem]


def read_setup(path: Path) -> Setup | None:
    """A set-up, or None where there is no such file.

    Raises:
        InputError: the file is not one; the message names what is wrong.
    """
    return validate(Setup, read_tree(path), str(path)) if is_there(path) else None
