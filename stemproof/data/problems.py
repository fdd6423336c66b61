"""What is wrong with many files, said in one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stemproof.core.errors import InputError

NAMED = 20  # problems that one error names


class Problems:
    """Bad input that is collected, so that a user mends all of it before the next run."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, message: str) -> None:
        """Note a problem; the message names the file and says what to do."""
        self.found.append(message)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note bad input in the block, which ends there, and go on."""
        try:
            yield
        except InputError as error:
            self.add(str(error))

    def refuse(self) -> None:
        """Raise what was noted, as one error.

        Raises:
            InputError: something was; the first twenty problems are in the message.
        """
        if len(self.found) == 1:
            raise InputError(self.found[0])
        if self.found:
            shown = " ".join(f"({n}) {said}." for n, said in enumerate(self.found[:NAMED], 1))
            rest = len(self.found) - NAMED
            more = f" And {rest} more" if rest > 0 else ""
            raise InputError(f"{len(self.found)} problems: {shown}{more}")
