"""One share of the work: which of several processes this is, and how their parts add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, distributed

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """Process ``rank`` of ``count``; the items rank, rank + count, ... are its own.

    Random numbers are drawn by every process for the whole batch, in the same order, and cut
    afterwards: a batch is the same batch however many processes share it.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and draws progress bars."""
        return self.rank == 0

    def of(self, whole: Tensor) -> Tensor:
        """This process's items of a batch; the first axis is the batch."""
        return whole[self.rank :: self.count]

    def items(self, whole: Sequence[Item]) -> list[Item]:
        """This process's items of a list."""
        return list(whole[self.rank :: self.count])

    def total(self, part: Tensor) -> Tensor:
        """Sum over all processes.

        The value is everyone's; the gradient is that of this process's part, so that the
        gradients of all processes add up to that of the whole.
        """
        if self.count == 1:
            return part
        everyone = part.detach().clone()
        distributed.all_reduce(everyone)
        return part + (everyone - part.detach())

    def mean(self, part: Tensor) -> Tensor:
        """Mean over all processes of parts of equal size."""
        return part if self.count == 1 else self.total(part) / self.count

    def norm(self, part: Tensor) -> Tensor:
        """Euclidean norm over the parts of all processes."""
        if self.count == 1:
            return part.norm()
        return self.total(part.square().sum()).clamp_min(1e-24).sqrt()

    def gathered(self, own: Sequence[Item]) -> list[Item]:
        """The items of all processes in their first order: the inverse of :meth:`items`."""
        if self.count == 1:
            return list(own)
        parts: list[list[Item] | None] = [None] * self.count
        distributed.all_gather_object(parts, list(own))
        known = [part or [] for part in parts]
        total = sum(len(part) for part in known)
        return [known[number % self.count][number // self.count] for number in range(total)]

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.count > 1:
            distributed.barrier()


WHOLE = Shard()


def draw_like(part: Tensor, shard: Shard) -> Tensor:
    """An empty batch as large as that of all processes together, to draw random numbers for."""
    return part.new_empty((len(part) * shard.count, *part.shape[1:]))
