"""What Open-Unmix is trained and validated on: excerpts, and the statistics of all mixtures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.data.store import MIXTURE, VOCALS, PreparedTrack
from stemproof.separators.openunmix.transform import Transform

LOWEST_GAIN, HIGHEST_GAIN = 0.25, 1.25
FRAMES = 1000  # read and transformed at a time
LEAST_DEVIATION = 1e-4  # of a bin, relative to the largest


@dataclass(frozen=True)
class Excerpts:
    """Excerpts of the training tracks.

    The recipe is Open-Unmix's for MUSDB18: every source is of a track and a place of its own, has
    a gain of its own, and is mirrored by chance. Vocals and accompaniment are the sources here.

    Attributes:
        tracks: of the training split.
        length: samples of an excerpt.
    """

    tracks: Sequence[PreparedTrack]
    length: int

    def batches(self, samples: int, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch; a rest smaller than a batch is left out.

        Draws from PyTorch's global generator, before the first batch.

        Args:
            samples: excerpts an epoch.
            batch_size: excerpts a batch.

        Yields:
            Mixtures and vocals, each batch x channels x samples.
        """
        shape = samples // batch_size, batch_size, 2
        chosen = torch.randint(len(self.tracks), shape)
        places = torch.rand(shape, dtype=torch.float64)
        gains = torch.empty(shape).uniform_(LOWEST_GAIN, HIGHEST_GAIN)
        swapped = torch.rand(shape) < 0.5
        for step in range(shape[0]):
            sources = [
                torch.stack(
                    [
                        self._cut(source, *draw)
                        for draw in zip(
                            chosen[step, :, source].tolist(),
                            places[step, :, source].tolist(),
                            gains[step, :, source].tolist(),
                            swapped[step, :, source].tolist(),
                            strict=True,
                        )
                    ]
                )
                for source in (VOCALS, MIXTURE)
            ]
            yield sources[0] + sources[1], sources[0]

    def _cut(self, source: int, number: int, place: float, gain: float, swapped: bool) -> Tensor:
        """Vocals, or what a mixture has beside them."""
        track = self.tracks[number]
        start = int(place * (track.samples - self.length + 1))
        audio = track.read(VOCALS, start, self.length)
        if source == MIXTURE:
            audio = track.read(MIXTURE, start, self.length) - audio
        if swapped and len(audio) == 2:
            audio = audio[::-1]
        return torch.from_numpy(audio * np.float32(gain))


def check_lengths(tracks: Sequence[PreparedTrack], length: int, parameter: str) -> None:
    """Every track has to hold an excerpt.

    Raises:
        InputError: there is no track, or one is shorter.
    """
    if not tracks:
        raise InputError("the prepared data lacks training or validation tracks; prepare others")
    for track in tracks:
        if track.samples < length:
            raise InputError(
                f"{parameter} makes excerpts of {length} samples, but {track.name} has only "
                f"{track.samples}; lower it"
            )


def statistics(
    tracks: Sequence[PreparedTrack], transform: Transform, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the magnitude of every bin, over frames of all mixtures.

    They are taken of the mean over channels, as the script that trained the published models does
    (``get_statistics`` of ``scripts/train.py`` in sigsep/open-unmix-pytorch), which keeps
    deviations above :data:`LEAST_DEVIATION`, too.

    Args:
        tracks: of the training split.
        transform: gives the bins.
        device: where to compute.

    Returns:
        Two vectors of float64, a value a bin.
    """
    total = torch.zeros(transform.bins, dtype=torch.float64, device=device)
    squares, count = torch.zeros_like(total), 0
    for track in tracks:
        frames = max(track.samples - transform.n_fft, 0) // transform.n_hop + 1
        for first in range(0, frames, FRAMES):
            taken = min(FRAMES, frames - first)
            length = (taken - 1) * transform.n_hop + transform.n_fft
            audio = torch.from_numpy(track.read(MIXTURE, first * transform.n_hop, length))
            spectrum = transform.analyze(audio[None].to(device), centered=False)
            magnitude = spectrum[0].abs().mean(dim=0).double()
            total += magnitude.sum(dim=-1)
            squares += magnitude.square().sum(dim=-1)
            count += taken
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
    largest = deviation.max()
    # Of silence alone there is nothing to scale.
    return mean, deviation.clamp_min(float(largest) * LEAST_DEVIATION if largest > 0 else 1.0)
