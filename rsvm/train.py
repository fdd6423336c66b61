"""Train one variant: read it from top to bottom."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from rsvm.data.loading import on_device, training_batches
from rsvm.data.store import PreparedData, PreparedTrack, loud_mask
from rsvm.errors import InputError, out_of_memory
from rsvm.files import code_fingerprint, fingerprint, is_there, opened, written_aside
from rsvm.losses import neg_snr, regularizer
from rsvm.medians import median_of_medians
from rsvm.metrics import si_sdr
from rsvm.model.rsvm import RSVM, build_model
from rsvm.model.stft import STFT
from rsvm.params import AdversarialParams, Params, TrainParams
from rsvm.published import load_published
from rsvm.runtime import shard_of
from rsvm.separator import InformedRSVM, batches, informed, too_loud
from rsvm.sharding import WHOLE, Shard, draw_like

Row = dict[str, float]
SHOW_EVERY = 20  # steps
VALIDATION_BATCH = 16  # segments


@dataclass
class Trained:
    """A trained model and its curves, one row per epoch."""

    model: RSVM | STFT
    curves: list[Row]


def obtain(
    params: Params,
    name: str,
    seed: int,
    data: PreparedData,
    fabric: Fabric,
    resume: Path,
    published: Path,
) -> Trained:
    """Train a variant, or take it as it is: a published checkpoint, or the STFT.

    Args:
        params: the whole tree.
        name: the variant.
        seed: of the training.
        data: prepared data.
        fabric: the device.
        resume: see :func:`train`.
        published: folder with ``analysis_ID.pytorch`` and ``synthesis_ID.pytorch``.

    Raises:
        InputError: unknown variant, or an unusable checkpoint.
    """
    variant = params.variant(name)
    if variant.is_trained:
        return train(params, name, seed, data, fabric, resume)
    model: RSVM | STFT
    if variant.published is None:
        model = STFT(params.model)
    else:
        model = _published_model(params, name, variant.published, published)
    valid_si_sdr, valid_bs = validate(model, data.tracks("valid"), params, torch.device("cpu"))
    row = {"epoch": 0, "valid_si_sdr": valid_si_sdr, "valid_bs": valid_bs}
    return Trained(model, [row])


def _published_model(params: Params, name: str, identity: str, folder: Path) -> RSVM:
    model = load_published(
        folder / f"analysis_{identity}.pytorch",
        folder / f"synthesis_{identity}.pytorch",
        kernel=params.model.kernel,
        hop=params.model.hop,
        sample_rate=params.data.sample_rate,
        segment_seconds=params.segments.seconds,
    )
    channels = model.encoder.conv_a1.out_channels
    if channels != params.model.channels:
        raise InputError(
            f"variants.{name}: the published model has {channels} channels, "
            f"but model.channels = {params.model.channels}"
        )
    return model


def describe(trained: Trained) -> dict[str, Any]:
    """The content of ``metrics/train/<variant>/<seed>.json``: sizes and the last epoch."""
    weights = dict(trained.model.named_parameters())
    counts = {
        key: sum(weight.numel() for name, weight in weights.items() if name.startswith(part))
        for key, part in (
            ("parameters", ""),
            ("parameters_encoder", "encoder."),
            ("parameters_decoder", "decoder."),
        )
    }
    return {**counts, **trained.curves[-1]}


def train(
    params: Params, name: str, seed: int, data: PreparedData, fabric: Fabric, resume: Path
) -> Trained:
    """Train a variant on the training split, validating after every epoch.

    The recipe is that of the public RSVM code: vocals and accompaniment segments are drawn
    independently; the encoder and decoder reconstruct the vocals from a noisy copy, while the
    regularizer smooths the coefficients of the mix. A variant with ``adversarial`` also learns to
    separate mixtures that are attacked.

    Args:
        params: the whole tree.
        name: the variant.
        seed: initial weights, shuffling, noise and dropout.
        data: prepared data.
        fabric: the device.
        resume: checkpoint written after every epoch; a run with the same parameters, data, code
            and kind of device goes on from it.

    Raises:
        InputError: there are fewer segments than one batch holds, a batch cannot be shared evenly,
            or the loss is not finite.
    """
    shard = shard_of(fabric)
    recipe, variant = params.train, params.variant(name)
    if variant.regularizer is not None:
        recipe = recipe.model_copy(update={"regularizer": variant.regularizer})
    segments = data.training_segments(params)
    steps = len(segments) // recipe.batch_size
    if steps == 0:
        raise InputError(
            f"train.batch_size = {recipe.batch_size}, but there are only {len(segments)} segments"
        )
    if recipe.batch_size % shard.count:
        raise InputError(
            f"train.batch_size = {recipe.batch_size} cannot be shared by {shard.count} processes; "
            "make it a multiple of runtime.devices x runtime.nodes"
        )
    model = build_model(params, variant, seed)
    model.encoder.dropout.shard = shard
    if params.runtime.compile:
        model.compile_parts()
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    model, optimizer = fabric.setup(model, optimizer)
    for method in ("encode", "decode"):
        model.mark_forward_method(method)
    precise = InPrecision(model, fabric)

    shapes = {key: list(weight.shape) for key, weight in model.module.state_dict().items()}
    computed_by = [code_fingerprint(), torch.__version__, fabric.device.type]
    run = fingerprint(_what_decides(params, name), seed, data.fingerprint, shapes, computed_by)
    curves = _load_checkpoint(resume, run, model, optimizer, fabric)
    progress = tqdm(
        total=recipe.epochs * steps,
        initial=len(curves) * steps,
        desc=f"train {name}, seed {seed}",
        unit="step",
        disable=not shard.is_first,
    )
    source = on_device(segments, fabric.device)
    for epoch in range(len(curves), recipe.epochs):
        # One seed an epoch: shuffling, noise and dropout do not depend on where a run resumed.
        torch.manual_seed(seed * 10_007 + epoch)
        model.train()
        sums: dict[str, Tensor] = {}
        for vocals, accompaniment in training_batches(
            source, recipe.batch_size, shard, fabric.device
        ):
            terms = step_terms(precise, vocals, accompaniment, recipe, variant.adversarial, shard)
            optimizer.zero_grad()
            # Gradients are averaged over processes; those of a sum's parts have to be added.
            fabric.backward(terms["loss"] * shard.count)
            optimizer.step()
            for term, value in terms.items():
                sums[term] = sums.get(term, 0) + value.detach()
            # Reading a loss waits for the device; a bar that is not shown does not count.
            if shard.is_first and progress.n % SHOW_EVERY == 0:
                progress.set_postfix({term: f"{value.item():.2f}" for term, value in terms.items()})
            progress.update()
        means = {term: value.item() / steps for term, value in sums.items()}
        if not math.isfinite(means["loss"]):
            advice = too_loud(data.tracks("train")) or "lower train.learning_rate"
            raise InputError(f"the loss is not a number in epoch {epoch + 1}; {advice}")
        curves.append(_epoch_row(epoch, means, model.module, data.tracks("valid"), params, shard))
        if shard.is_first:
            _save_checkpoint(resume, run, model, optimizer, fabric, curves)
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


def training_losses(
    model: Any,
    vocals: Tensor,
    accompaniment: Tensor,
    recipe: TrainParams,
    shard: Shard = WHOLE,
) -> tuple[Tensor, Tensor]:
    """Negative SNR of the reconstruction, and the regularizer of the mix's coefficients.

    Args:
        model: has ``encode`` and ``decode``.
        vocals: batch x samples.
        accompaniment: batch x samples, of other segments.
        recipe: noise and regularizer.
        shard: which part of the batch this is.
    """
    mix, vocals = _centered(vocals, accompaniment, shard)
    noise = shard.of(torch.randn_like(draw_like(vocals, shard)))
    noisy = vocals + recipe.noise * noise
    # One pass for both: the encoder treats the items of a batch apart.
    coefficients = model.encode(torch.cat([noisy, mix]))
    of_vocals, of_mix = coefficients.chunk(2)
    distortion = neg_snr(vocals, model.decode(of_vocals), shard)
    return distortion, regularizer(of_mix, recipe, shard)


def _centered(vocals: Tensor, accompaniment: Tensor, shard: Shard) -> tuple[Tensor, Tensor]:
    """Mixture and vocals without the mean of the batch, as in the public code."""
    mix = vocals + accompaniment
    return mix - shard.mean(mix.mean()), vocals - shard.mean(vocals.mean())


def step_terms(
    model: Any,
    vocals: Tensor,
    accompaniment: Tensor,
    recipe: TrainParams,
    adversarial: AdversarialParams | None,
    shard: Shard = WHOLE,
) -> dict[str, Tensor]:
    """The loss of one training step and what it is made of; SNRs in dB, larger is better."""
    distortion, roughness = training_losses(model, vocals, accompaniment, recipe, shard)
    loss = distortion + recipe.regularizer_weight * roughness
    terms = {"loss": loss, "snr": -distortion, "regularizer": roughness}
    if adversarial:
        attacked = attacked_loss(model, vocals, accompaniment, adversarial, shard)
        terms |= {"loss": loss + adversarial.weight * attacked, "attacked_snr": -attacked}
    return terms


def attacked_loss(
    model: Any,
    vocals: Tensor,
    accompaniment: Tensor,
    settings: AdversarialParams,
    shard: Shard = WHOLE,
) -> Tensor:
    """Negative SNR of the vocals that are separated from an attacked mixture.

    Adversarial training (Madry et al., 2018) for a separator: the mask is that of the clean stems,
    as under attack at test time; the perturbation starts at random and maximizes the squared error.
    Its last iterate is taken, not the worst, which saves the passes that compare iterates. As at
    test time, the attack is computed in float32 or TF32, whatever the precision of the training.

    Args:
        model: see :class:`InPrecision`.
        vocals: batch x samples.
        accompaniment: batch x samples.
        settings: budget and steps.
        shard: which part of the batch this is.
    """
    mix, vocals = _centered(vocals, accompaniment, shard)
    separator = InformedRSVM(model.module)
    # What is attacked is what is attacked at test time: without dropout.
    model.eval()
    mask = separator.context(mix, vocals)
    uniform = shard.of(torch.rand_like(draw_like(mix, shard)))
    delta = (2 * uniform - 1) * settings.eps
    for _ in range(settings.steps if settings.eps > 0 else 0):
        candidate = (mix + delta).requires_grad_(True)
        error = (separator.separate(candidate, mask) - vocals).square().sum()
        (gradient,) = torch.autograd.grad(error, candidate)
        delta = delta + settings.step_size * settings.eps * gradient.sign()
        delta = delta.clamp(-settings.eps, settings.eps)
    model.train()
    return neg_snr(vocals, model.decode(model.encode(mix + delta) * mask), shard)


def validate(
    model: RSVM | STFT,
    tracks: list[PreparedTrack],
    params: Params,
    device: torch.device,
    shard: Shard = WHOLE,
) -> tuple[float, float]:
    """SI-SDR of the reconstruction and of the masked separation (BS), medians of medians, in dB.

    The model itself is left as it is: a frozen copy is validated.
    """
    separator = informed(copy.deepcopy(model))
    reconstruction, separation = [], []
    for track in shard.items(tracks):
        mixture, vocals = track.segments(params.segment_samples)
        loud = torch.from_numpy(loud_mask(vocals.numpy(), params.segments.loud_db))
        mixture, vocals = mixture[loud].to(device), vocals[loud].to(device)
        held, separated = [], []
        for part in batches(len(mixture), VALIDATION_BATCH):
            x, s = mixture[part], vocals[part]
            with torch.no_grad():
                estimate = separator.separate(x, separator.context(x, s))
            held.append(si_sdr(s, separator.reconstruct(s)))
            separated.append(si_sdr(s, estimate))
        # A track without a loud segment is an entry without figures.
        reconstruction.append((track.name, torch.cat([mixture[:0, 0], *held]).cpu().numpy()))
        separation.append((track.name, torch.cat([mixture[:0, 0], *separated]).cpu().numpy()))
    return (
        median_of_medians(shard.gathered(reconstruction)),
        median_of_medians(shard.gathered(separation)),
    )


def _epoch_row(
    epoch: int,
    means: Row,
    model: RSVM,
    tracks: list[PreparedTrack],
    params: Params,
    shard: Shard,
) -> Row:
    device = next(model.parameters()).device
    valid_si_sdr, valid_bs = validate(model, tracks, params, device, shard)
    if not math.isfinite(valid_si_sdr + valid_bs):
        advice = too_loud(tracks) or "lower train.learning_rate"
        raise InputError(f"no figure of validation is a number in epoch {epoch + 1}; {advice}")
    row = {"epoch": epoch + 1, **means, "valid_si_sdr": valid_si_sdr, "valid_bs": valid_bs}
    if model.encoder.attention is not None:
        row["gate"] = model.encoder.attention.gate.item()
    return row


def _what_decides(params: Params, name: str) -> dict[str, Any]:
    """Everything beside the data that the weights depend on."""
    tree = params.model_dump(mode="json")
    chosen = {key: tree[key] for key in ("segments", "model", "train")}
    del chosen["train"]["seeds"]
    keys = ("accelerator", "devices", "nodes", "precision", "compile", "threads")
    runtime = {key: tree["runtime"][key] for key in keys}
    return {**chosen, "runtime": runtime, "variant": tree["variants"][name], "name": name}


def _save_checkpoint(
    path: Path, run: str, model: Any, optimizer: Any, fabric: Fabric, curves: list[Row]
) -> None:
    state = {
        "run": run,
        "curves": curves,
        "model": model.module.state_dict(),
        "optimizer": optimizer.state_dict(),
        # The scale of 16-mixed; nothing in other precisions.
        "precision": fabric.strategy.precision.state_dict(),
    }
    with written_aside(path) as temporary:
        torch.save(state, temporary)


def _load_checkpoint(path: Path, run: str, model: Any, optimizer: Any, fabric: Fabric) -> list[Row]:
    """Restore a checkpoint of the same run; the curves of its epochs, or none.

    Raises:
        InputError: there is one, but it cannot be read.
    """
    if not is_there(path):
        return []
    with opened(path) as stream:
        try:
            state = torch.load(stream, map_location="cpu", weights_only=True)
            same_run = state["run"] == run
        except (OSError, MemoryError):
            raise
        except Exception as error:  # what is damaged fails in many ways
            if out_of_memory(error):
                raise
            print(f"{path}: damaged checkpoint, starting over")
            return []
    if not same_run:
        print(f"{path}: checkpoint of other parameters, data or code, starting over")
        return []
    model.module.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    fabric.strategy.precision.load_state_dict(state["precision"])
    curves: list[Row] = state["curves"]
    print(f"{path}: going on after epoch {len(curves)}")
    return curves
