"""Transform, networks and filter: the whole of Open-Unmix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stemproof.separators.openunmix.network import Network
from stemproof.separators.openunmix.transform import Transform
from stemproof.separators.openunmix.wiener import Wiener
from stemproof.separators.protocol import Side

VOCALS = "vocals"


class OpenUnmix(nn.Module):
    """A network a target, of which the vocals come out.

    Args:
        settings: plain values. ``sample_rate`` in Hz, ``channels``, ``n_fft`` and ``n_hop`` in
            samples; ``targets``, names of which one is ``vocals``; ``networks``, for each of them
            ``hidden_size``, ``nb_layers`` and ``heard_bins``; ``niter``, ``residual`` and
            ``wiener_frames`` of the filter; ``window`` in seconds.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.sample_rate, self.channels = int(settings["sample_rate"]), int(settings["channels"])
        self.seconds = float(settings["window"])
        self.transform = Transform(int(settings["n_fft"]), int(settings["n_hop"]))
        self.networks = nn.ModuleList(
            Network(self.transform.bins, self.channels, **sizes) for sizes in settings["networks"]
        )
        self.vocals = settings["targets"].index(VOCALS)
        iterations = int(settings["niter"])
        self.wiener = (
            Wiener(iterations, bool(settings["residual"]), int(settings["wiener_frames"]))
            if iterations
            else None
        )

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        """Estimate the vocals in one pass; batch x channels x samples both ways.

        Raises:
            InputError: the mixture is shorter than a frame needs.
        """
        spectrum = self.transform.analyze(mixture)
        magnitude = spectrum.abs()
        if self.wiener is None:
            # Magnitude times mask with the mixture's phase: the masked mixture.
            estimate = spectrum * self.networks[self.vocals](magnitude)
        else:
            masks = torch.stack([network(magnitude) for network in self.networks], dim=1)
            estimate = self.wiener(masks, spectrum, self.vocals)
        return self.transform.synthesize(estimate, mixture.shape[-1])
