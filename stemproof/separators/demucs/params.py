"""What an entry of the kind ``demucs`` may set."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, StrictBool

from stemproof.core.params import Section


class DemucsSettings(Section):
    """A model or a bag, and how a recording goes through it.

    Attributes:
        weights: a safetensors file of the package's own layout, a YAML file of a bag, a folder
            that holds one of them, or a pickle (``.th``).
        allow_pickle: whether pickles may be loaded, which runs whatever code is in them.
        overlap: of two windows, as a fraction of one.
        shifts: how many shifted passes are averaged; 0 for a system without random draws.
        segment: length of a window in seconds; by default that of each model.
    """

    weights: Path
    allow_pickle: StrictBool = False
    overlap: float = Field(default=0.25, ge=0, le=0.9)
    shifts: int = Field(default=0, ge=0, le=100)
    segment: float | None = Field(default=None, gt=0, le=3600)
