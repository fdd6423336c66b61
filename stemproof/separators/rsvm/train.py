"""Train a variant of RSVM: read it from top to bottom."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint
from stemproof.core.finite import Watch
from stemproof.core.forecast import Forecast
from stemproof.core.progress import Progress
from stemproof.core.resume import code_fingerprint
from stemproof.core.room import announce
from stemproof.core.runtime import shard_of
from stemproof.core.shards import Shard
from stemproof.data.loading import on_device, training_batches
from stemproof.data.store import too_loud
from stemproof.separators.kind import Making, Row
from stemproof.separators.rsvm.model import RSVM, build_model
from stemproof.separators.rsvm.objective import step_terms
from stemproof.separators.rsvm.params import FamilyParams, RSVMSettings
from stemproof.separators.rsvm.separator import as_separator
from stemproof.separators.rsvm.state import is_scaled, load_state, save_state, state_bytes
from stemproof.separators.validation import beside_bar, validate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SHOW_EVERY = 20  # steps
CHECK_EVERY = 100  # steps; asking whether all were numbers waits for the device


@dataclass
class Trained:
    """A trained model and its curves, one row per epoch."""

    model: RSVM
    curves: list[Row]


def train(making: Making, variant: RSVMSettings) -> Trained:
    """Train a variant on the training split, validating after every epoch.

    The recipe is that of the public RSVM code: vocals and accompaniment segments are drawn
    independently; the encoder and decoder reconstruct the vocals from a noisy copy, while the
    regularizer smooths the coefficients of the mix. A variant with ``adversarial`` also learns to
    separate mixtures that are attacked.

    A run of the same settings, data, code and kind of device goes on from ``making.resume``, which
    is written after every epoch.

    Args:
        making: data, recipe and device.
        variant: what sets it apart.

    Raises:
        InputError: there are fewer segments than one batch holds, a batch cannot be shared evenly,
            or a loss, a gradient or a weight is not finite.
    """
    fabric, shard = making.fabric, shard_of(making.fabric)
    family: FamilyParams = making.shared
    recipe = family.training
    if variant.regularizer is not None:
        recipe = recipe.model_copy(update={"regularizer": variant.regularizer})
    segments = making.data.training_segments(making.segments)
    steps = len(segments) // recipe.batch_size
    if steps == 0:
        raise InputError(
            f"rsvm.training.batch_size = {recipe.batch_size}, but there are only {len(segments)} "
            "segments"
        )
    if recipe.batch_size % shard.count:
        raise InputError(
            f"rsvm.training.batch_size = {recipe.batch_size} cannot be shared by {shard.count} "
            "processes; make it a multiple of processes.devices x processes.nodes"
        )
    model = build_model(
        family.sizes, variant, making.data.sample_rate, making.segment_samples, making.seed
    )
    model.encoder.dropout.shard = shard
    if making.compiled:
        model.compile_parts()
    # On a GPU Adam's many small kernels take a third of all kernels' time, unless they are one.
    fused = True if fabric.device.type == "cuda" else None
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=fused)
    model, optimizer = fabric.setup(model, optimizer)
    for method in ("encode", "decode"):
        model.mark_forward_method(method)
    precise = InPrecision(model, fabric)
    run = _fingerprint(making, variant, model, fabric)
    curves = load_state(making.resume, run, model, optimizer, fabric)
    if shard.is_first and not curves:
        announce(f"train {making.name}", making.resume, state_bytes(model.module))
    progress = Progress(
        total=recipe.epochs * steps,
        initial=len(curves) * steps,
        desc=f"train {making.name}, seed {making.seed}",
        unit="step",
        disable=not shard.is_first,
    )
    forecast = Forecast.of(progress, fabric.device)
    advice = partial(_advice, making, "train")
    source = on_device(segments, fabric.device)
    for epoch in range(len(curves), recipe.epochs):
        # One seed an epoch: shuffling, noise and dropout do not depend on where a run resumed.
        torch.manual_seed(making.seed * 10_007 + epoch)
        model.train()
        sums: dict[str, Tensor] = {}
        watch = Watch(scaled=is_scaled(fabric))
        for vocals, accompaniment in training_batches(
            source, recipe.batch_size, shard, fabric.device
        ):
            terms = step_terms(precise, vocals, accompaniment, recipe, variant.adversarial, shard)
            optimizer.zero_grad()
            # Gradients are averaged over processes; those of a sum's parts have to be added.
            fabric.backward(terms["loss"] * shard.count)
            watch.step(terms["loss"], model.parameters())
            optimizer.step()
            forecast.step()
            for term, value in terms.items():
                sums[term] = sums.get(term, 0) + value.detach()
            # Reading a loss waits for the device; a bar that is not shown does not count.
            if shard.is_first and progress.n % SHOW_EVERY == 0:
                shown = {term: value.item() for term, value in terms.items()}
                progress.set_postfix(beside_bar(epoch, recipe.epochs, shown, curves))
            progress.update()
            if watch.waiting == CHECK_EVERY:
                watch.check(epoch + 1, advice, making.resume)
        watch.check(epoch + 1, advice, making.resume, model.module)
        means = {term: value.item() / steps for term, value in sums.items()}
        curves.append(_epoch_row(epoch, means, model.module, making, shard))
        if shard.is_first:
            save_state(making.resume, run, model, optimizer, fabric, curves)
        shard.wait()
    progress.close()
    return Trained(model.module, curves)


@dataclass(frozen=True)
class InPrecision:
    """A model whose ``encode`` and ``decode`` compute in the fabric's precision and give float32.

    Fabric does this by itself only where it wraps the model, that is for several processes.
    """

    model: Any
    fabric: Fabric

    @property
    def module(self) -> RSVM:
        """The model itself."""
        module: RSVM = self.model.module
        return module

    def encode(self, waveform: Tensor) -> Tensor:
        """Batch x samples to batch x channels x frames."""
        with self.fabric.autocast():
            coefficients: Tensor = self.model.encode(waveform)
        return coefficients.float()

    def decode(self, coefficients: Tensor) -> Tensor:
        """Batch x channels x frames to batch x samples."""
        with self.fabric.autocast():
            waveform: Tensor = self.model.decode(coefficients)
        return waveform.float()

    def train(self) -> None:
        """With dropout."""
        self.model.train()

    def eval(self) -> None:
        """Without dropout."""
        self.model.eval()


def _epoch_row(epoch: int, means: Row, model: RSVM, making: Making, shard: Shard) -> Row:
    # The model itself is left as it is: a frozen copy is validated.
    separator = as_separator(copy.deepcopy(model))
    device = next(model.parameters()).device
    found = validate(separator, making.data.tracks("valid"), making.segments, device, shard)
    if not all(math.isfinite(figure) for figure in found.values()):
        advice = _advice(making, "valid")
        raise InputError(f"no figure of validation is a number in epoch {epoch + 1}; {advice}")
    row = {"epoch": epoch + 1, **means, **found}
    if model.encoder.attention is not None:
        row["gate"] = model.encoder.attention.gate.item()
    return row


def _advice(making: Making, split: str) -> str:
    """What to do about numbers that are none: samples of a split may be to blame."""
    return too_loud(making.data.tracks(split)) or "lower rsvm.training.learning_rate"


def _fingerprint(making: Making, variant: RSVMSettings, model: Any, fabric: Fabric) -> str:
    """A hash of everything that the weights depend on."""
    parts = (making.shared, variant, making.segments)
    settings = [part.model_dump(mode="json") for part in parts]
    shapes = {key: list(weight.shape) for key, weight in model.module.state_dict().items()}
    runtime = [
        making.compiled,
        fabric.world_size,
        str(fabric.strategy.precision.precision),
        torch.get_num_threads(),
        torch.backends.cuda.matmul.allow_tf32,
        fabric.device.type,
    ]
    computed_by = [code_fingerprint(), torch.__version__, runtime]
    identity = [making.name, making.seed, making.data.fingerprint]
    return fingerprint(settings, identity, shapes, computed_by)
