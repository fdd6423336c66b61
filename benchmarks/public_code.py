"""Is it faster than the way of the public RSVM code, and the same? Training step and test loop."""

from __future__ import annotations

import torch
from torch import Tensor

import reference
from harness import Row, Sizes, race
from project import Params, baseline, parameters
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.protocol import side_of
from stemproof.separators.rsvm.objective import training_losses
from stemproof.separators.rsvm.separator import as_separator


def rows(sizes: Sizes) -> list[Row]:
    """Both."""
    params = parameters(sizes)
    return [training_step(params, sizes), test_loop(params, sizes)]


def training_step(params: Params, sizes: Sizes) -> Row:
    """Forward and backward, without the optimizer's step."""
    model, recipe = baseline(params), params.rsvm.training
    vocals, rest = (0.1 * torch.randn(recipe.batch_size, params.segment_samples) for _ in range(2))

    def ours() -> None:
        distortion, roughness = training_losses(model, vocals, rest, recipe)
        model.zero_grad()
        torch.autograd.backward(distortion + recipe.regularizer_weight * roughness)

    def theirs() -> None:
        model.zero_grad()
        torch.autograd.backward(reference.training_loss(model, vocals, rest))

    times = race({"ours": ours, "theirs": theirs}, sizes.rounds)
    return times.row("training step: times the reference's way", "theirs", "ours", 1.0)


def test_loop(params: Params, sizes: Sizes) -> Row:
    """SI-SDR of all segments at once, against one at a time."""
    model = baseline(params)
    separator = as_separator(model)
    shape = sizes.of(16, 2), 1, params.segment_samples
    mixture, voice = (0.1 * torch.randn(shape) for _ in range(2))

    def ours() -> Tensor:
        with torch.no_grad():
            estimate = separator.separate(mixture, side_of(separator, mixture, voice))
            return si_sdr(voice[:, 0], estimate[:, 0])

    def theirs() -> Tensor:
        return reference.test_loop(model, mixture[:, 0], voice[:, 0])

    detail = f"largest difference {float((ours() - theirs()).abs().max()):.1e} dB"
    times = race({"ours": ours, "theirs": theirs}, sizes.rounds)
    return times.row("test loop: times the reference's way", "theirs", "ours", 1.5, detail)
