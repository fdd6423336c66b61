"""The sections ``demo``, ``data`` and ``segments``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from stemproof.core.params import Section, Seed

LONGEST_PATH = 4096  # characters; Linux has no longer ones


class DemoParams(Section):
    """Songs that the renderer writes."""

    seed: Seed
    train_songs: int = Field(ge=1, le=1000)
    valid_songs: int = Field(ge=1, le=14)
    test_songs: int = Field(ge=1, le=1000)
    seconds: float = Field(ge=2, le=600)


class DataParams(Section):
    """Where the recordings are and how they are read.

    ``source`` is the name of a module of :mod:`stemproof.data.recordings`.
    """

    source: str
    root: Path
    decoder: Literal["pyav", "ffmpeg"]
    sample_rate: int = Field(ge=1000, le=192_000)

    @field_validator("root")
    @classmethod
    def _same_to_dvc(cls, root: Path) -> Path:
        if str(root).startswith("~"):
            raise ValueError("a path that begins with ~ is none to DVC; write out the whole path")
        if len(str(root)) > LONGEST_PATH or "\0" in str(root):
            raise ValueError(
                f"{len(str(root))} characters, and no path has more than {LONGEST_PATH} or a zero "
                "byte; name a folder"
            )
        return root


class SegmentParams(Section):
    """How tracks are cut."""

    seconds: float = Field(default=1.0, ge=0.01, le=60)
    train_overlap: float = Field(default=0.5, ge=0, le=0.9)
    loud_db: float = Field(default=-10.0, ge=-200, le=100)

    def samples(self, sample_rate: int) -> int:
        """Length of a segment in samples."""
        return round(self.seconds * sample_rate)
