"""Train one variant: read it from top to bottom."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from rsvm.data.store import PreparedData, PreparedTrack, TrainingSegments, loud_mask
from rsvm.errors import InputError
from rsvm.files import fingerprint, written_aside
from rsvm.losses import neg_snr, regularizer
from rsvm.metrics import si_sdr
from rsvm.model.rsvm import RSVM, build_model
from rsvm.params import Params, TrainParams
from rsvm.published import load_published
from rsvm.separator import InformedRSVM, batches
from rsvm.stats import median_of_medians

Row = dict[str, float]
SHOW_EVERY = 5  # steps
VALIDATION_BATCH = 16  # segments


@dataclass
class Trained:
    """A trained model and its curves, one row per epoch."""

    model: RSVM
    curves: list[Row]


def obtain(
    params: Params, name: str, data: PreparedData, fabric: Fabric, resume: Path, published: Path
) -> Trained:
    """Train a variant, or load it when it names a published checkpoint.

    Args:
        params: the whole tree.
        name: the variant.
        data: prepared data.
        fabric: the device.
        resume: see :func:`train`.
        published: folder with ``analysis_ID.pytorch`` and ``synthesis_ID.pytorch``.

    Raises:
        InputError: unknown variant, or an unusable checkpoint.
    """
    identity = params.variant(name).published
    if identity is None:
        return train(params, name, data, fabric, resume)
    model = load_published(
        published / f"analysis_{identity}.pytorch",
        published / f"synthesis_{identity}.pytorch",
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
    valid_si_sdr, valid_bs = validate(model, data.tracks("valid"), params)
    row = {"epoch": 0, "valid_si_sdr": valid_si_sdr, "valid_bs": valid_bs}
    return Trained(model, [row])


def describe(trained: Trained) -> dict[str, Any]:
    """The content of ``metrics/train/<variant>.json``: sizes and the last epoch."""
    parts = {
        "parameters": trained.model,
        "parameters_encoder": trained.model.encoder,
        "parameters_decoder": trained.model.decoder,
    }
    counts = {
        key: sum(weight.numel() for weight in part.parameters()) for key, part in parts.items()
    }
    return {**counts, **trained.curves[-1]}


def train(params: Params, name: str, data: PreparedData, fabric: Fabric, resume: Path) -> Trained:
    """Train a variant on the training split, validating after every epoch.

    The recipe is that of the public RSVM code: vocals and accompaniment segments are drawn
    independently; the encoder and decoder reconstruct the vocals from a noisy copy, while the
    regularizer smooths the coefficients of the mix.

    Args:
        params: the whole tree.
        name: the variant.
        data: prepared data.
        fabric: the device.
        resume: checkpoint written after every epoch; a run with the same parameters and data
            goes on from it.

    Raises:
        InputError: there are fewer segments than one batch holds, or the loss is not finite.
    """
    recipe = params.train
    own = params.variant(name).regularizer
    if own is not None:
        recipe = recipe.model_copy(update={"regularizer": own})
    segments = data.training_segments(params)
    steps = len(segments) // recipe.batch_size
    if steps == 0:
        raise InputError(
            f"train.batch_size = {recipe.batch_size}, but there are only {len(segments)} segments"
        )
    fabric.launch()
    model = build_model(params, params.variant(name), recipe.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    model, optimizer = fabric.setup(model, optimizer)
    for method in ("encode", "decode"):
        model.mark_forward_method(method)

    shapes = {key: list(weight.shape) for key, weight in model.module.state_dict().items()}
    run = fingerprint(_what_decides(params, name), data.fingerprint, shapes)
    curves = _load_checkpoint(resume, run, model, optimizer)
    progress = tqdm(
        total=recipe.epochs * steps, initial=len(curves) * steps, desc=f"train {name}", unit="step"
    )
    for epoch in range(len(curves), recipe.epochs):
        # One seed an epoch: shuffling, noise and dropout do not depend on where a run resumed.
        torch.manual_seed(recipe.seed * 10_007 + epoch)
        model.train()
        sums = torch.zeros(2, device=fabric.device)
        for vocals, accompaniment in training_batches(segments, recipe.batch_size):
            vocals, accompaniment = fabric.to_device(vocals), fabric.to_device(accompaniment)
            distortion, roughness = training_losses(model, vocals, accompaniment, recipe)
            loss = distortion + recipe.regularizer_weight * roughness
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            sums += torch.stack([distortion.detach(), roughness.detach()])
            if progress.n % SHOW_EVERY == 0:  # reading a loss waits for the device
                progress.set_postfix(loss=f"{loss.item():.2f}", snr=f"{-distortion.item():.2f} dB")
            progress.update()
        curves.append(_epoch_row(epoch, sums / steps, model.module, data.tracks("valid"), params))
        _save_checkpoint(resume, run, model, optimizer, curves)
    progress.close()
    return Trained(model.module, curves)


def training_batches(
    segments: TrainingSegments, batch_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of (vocals, accompaniment), each batch x samples, shuffled independently.

    A rest smaller than a batch is left out. Draws from PyTorch's global generator.
    """
    for_vocals = torch.randperm(len(segments)).tolist()
    for_accompaniment = torch.randperm(len(segments)).tolist()
    for step in range(len(segments) // batch_size):
        part = slice(step * batch_size, (step + 1) * batch_size)
        yield segments.vocals(for_vocals[part]), segments.accompaniment(for_accompaniment[part])


def training_losses(
    model: Any, vocals: Tensor, accompaniment: Tensor, recipe: TrainParams
) -> tuple[Tensor, Tensor]:
    """Negative SNR of the reconstruction, and the regularizer of the mix's coefficients.

    Args:
        model: has ``encode`` and ``decode``.
        vocals: batch x samples.
        accompaniment: batch x samples, of other segments.
        recipe: noise and regularizer.
    """
    mix = vocals + accompaniment
    mix = mix - mix.mean()
    vocals = vocals - vocals.mean()
    noisy = vocals + recipe.noise * torch.randn(vocals.shape).to(vocals.device)
    # One pass for both: the encoder treats the items of a batch apart.
    coefficients = model.encode(torch.cat([noisy, mix]))
    of_vocals, of_mix = coefficients.chunk(2)
    return neg_snr(vocals, model.decode(of_vocals)), regularizer(of_mix, recipe)


def validate(model: RSVM, tracks: list[PreparedTrack], params: Params) -> tuple[float, float]:
    """SI-SDR of the reconstruction and of the masked separation (BS), medians of medians, in dB.

    The model itself is left as it is: a frozen copy is validated.
    """
    separator = InformedRSVM(copy.deepcopy(model))
    device = next(model.parameters()).device
    reconstruction, separation = [], []
    for track in tracks:
        mixture, vocals = track.segments(params.segment_samples)
        loud = torch.from_numpy(loud_mask(vocals.numpy(), params.segments.loud_db))
        mixture, vocals = mixture[loud].to(device), vocals[loud].to(device)
        for part in batches(len(mixture), VALIDATION_BATCH):
            x, s = mixture[part], vocals[part]
            with torch.no_grad():
                estimate = separator.separate(x, separator.context(x, s))
            reconstruction.append((track.name, si_sdr(s, separator.reconstruct(s)).cpu().numpy()))
            separation.append((track.name, si_sdr(s, estimate).cpu().numpy()))
    return median_of_medians(reconstruction), median_of_medians(separation)


def _epoch_row(
    epoch: int, means: Tensor, model: RSVM, tracks: list[PreparedTrack], params: Params
) -> Row:
    distortion, roughness = means.tolist()
    if not math.isfinite(distortion + roughness):
        raise InputError(
            f"the loss is not a number in epoch {epoch + 1}; lower train.learning_rate"
        )
    valid_si_sdr, valid_bs = validate(model, tracks, params)
    row = {
        "epoch": epoch + 1,
        "loss": distortion + params.train.regularizer_weight * roughness,
        "snr": -distortion,
        "regularizer": roughness,
        "valid_si_sdr": valid_si_sdr,
        "valid_bs": valid_bs,
    }
    if model.encoder.attention is not None:
        row["gate"] = model.encoder.attention.gate.item()
    return row


def _what_decides(params: Params, name: str) -> dict[str, Any]:
    """Everything beside the data that the weights depend on."""
    tree = params.model_dump(mode="json")
    chosen = {key: tree[key] for key in ("segments", "model", "train")}
    runtime = {key: tree["runtime"][key] for key in ("accelerator", "precision", "threads")}
    return {**chosen, "runtime": runtime, "variant": tree["variants"][name], "name": name}


def _save_checkpoint(path: Path, run: str, model: Any, optimizer: Any, curves: list[Row]) -> None:
    state = {
        "run": run,
        "curves": curves,
        "model": model.module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with written_aside(path) as temporary:
        torch.save(state, temporary)


def _load_checkpoint(path: Path, run: str, model: Any, optimizer: Any) -> list[Row]:
    """Restore a checkpoint of the same run; the curves of its epochs, or none."""
    if not path.exists():
        return []
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        same_run = state["run"] == run
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError):
        print(f"{path}: damaged checkpoint, starting over")
        return []
    if not same_run:
        print(f"{path}: checkpoint of other parameters or data, starting over")
        return []
    model.module.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    curves: list[Row] = state["curves"]
    print(f"{path}: going on after epoch {len(curves)}")
    return curves
