"""Batches of training segments on the device: from its memory, or streamed ahead of time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from stemproof.core.shards import Shard
from stemproof.data.store import MIXTURE, VOCALS, TrainingSegments

AHEAD = 4  # batches read before they are asked for
MEMORY_SHARE = 0.5  # of the device's free memory that recordings may take


class Segments(Protocol):
    """Training segments by number."""

    def __len__(self) -> int:
        """How many."""
        ...

    def vocals(self, numbers: list[int]) -> Tensor:
        """Vocals, batch x samples."""
        ...

    def accompaniment(self, numbers: list[int]) -> Tensor:
        """Mixture minus vocals, batch x samples."""
        ...


class ResidentSegments:
    """All training recordings in the memory of a device; a batch is one indexing.

    Args:
        segments: where the recordings are.
        device: where they go.
    """

    def __init__(self, segments: TrainingSegments, device: torch.device) -> None:
        self.device = device
        offsets = [0]
        for track in segments.tracks:
            offsets.append(offsets[-1] + track.samples)
        self.audio = torch.empty(2, offsets[-1], device=device)
        for track, offset in zip(segments.tracks, offsets, strict=False):
            for stem in (MIXTURE, VOCALS):
                mono = torch.from_numpy(track.mono(stem, 0, track.samples))
                self.audio[stem, offset : offset + track.samples] = mono.to(device)
        starts = [offsets[track] + start for track, start in segments.index]
        self.starts = torch.tensor(starts, device=device)
        self.span = torch.arange(segments.length, device=device)

    def __len__(self) -> int:
        return len(self.starts)

    def vocals(self, numbers: list[int]) -> Tensor:
        """Vocals of the given segments, batch x samples."""
        return self.audio[VOCALS][self._places(numbers)]

    def accompaniment(self, numbers: list[int]) -> Tensor:
        """Mixture minus vocals of the given segments, batch x samples."""
        places = self._places(numbers)
        return self.audio[MIXTURE][places] - self.audio[VOCALS][places]

    def _places(self, numbers: list[int]) -> Tensor:
        chosen = torch.tensor(numbers).to(self.device, non_blocking=True)
        return self.starts[chosen][:, None] + self.span


def on_device(segments: TrainingSegments, device: torch.device) -> Segments:
    """The recordings in a GPU's memory when they take no more than half of what is free there."""
    if device.type != "cuda":
        return segments
    size = 8 * sum(track.samples for track in segments.tracks)
    free, _ = torch.cuda.mem_get_info(device)
    return ResidentSegments(segments, device) if size <= MEMORY_SHARE * free else segments


def training_batches(
    segments: Segments, batch_size: int, shard: Shard, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of (vocals, accompaniment), each shuffled independently.

    A rest smaller than a batch is left out. Draws from PyTorch's global generator, before the
    first batch.

    Args:
        segments: what to draw from.
        batch_size: of all processes together.
        shard: which part of each batch is read.
        device: where the batches go; a GPU's are read ahead by a thread.

    Yields:
        Two tensors of (batch_size / processes) x samples on the device.
    """
    orders = [torch.randperm(len(segments)).tolist() for _ in range(2)]
    plan = []
    for step in range(len(segments) // batch_size):
        part = slice(step * batch_size, (step + 1) * batch_size)
        plan.append([shard.items(order[part]) for order in orders])
    if device.type == "cuda" and isinstance(segments, TrainingSegments):
        yield from _read_ahead(segments, plan, device)
        return
    for for_vocals, for_accompaniment in plan:
        yield segments.vocals(for_vocals), segments.accompaniment(for_accompaniment)


def _read_ahead(
    segments: Segments, plan: list[list[list[int]]], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Read in a thread, into pinned memory, while the device computes.

    The copy to the device does not stop this process, but waits there for what was asked before.
    """
    ready: queue.Queue[tuple[Tensor, Tensor] | BaseException] = queue.Queue(AHEAD)
    stopped = threading.Event()
    pin = torch.cuda.is_available()

    def offer(item: tuple[Tensor, Tensor] | BaseException) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for numbers in plan:
                pair = segments.vocals(numbers[0]), segments.accompaniment(numbers[1])
                offer((pair[0].pin_memory(), pair[1].pin_memory()) if pin else pair)
                if stopped.is_set():
                    return
        except BaseException as error:  # handed to whoever is waiting for a batch
            offer(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        for _ in plan:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item[0].to(device, non_blocking=True), item[1].to(device, non_blocking=True)
    finally:
        stopped.set()
        thread.join()
