"""The network of Open-Unmix: magnitudes of a mixture in, a mask for one target out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

DROPOUT = 0.4  # between the layers of the LSTM, in training


class Network(nn.Module):
    """Dense layer, bidirectional LSTM with a way around it, and two dense layers.

    Stöter et al. (JOSS 2019), *Open-Unmix - A Reference Implementation for Music Source
    Separation*. Weights have the names that they have in files of the package ``openunmix``. The
    package's own module cuts the gradient on its way back to the mixture; this one does not.

    Args:
        bins: of the transform, all of which are masked.
        channels: of the recordings.
        hidden_size: units; even.
        nb_layers: of the LSTM.
        heard_bins: the lowest of the bins, which the network hears.
    """

    def __init__(
        self, bins: int, channels: int, hidden_size: int, nb_layers: int, heard_bins: int
    ) -> None:
        super().__init__()
        self.bins, self.channels, self.heard_bins = bins, channels, heard_bins
        self.fc1 = nn.Linear(heard_bins * channels, hidden_size, bias=False)
        self.bn1 = nn.BatchNorm1d(hidden_size)
        self.lstm = nn.LSTM(
            hidden_size,
            hidden_size // 2,
            nb_layers,
            bidirectional=True,
            dropout=DROPOUT if nb_layers > 1 else 0.0,
        )
        self.fc2 = nn.Linear(2 * hidden_size, hidden_size, bias=False)
        self.bn2 = nn.BatchNorm1d(hidden_size)
        self.fc3 = nn.Linear(hidden_size, bins * channels, bias=False)
        self.bn3 = nn.BatchNorm1d(bins * channels)
        # Added and multiplied: minus the mean of a bin, and one over its deviation.
        self.input_mean = nn.Parameter(torch.zeros(heard_bins))
        self.input_scale = nn.Parameter(torch.ones(heard_bins))
        self.output_scale = nn.Parameter(torch.ones(bins))
        self.output_mean = nn.Parameter(torch.ones(bins))

    def forward(self, magnitude: Tensor) -> Tensor:
        """Make the mask.

        Args:
            magnitude: of the mixture's transform, batch x channels x bins x frames.

        Returns:
            What the magnitudes are multiplied with, not negative, same shape.
        """
        batch, channels, _, frames = magnitude.shape
        heard = magnitude.permute(3, 0, 1, 2)[..., : self.heard_bins]
        heard = (heard + self.input_mean) * self.input_scale
        # Frames of all items are one batch to the dense layers and their normalization.
        hidden = self.bn1(self.fc1(heard.reshape(frames * batch, -1)))
        hidden = torch.tanh(hidden.view(frames, batch, -1))
        with _differentiable(self.lstm):
            remembered, _ = self.lstm(hidden)
        both = torch.cat([hidden, remembered], dim=-1).flatten(0, 1)
        mask = self.bn3(self.fc3(torch.relu(self.bn2(self.fc2(both)))))
        mask = mask.view(frames, batch, channels, self.bins)
        return torch.relu(mask * self.output_scale + self.output_mean).permute(1, 2, 3, 0)


@contextmanager
def _differentiable(lstm: nn.LSTM) -> Iterator[None]:
    """Let cuDNN compute a gradient through an LSTM in evaluation mode.

    It does so in training mode only, which is the same function when nothing is dropped.
    """
    weight = lstm.weight_hh_l0
    if lstm.training or not (isinstance(weight, Tensor) and weight.is_cuda):
        yield
        return
    dropout = lstm.dropout
    lstm.dropout, lstm.training = 0.0, True
    try:
        yield
    finally:
        lstm.dropout, lstm.training = dropout, False
