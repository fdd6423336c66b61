"""How long work will take, by its first steps or by trials; and the memory that a training has."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from stemproof.core.progress import Progress
from stemproof.core.room import in_time, in_words, peak_memory

WARM = 2  # steps that are not timed: the first ones of a process take longer
TIMED = 5  # steps
TRIALS = 5  # at most
ENOUGH = 0.5  # seconds of trials


def quickest(work: Callable[[], object]) -> float:
    """Seconds that some work takes at its quickest, of as many trials as fit half a second.

    The first trial of a process takes longer than all others, and so does one that the machine
    was busy beside. Work that takes longer than that is tried once.

    Args:
        work: on a GPU it must wait for its own end.
    """
    found: list[float] = []
    while len(found) < TRIALS and sum(found) < ENOUGH:
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


@dataclass
class Forecast:
    """Times the first steps of a training, and says what that makes for all of them.

    A trial before the training would have to leave no trace in its random numbers and weights; the
    first steps are a trial that costs nothing.

    Attributes:
        name: of the work, for the message.
        steps: that are still to be made.
        device: where they are made.
        shown: whether this process says it.
    """

    name: str
    steps: int
    device: torch.device
    shown: bool = True
    _made: int = 0
    _began: float = field(default=0.0, repr=False)

    @classmethod
    def of(cls, progress: Progress, device: torch.device) -> Forecast:
        """Of what a bar has before it, said where the bar is shown."""
        if progress.disable:  # it has no name then
            return cls("", 0, device, shown=False)
        return cls(progress.desc, round((progress.total or 0) - progress.n), device)

    def step(self) -> None:
        """Count a step that has been made; the last of the timed ones says it."""
        if not self.shown or self._made > WARM + TIMED:
            return
        self._made += 1
        if self._made == WARM:
            self._began = self._now()
        if self._made == WARM + TIMED:
            seconds = (self._now() - self._began) / TIMED * self.steps
            Progress.write(self._said(seconds), file=sys.stderr)

    def _said(self, seconds: float) -> str:
        said = f"{self.name}: {self.steps} steps, {in_time(seconds)} without validation"
        peak = peak_memory()
        if peak is not None:
            said += f"; {in_words(peak)} of memory so far"
        if self.device.type == "cuda":
            said += f", {in_words(torch.cuda.max_memory_allocated(self.device))} of the GPU's"
        return said

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
