"""An opponent who trains: protected songs, whose true vocals he has, teach a system to hear them.

Nothing else changes than the weights: statistics of batches stay, and no dropout is on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stemproof.core.errors import InputError
from stemproof.core.files import is_there, written_aside
from stemproof.core.random import Draws, derive_seed
from stemproof.data.long import LongAudio
from stemproof.protecting.aims import Aim
from stemproof.protecting.section import FineTuningParams
from stemproof.separators.protocol import Separator


@dataclass(frozen=True)
class Lesson:
    """A protected song and its true vocals.

    Attributes:
        name: of the song.
        protected: as it is stored.
        vocals: the true ones, of the same length.
    """

    name: str
    protected: LongAudio
    vocals: LongAudio


def weights_of(separator: Separator) -> list[nn.Parameter]:
    """The weights of a system, through whatever is wrapped around it; each once.

    Args:
        separator: any.

    Returns:
        None for a system without weights, or whose weights lie elsewhere, in a program for
        instance.
    """
    found: dict[int, nn.Parameter] = {}
    waiting, seen = [separator], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        parts = [one, *getattr(one, "__dict__", {}).values()]
        for part in parts:
            if isinstance(part, nn.Module):
                found |= {id(own): own for own in part.parameters() if own.is_floating_point()}
            elif part is not one and isinstance(part, Separator):
                waiting.append(part)
    return list(found.values())


def tuned(
    aim: Aim,
    lessons: Sequence[Lesson],
    params: FineTuningParams,
    seed: int,
    device: torch.device,
    tell: Callable[[], object] = lambda: None,
) -> Aim:
    """The system after its training on protected songs; the one that is given stays as it is.

    Every step hears an excerpt of one song, drawn with its place, and takes the absolute error of
    the vocals, relative to their mean absolute value, down by Adam (Kingma and Ba, 2015).

    Args:
        aim: the system.
        lessons: protected songs.
        params: of the training.
        seed: of what is drawn.
        device: where to compute.
        tell: called after every step.

    Raises:
        InputError: its weights cannot be reached, take no gradient, or become what is no number.
    """
    aim = copy.deepcopy(aim)
    weights = weights_of(aim.separator)
    if not weights:
        raise InputError(
            f"{aim.name}: no weights can be reached in it; set protect.fine_tuning.songs to 0"
        )
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, lr=params.learning_rate)
    for step in range(params.steps):
        heard, vocals = _excerpt(lessons, params.excerpt, seed, step)
        heard, vocals = heard.to(device), vocals.to(device)
        found = aim.vocals(heard, derive_seed(seed, "fine-tuning", step))
        if not found.requires_grad:
            raise InputError(
                f"{aim.name}: no gradient reaches its weights; set protect.fine_tuning.songs to 0"
            )
        error = (found - vocals).abs().mean() / vocals.abs().mean().clamp_min(1e-4)
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        tell()
    for weight in weights:
        weight.requires_grad_(False)
        if not torch.isfinite(weight).all():
            raise InputError(
                f"{aim.name}: its weights are no numbers after {params.steps} steps; set "
                "protect.fine_tuning.learning_rate lower"
            )
    return aim


def _excerpt(
    lessons: Sequence[Lesson], seconds: float, seed: int, step: int
) -> tuple[Tensor, Tensor]:
    """A part of a protected song and of its vocals, 1 x channels x samples each."""
    number, place = Draws.of([seed], "lesson", step).uniform(2)[0].tolist()
    lesson = lessons[int(number * len(lessons))]
    own = lesson.protected
    length = min(round(seconds * own.sample_rate), own.samples)
    start = int(place * (own.samples - length + 1))
    pair = [one.read(start, start + length) for one in (own, lesson.vocals)]
    heard, vocals = (torch.from_numpy(np.ascontiguousarray(part))[None] for part in pair)
    return heard, vocals


def keep_weights(aim: Aim, file: Path) -> None:
    """Write the weights of a system, atomically."""
    found = {
        str(number): weight.detach().cpu().contiguous().clone()
        for number, weight in enumerate(weights_of(aim.separator))
    }
    with written_aside(file) as temporary:
        save_file(found, str(temporary))


def with_kept_weights(aim: Aim, file: Path) -> Aim | None:
    """The system with the weights that :func:`keep_weights` wrote; None where there are none.

    What was damaged since counts as none.
    """
    if not is_there(file):
        return None
    try:
        found = load_file(str(file))
    except SafetensorError:
        return None
    aim = copy.deepcopy(aim)
    weights = weights_of(aim.separator)
    own = [found.get(str(number)) for number in range(len(weights))]
    with torch.no_grad():
        for weight, kept in zip(weights, own, strict=True):
            if kept is None or kept.shape != weight.shape:
                return None
            weight.copy_(kept)
    return aim
