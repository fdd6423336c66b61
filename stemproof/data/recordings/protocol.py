"""What a data set is to the rest: recordings in splits, each a mixture and its stems."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from stemproof.core.files import FloatArray
from stemproof.data.codec import Decoder

SPLITS = ("train", "valid", "test")
MIXTURE, VOCALS = "mixture", "vocals"  # stems that every recording has


class Recording(Protocol):
    """One song."""

    @property
    def split(self) -> str:
        """``train``, ``valid`` or ``test``."""
        ...

    @property
    def name(self) -> str:
        """Of the song, unique in all splits; random numbers and tables go by it."""
        ...

    @property
    def stems(self) -> tuple[str, ...]:
        """The parts that add up to the mixture; ``vocals`` is one of them."""
        ...

    def path_of(self, stem: str) -> Path:
        """The file that messages about a stem, or about the ``mixture``, name."""
        ...

    def read(self, stem: str) -> FloatArray:
        """The whole of a stem, or of the ``mixture``: frames x channels, full scale 1.

        Raises:
            InputError: it cannot be decoded, or ends too early.
        """
        ...


@runtime_checkable
class Source(Protocol):
    """A kind of data set: what a module of this room calls ``SOURCE``."""

    @property
    def name(self) -> str:
        """The value of ``data.source``, and the name of the module."""
        ...

    @property
    def words(self) -> str:
        """What the report calls it."""
        ...

    def find(
        self, root: Path, decoder: Decoder, sample_rate: int, minimum_samples: int
    ) -> list[Recording]:
        """List the recordings of all splits, without decoding them.

        Args:
            root: the folder of the recordings.
            decoder: what reads compressed audio.
            sample_rate: that all files must have, in Hz.
            minimum_samples: the shortest recording that is allowed.

        Raises:
            InputError: the folder or one of its files cannot be used; the message names it.
        """
        ...
