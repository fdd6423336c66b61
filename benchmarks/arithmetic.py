"""How much of the machine's arithmetic is used: training and attack against matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from harness import Row, Sizes, Times, race
from project import Params, baseline, parameters
from stemproof.attacks.build import build_attack
from stemproof.attacks.case import Case
from stemproof.attacks.pgd import build_pgd
from stemproof.separators.rsvm.framing import analyze, padding, synthesize
from stemproof.separators.rsvm.objective import training_losses
from stemproof.separators.rsvm.separator import as_separator


def rows(sizes: Sizes) -> list[Row]:
    """A training step and a PGD step against products, and convolutions in polyphase form."""
    params = parameters(sizes)
    segments = sizes.of(16, 2)
    return [
        training_step(params, sizes),
        pgd_step(params, sizes, segments),
        against_strides(params, sizes, segments),
    ]


def operations(params: Params, items: int) -> dict[str, float]:
    """Multiply-adds times two of one forward pass over some segments, by part."""
    model = params.rsvm.sizes
    frames = -(-params.segment_samples // model.hop)
    return {
        "conv1": 2.0 * items * model.channels * model.kernel * frames,
        "conv2": 2.0 * items * model.channels * model.channels * 5 * frames,
        "decoder": 2.0 * items * model.channels * model.kernel * frames,
    }


def training_operations(params: Params) -> float:
    """Noisy vocals and mix through the encoder, the vocals through the decoder, and back.

    Back through a layer costs twice its forward pass: once for its input, once for its weights.
    The first layer's input needs no gradient.
    """
    batch = params.rsvm.training.batch_size
    encoder, decoder = operations(params, 2 * batch), operations(params, batch)["decoder"]
    return 2 * encoder["conv1"] + 3 * encoder["conv2"] + 3 * decoder


def attack_operations(params: Params, items: int) -> float:
    """Forward, and back to the input; no gradient of any weight."""
    return 2 * sum(operations(params, items).values())


def matrix_products(size: int) -> tuple[float, dict[str, Callable[[], Any]]]:
    """Operations of one large product, and the two libraries' ways to compute it on a CPU.

    PyTorch sends products to its BLAS and convolutions to oneDNN; a convolution with one tap is a
    product too. Which is faster depends on the processor.
    """
    left, right = torch.randn(size, size), torch.randn(size, size)
    taps, signal = left[:, :, None], right[None]
    ways: dict[str, Callable[[], Any]] = {
        "BLAS": lambda: left @ right,
        "oneDNN": lambda: F.conv1d(signal, taps),
    }
    return 2.0 * size**3, ways


def share(name: str, side: Callable[[], Any], count: float, sizes: Sizes, rounds: int) -> Row:
    """Operations a second of a side, over those of the faster library.

    Args:
        name: of the row.
        side: what is timed.
        count: its operations.
        sizes: of the product.
        rounds: that count.
    """
    product, ways = matrix_products(sizes.of(2048, 64))
    times: Times = race({**ways, "side": side}, rounds)
    rates = {way: product / times.median(way) for way in ways}
    best = max(rates, key=lambda way: rates[way])
    said = ", ".join(f"{rate / 1e9:.0f} Gflop/s ({way})" for way, rate in rates.items())
    took = f"{count / 1e9:.1f} Gflop in {times.median('side') * 1e3:.0f} ms"
    detail = f"{took}; products run at {said}"
    return times.row(name, best, "side", 0.75, detail, count / product)


def training_step(params: Params, sizes: Sizes) -> Row:
    """With the optimizer's step."""
    model, recipe = baseline(params), params.rsvm.training
    vocals, rest = (0.1 * torch.randn(recipe.batch_size, params.segment_samples) for _ in range(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)

    def step() -> None:
        distortion, roughness = training_losses(model, vocals, rest, recipe)
        optimizer.zero_grad()
        torch.autograd.backward(distortion + recipe.regularizer_weight * roughness)
        optimizer.step()

    name = "training step: share of the matrix-product rate"
    return share(name, step, training_operations(params), sizes, sizes.rounds)


def pgd_step(params: Params, sizes: Sizes, segments: int) -> Row:
    """PGD as the stage runs it, with all that belongs to a step."""
    shape = segments, 1, params.segment_samples
    mixture, voice = (0.1 * torch.randn(shape) for _ in range(2))
    bound, attack = params.attack.bound, build_attack(params.attack)
    case = Case.of(as_separator(baseline(params)), mixture, voice, bound, range(segments))
    # The last iterate is scored with a forward pass, half a step.
    steps = build_pgd(params.attack).steps + 0.5
    return share(
        "PGD step: share of the matrix-product rate",
        lambda: attack(case.within(bound)),
        steps * attack_operations(params, segments),
        sizes,
        sizes.of(5, 1),
    )


def against_strides(params: Params, sizes: Sizes, segments: int) -> Row:
    """Convolutions that move on by a hop, in polyphase form against ordinary ones."""
    hop, samples = params.rsvm.sizes.hop, params.segment_samples
    waveform = torch.randn(segments, samples)
    filters = baseline(params).encoder.conv_a1.weight.detach()
    coefficients = analyze(waveform, filters, hop)
    before, after = padding(samples, params.rsvm.sizes.kernel, hop)

    def strided() -> None:
        padded = F.pad(waveform, (before, after))
        F.conv1d(padded[:, None], filters, stride=hop)
        F.conv_transpose1d(coefficients, filters, stride=hop)

    def polyphase() -> None:
        analyze(waveform, filters, hop)
        synthesize(coefficients, filters, hop, samples)

    return race({"strided": strided, "polyphase": polyphase}, sizes.rounds).row(
        "polyphase convolutions: times a stride",
        "strided",
        "polyphase",
        1.0,
        f"analysis and synthesis of {segments} segments, forward",
    )
