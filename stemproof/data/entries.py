"""What lies in a folder of songs: songs, and what programs and systems leave beside them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from stemproof.core.errors import explaining

STEM_SUFFIX = ".stem.mp4"
STEM_STREAMS = 5  # audio streams of such a file: the mixture and its four stems
SYSTEM = ("__MACOSX",)  # what a zip from macOS unpacks into, beside `._NAME` for every file


def is_stem_file(path: Path) -> bool:
    """Whether a name is that of a ``.stem.mp4``, in small letters or capitals."""
    return path.name.lower().endswith(STEM_SUFFIX)


def song_name(path: Path) -> str:
    """The name of a song: of its folder, or of its file without ``.stem.mp4``."""
    return path.name[: -len(STEM_SUFFIX)] if is_stem_file(path) else path.name


@dataclass
class LeftOut:
    """What was found among songs and is none.

    Attributes:
        hidden: how many entries a system made: ``.NAME``, ``._NAME``, ``@NAME``, ``__MACOSX``.
        others: names of all others.
    """

    hidden: int = 0
    others: list[str] = field(default_factory=list)

    def tell(self, root: Path) -> None:
        """Say it in one line on the error stream; nothing where there is nothing to say."""
        said = [f"{self.hidden} hidden or system entries"] if self.hidden else []
        if self.others:
            more = ", ..." if len(self.others) > 3 else ""
            said.append(
                f"{len(self.others)} that are no songs ({', '.join(self.others[:3])}{more})"
            )
        if said:
            print(f"{root}: left out {' and '.join(said)}", file=sys.stderr, flush=True)


def visible(folder: Path, left_out: LeftOut) -> list[Path]:
    """Everything directly in a folder but what a system hides there, sorted by name.

    Args:
        folder: the folder.
        left_out: counts what is hidden.

    Raises:
        InputError: it cannot be read.
    """
    with explaining(folder, "read"):
        found = sorted(folder.iterdir())
    shown = [
        place for place in found if not (place.name.startswith((".", "@")) or place.name in SYSTEM)
    ]
    left_out.hidden += len(found) - len(shown)
    return shown
