"""The form of the index of clips, ``data/listening/index.json``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from stemproof.core.documents import ABSENT, Document, Hash, Part
from stemproof.evaluation.clips import FORMAT

# In the folder of the index, and nowhere else.
FileName = Annotated[str, Field(pattern=r"^[^/\\]+\.(wav|npy)$")]
Ends = Annotated[list[float], Field(min_length=2, max_length=2)]


class Shared(Part):
    """Clips of a segment that are the same for all systems."""

    mixture: FileName
    vocals: FileName


class Own(Part):
    """Clips of a segment and a system."""

    attacked: FileName
    perturbation: FileName
    clean: FileName
    separated: FileName


class Costs(Part):
    """dB; absent where what was put out has collapsed."""

    bs: float = ABSENT
    at_bs: float = ABSENT
    drop: float = ABSENT
    perturbation_snr: float = ABSENT


class Heard(Part):
    """A segment as one system hears it."""

    system: str
    amplified_db: float
    figures: Costs
    files: Own


class Segment(Part):
    """A segment that was chosen."""

    threat: Literal["informed", "blind"]
    rules: Annotated[list[Literal["median", "worst", "best"]], Field(min_length=1)]
    chosen_by: str
    track: str
    rendered: bool
    start: float
    seconds: float
    turned_down_db: float
    shared: Shared
    systems: Annotated[list[Heard], Field(min_length=1)]


class Look(Part):
    """What a system shows of itself."""

    title: str
    caption: str
    across: str
    up: str
    width: Ends
    height: Ends
    shades: str
    file: FileName


class Clips(Document):
    """The index."""

    formats = (FORMAT, FORMAT)
    cure = "run listen again"

    seed: int
    data: Hash
    models: dict[str, Hash]
    parts: list[Segment]
    views: dict[str, list[Look]]
    parameters: dict[str, JsonValue] = ABSENT
