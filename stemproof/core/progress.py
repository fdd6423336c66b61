"""Progress and the time that is left: a bar in a terminal, a line a minute in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    Bar = tqdm[Any]
else:
    Bar = tqdm

EVERY = 60.0  # seconds between two lines of a log, at least
LINE = "{desc}: {n_fmt} of {total_fmt} ({unit}), {elapsed} passed, {remaining} left{postfix}"


class Progress(Bar):
    """A bar as tqdm draws it where standard error is a terminal; lines of their own elsewhere."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        """Begin.

        Args:
            arguments: as of tqdm: what is gone through, if anything.
            settings: as of tqdm.
        """
        self.in_lines = sys.stderr is None or not sys.stderr.isatty()
        self.written = ""
        self.last_line = -EVERY
        settings.setdefault("disable", settings.get("total") == 0)
        if self.in_lines:
            settings = {"bar_format": LINE, "miniters": 1, "mininterval": EVERY, **settings}
        super().__init__(*arguments, **settings)

    def update(self, n: float | None = 1) -> bool | None:
        """Count; a total that was too small an estimate grows."""
        if self.total is not None and n is not None:
            self.total = max(self.total, self.n + n)
        return super().update(n)

    def __iter__(self) -> Iterator[Any]:
        """Go through what was given; a log is told of each, for it hears so little."""
        return self._counted() if self.in_lines and not self.disable else super().__iter__()

    def _counted(self) -> Iterator[Any]:
        for item in self.iterable:
            yield item
            self.update()
        self.close()

    def refresh(self, nolock: bool = False, lock_args: Any = None) -> Any:
        """Show where it stands; in a log, when a minute has passed."""
        if not self.in_lines or time.monotonic() - self.last_line >= EVERY:
            return super().refresh(nolock, lock_args)
        return None

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        """Draw the bar, or write the line."""
        if not self.in_lines:
            return super().display(msg, pos)
        self.last_line = time.monotonic()
        if (line := str(self)) != self.written:
            self.written = line
            self.fp.write(f"{line}\n")
            self.fp.flush()
        return None

    def close(self) -> None:
        """End: what has been done stays in sight, on a line that has an end."""
        if self.in_lines and not getattr(self, "disable", True):
            self.disable = True
            self._decr_instances(self)  # type: ignore[attr-defined]
            self.display()
        super().close()


def close_bars() -> None:
    """End every bar that is open, so that what is said next has a line of its own."""
    for bar in list(getattr(tqdm, "_instances", ())):
        bar.close()
