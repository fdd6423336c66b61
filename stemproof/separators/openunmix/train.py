"""Train a small Open-Unmix for vocals: read it from top to bottom."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint
from stemproof.core.finite import Watch
from stemproof.core.forecast import Forecast
from stemproof.core.progress import Progress
from stemproof.core.random import derive_seed
from stemproof.core.resume import code_fingerprint
from stemproof.core.room import announce
from stemproof.core.runtime import shard_of
from stemproof.data import store
from stemproof.data.store import PreparedTrack, too_loud
from stemproof.separators.kind import Making, Row
from stemproof.separators.openunmix.excerpts import Excerpts, check_lengths, statistics
from stemproof.separators.openunmix.model import VOCALS, OpenUnmix
from stemproof.separators.openunmix.params import OpenUnmixSettings, TrainingSettings
from stemproof.separators.openunmix.separator import BlindOpenUnmix
from stemproof.separators.openunmix.transform import bins_up_to
from stemproof.separators.rsvm.state import is_scaled, load_state, save_state, state_bytes
from stemproof.separators.validation import beside_bar, validate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SHOW_EVERY = 5  # steps
CHECK_EVERY = 100  # steps; asking whether all were numbers waits for the device


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: with its weights.
        settings: that it is rebuilt from.
        curves: one row an epoch.
    """

    model: OpenUnmix
    settings: dict[str, Any]
    curves: list[Row]


def train(making: Making, own: OpenUnmixSettings) -> Trained:
    """Train on the training split, validating after every epoch.

    The recipe is that of Open-Unmix (Stöter et al., JOSS 2019, and ``scripts/train.py`` of
    sigsep/open-unmix-pytorch): the squared error of the masked magnitudes against those of the
    vocals, Adam, excerpts that are mixed at random. The learning rate falls as a cosine
    (Loshchilov and Hutter, 2017) in the place of the recipe's, which waits for 80 epochs without
    progress; the weights are those of the last epoch.

    The normalization of the network needs the whole batch: of several processes each computes all
    of it. A run of the same settings, data, code and kind of device goes on from
    ``making.resume``, which is written after every epoch.

    Args:
        making: data and device.
        own: sizes and recipe.

    Raises:
        InputError: a track is shorter than an excerpt, an excerpt shorter than a frame, or a
            loss, a gradient or a weight is not finite.
    """
    fabric, shard, recipe = making.fabric, shard_of(making.fabric), own.training
    length = round(recipe.seconds * making.data.sample_rate)
    tracks, held_out = making.data.tracks("train"), making.data.tracks("valid")
    for split in (tracks, held_out):
        check_lengths(split, length, _parameter(making, f"seconds = {recipe.seconds:g}"))
    if length < own.network.n_fft:
        raise InputError(
            _parameter(making, f"seconds = {recipe.seconds:g}") + f" makes excerpts of {length} "
            f"samples, fewer than network.n_fft = {own.network.n_fft}; raise it"
        )
    settings = _settings(making, own, len(tracks[0].mixture))
    torch.manual_seed(derive_seed("openunmix", "initial weights", making.seed))
    model = OpenUnmix(settings).to(fabric.device)
    network = model.networks[0]
    optimizer = torch.optim.Adam(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    network, optimizer = fabric.setup(network, optimizer)
    run = _fingerprint(making, own, network, fabric)
    curves = load_state(making.resume, run, network, optimizer, fabric)
    if not curves:
        mean, deviation = statistics(tracks, model.transform, fabric.device)
        heard = network.module.heard_bins
        with torch.no_grad():
            network.module.input_mean.copy_(-mean[:heard])
            network.module.input_scale.copy_(1 / deviation[:heard])
    excerpts = Excerpts(tracks, length)
    steps = recipe.samples // recipe.batch_size
    if shard.is_first and not curves:
        announce(f"train {making.name}", making.resume, state_bytes(network.module))
    progress = Progress(
        total=recipe.epochs * steps,
        initial=len(curves) * steps,
        desc=f"train {making.name}, seed {making.seed}",
        unit="step",
        disable=not shard.is_first,
    )
    forecast = Forecast.of(progress, fabric.device)
    advice = partial(_advice, making, "train")
    loss_of = _Loss(model, network, fabric)
    for epoch in range(len(curves), recipe.epochs):
        # One seed an epoch: excerpts and dropout do not depend on where a run resumed.
        torch.manual_seed(derive_seed("openunmix", making.seed, epoch))
        network.train()
        total = torch.zeros((), device=fabric.device)
        batches = excerpts.batches(recipe.samples, recipe.batch_size)
        watch = Watch(scaled=is_scaled(fabric))
        for step, (mixture, vocals) in enumerate(batches):
            _set_rate(optimizer, _rate(recipe, epoch + step / steps))
            loss = loss_of(mixture, vocals)
            optimizer.zero_grad()
            fabric.backward(loss)
            watch.step(loss, network.parameters())
            optimizer.step()
            forecast.step()
            total += loss.detach()
            if shard.is_first and step % SHOW_EVERY == 0:
                shown = {"loss": loss.item()}
                progress.set_postfix(beside_bar(epoch, recipe.epochs, shown, curves))
            progress.update()
            if watch.waiting == CHECK_EVERY:
                watch.check(epoch + 1, advice, making.resume)
        watch.check(epoch + 1, advice, making.resume, network.module)
        curves.append(_epoch_row(epoch, total.item() / steps, loss_of, making, length))
        # A run that goes on sets the rate anew: what is kept is the one that it began with.
        _set_rate(optimizer, recipe.learning_rate)
        if shard.is_first:
            save_state(making.resume, run, network, optimizer, fabric, curves)
        shard.wait()
    progress.close()
    return Trained(model, settings, curves)


@dataclass(frozen=True)
class _Loss:
    """The mean squared error of the masked magnitudes, over channels, bins and frames."""

    model: OpenUnmix
    network: Any  # as Fabric set it up
    fabric: Fabric

    def __call__(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        """Of a batch, each batch x channels x samples."""
        heard, target = (
            self.model.transform.analyze(part.to(self.fabric.device), centered=False).abs()
            for part in (mixture, vocals)
        )
        with self.fabric.autocast():
            mask = self.network(heard)
        return F.mse_loss(mask.float() * heard, target)

    def held_out(self, tracks: list[PreparedTrack], length: int) -> float:
        """Mean over the excerpts of validation tracks, cut without overlap."""
        losses = []
        self.network.eval()
        with torch.no_grad():
            for track in tracks:
                for number in range(track.count(length)):
                    parts = (
                        torch.from_numpy(track.read(stem, number * length, length))[None]
                        for stem in (store.MIXTURE, store.VOCALS)
                    )
                    losses.append(self(*parts).item())
        return sum(losses) / len(losses)


def _settings(making: Making, own: OpenUnmixSettings, channels: int) -> dict[str, Any]:
    sizes = own.network
    rate = making.data.sample_rate
    return {
        "sample_rate": rate,
        "channels": channels,
        "n_fft": sizes.n_fft,
        "n_hop": sizes.n_hop,
        "targets": [VOCALS],
        "networks": [
            {
                "hidden_size": sizes.hidden_size,
                "nb_layers": sizes.nb_layers,
                "heard_bins": bins_up_to(sizes.bandwidth, sizes.n_fft, rate),
            }
        ],
        "niter": own.niter,
        "residual": own.residual,
        "wiener_frames": own.wiener_frames,
        "window": own.window,
        "training": own.training.model_dump(mode="json"),
    }


def _parameter(making: Making, what: str) -> str:
    return f"separators.{making.name}.training.{what}"


def _rate(recipe: TrainingSettings, epoch: float) -> float:
    """The learning rate, epochs counted from 0 with a fraction."""
    return recipe.learning_rate * (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2


def _set_rate(optimizer: Any, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _epoch_row(epoch: int, loss: float, loss_of: _Loss, making: Making, length: int) -> Row:
    held_out = making.data.tracks("valid")
    row = {"epoch": epoch + 1, "loss": loss, "valid_loss": loss_of.held_out(held_out, length)}
    # The model itself is left as it is: a frozen copy is validated.
    separator = BlindOpenUnmix(copy.deepcopy(loss_of.model))
    device = making.fabric.device
    row |= validate(separator, held_out, making.segments, device, shard_of(making.fabric))
    if not all(math.isfinite(figure) for figure in row.values()):
        advice = _advice(making, "valid")
        raise InputError(f"no figure of validation is a number in epoch {epoch + 1}; {advice}")
    return row


def _advice(making: Making, split: str) -> str:
    """What to do about numbers that are none: samples of a split may be to blame."""
    lower = f"lower {_parameter(making, 'learning_rate')}"
    return too_loud(making.data.tracks(split)) or lower


def _fingerprint(making: Making, own: OpenUnmixSettings, network: Any, fabric: Fabric) -> str:
    """A hash of everything that the weights depend on."""
    settings = [part.model_dump(mode="json") for part in (own, making.segments)]
    shapes = {key: list(weight.shape) for key, weight in network.module.state_dict().items()}
    runtime = [
        str(fabric.strategy.precision.precision),
        torch.get_num_threads(),
        torch.backends.cuda.matmul.allow_tf32,
        fabric.device.type,
    ]
    computed_by = [code_fingerprint(), torch.__version__, runtime]
    identity = [making.name, making.seed, making.data.fingerprint]
    return fingerprint(settings, identity, shapes, computed_by)
