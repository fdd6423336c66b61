"""A whole song: window after window, written, and measured as it is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.core.files import is_there, read_json, write_json
from stemproof.data.long import BLOCK, LongAudio, lay_out
from stemproof.protecting.aims import Aim
from stemproof.protecting.budgets import window_budget
from stemproof.protecting.control import write_noise
from stemproof.protecting.craft import Heard, Window, craft
from stemproof.protecting.masking import model_for
from stemproof.protecting.measuring import Played, effect
from stemproof.protecting.params import ProtectParams
from stemproof.protecting.parts import Tiles, Windows
from stemproof.protecting.stored import Difference, Sum, whole_numbers, write_song
from stemproof.protecting.transforms import SURVIVAL, TRANSFORMS, UNDOING, tuned
from stemproof.protecting.work import Perturbation

AROUND = 0.5  # seconds that are heard before and after what is measured
Tell = Callable[[], object]


@dataclass(frozen=True)
class Job:
    """A song that is protected.

    Attributes:
        song: as it was, after the gain.
        stem: true vocals; None where nobody has them.
        aims: systems that it is protected against, for such songs.
        others: systems that it is not made for.
        params: of the protection.
        work: a folder of one's own.
        device: where to compute.
    """

    song: LongAudio
    stem: LongAudio | None
    aims: Sequence[Aim]
    others: Sequence[Aim]
    params: ProtectParams
    work: Path
    device: torch.device

    @property
    def windows(self) -> Windows:
        """That are protected one after the other."""
        rate = self.song.sample_rate
        length = max(round(self.params.window * rate), 2)
        return Windows(self.song.samples, length, max(round(self.params.fade * rate), 1))

    @property
    def tiles(self) -> Tiles:
        """That are measured."""
        rate = self.song.sample_rate
        around = min(round(AROUND * rate), round(self.params.window * rate / 4))
        return Tiles(self.song.samples, round(self.params.window * rate), around)

    @property
    def perturbation(self) -> Perturbation:
        """All windows."""
        count = len(self.windows.starts)
        return Perturbation(self.work, self.windows, self.song.channels, count)

    def peak(self) -> float:
        """The largest sample of the song."""
        return max(float(np.abs(block).max(initial=0)) for block in self.song.blocks())


def window_of(job: Job, number: int, peak: float) -> Window:
    """A window of the song, ready to be protected."""
    start, stop = job.windows.span(number)
    margin = model_for(job.song.sample_rate).size // 2
    around = _tensor(job, job.song.read(start - margin, stop + margin))
    song = around[:, margin : margin + stop - start]
    weight = job.windows.weight(number).to(job.device)
    before = Perturbation(job.work, job.windows, job.song.channels, number)
    budget = window_budget(job.params, song, around, margin, weight, job.song.sample_rate)
    return Window(
        song,
        None if job.stem is None else _tensor(job, job.stem.read(start, stop)),
        _tensor(job, before.read(start, stop)),
        weight,
        peak,
        budget,
        number,
    )


def unfinished(job: Job) -> list[int]:
    """Windows that are not done yet; those after a missing one count as missing, too."""
    windows = range(len(job.windows.starts))
    done = next((n for n in windows if not job.perturbation.found(n)), len(windows))
    return list(windows)[done:]


def perturb(job: Job, tell: Tell = lambda: None) -> None:
    """Protect all windows that are not done yet; those are kept.

    Raises:
        InputError: what comes back is not a number.
    """
    peak = job.peak()
    for number in unfinished(job):
        window = window_of(job, number, peak)
        if not window.song.any():
            found = torch.zeros_like(window.song)
            for _ in range(job.params.steps):
                tell()
        else:
            found = craft(window, job.aims, job.params, job.song.sample_rate, tell)
        if not torch.isfinite(found).all():
            raise InputError(
                f"window {number}: the perturbation is not a number; leave out a system of "
                f"{', '.join(aim.name for aim in job.aims)}, or train it again"
            )
        job.perturbation.keep(number, (found * window.weight).cpu().numpy())


def store(job: Job, path: Path) -> LongAudio:
    """Write the protected song, and read back what was written.

    Raises:
        InputError: it cannot be written.
    """
    own, params, peak = job.song, job.params, job.peak()
    eps = params.size if params.budget == "eps" else None

    def parts() -> Any:
        for start in range(0, own.samples, BLOCK):
            stop = min(start + BLOCK, own.samples)
            song = own.read(start, stop)
            changed = song + job.perturbation.read(start, stop)
            yield whole_numbers(song, changed, params.bits, peak, eps)

    write_song(parts(), path, own.sample_rate, own.channels, params.bits)
    return lay_out(path, job.work / "protected.f32")


def played(job: Job, protected: LongAudio) -> Played:
    """The song in all its ways, ready to be measured."""
    noise = write_noise(Difference(job.song, protected), job.work / "noise.f32", job.params.seed)
    return Played(
        job.song,
        protected,
        Sum(job.song, noise),
        job.stem,
        job.tiles,
        job.device,
        job.params.seed,
    )


def measured(job: Job, ways: Played, tell: Tell = lambda: None) -> dict[str, Any]:
    """What the protection does, by system: ``aimed``, and ``others`` that it was not made for.

    Of every system that is aimed at there is also what the protection ``survives``, and what
    becomes of it where somebody tries to get rid of it (``undoing``), on some windows of the song.
    """
    found: dict[str, Any] = {"aimed": {}, "others": {}}
    some = job.tiles.spread(job.params.survival)
    made_for = tuned(job.params.mix, job.params.diverse)
    for aim in job.aims:
        file = job.work / f"figures-{len(found['aimed'])}.json"
        if not is_there(file):
            changes = {name: effect(aim, ways, name, some, tell) for name in (*SURVIVAL, *UNDOING)}
            write_json(file, {"whole": effect(aim, ways, tell=tell), "changes": changes})
        own = read_json(file)
        about = {
            name: {
                **own["changes"][name],
                "tuned": name in made_for,
                "words": TRANSFORMS[name].words,
            }
            for name in own["changes"]
        }
        found["aimed"][aim.name] = {
            **own["whole"],
            "survives": {name: about[name] for name in SURVIVAL},
            "undoing": {name: about[name] for name in UNDOING},
        }
    for aim in job.others:
        found["others"][aim.name] = effect(aim, ways, tell=tell)
    return found


def passes(job: Job) -> tuple[int, int]:
    """Steps of :func:`perturb` that are left, and passes of :func:`measured`."""
    steps = len(unfinished(job)) * job.params.steps
    some = len(job.tiles.spread(job.params.survival)) * len({*SURVIVAL, *UNDOING})
    by_system = 3 * (some + len(job.tiles)) * len(job.aims)
    return steps, by_system + 3 * len(job.tiles) * len(job.others)


def estimated_seconds(job: Job) -> float:
    """About how long the rest takes: everything once, timed, times how often it is done."""
    steps, _ = passes(job)
    window = window_of(job, 0, job.peak())  # all others need those before them
    rate, made_for = job.song.sample_rate, tuned(job.params.mix, job.params.diverse)
    changing = {name: _timed(_changed, window, name, rate) for name in TRANSFORMS}
    step = measuring = 0.0
    for aim in (*job.aims, *job.others):
        own = aim, "none", 0, window.song, window.stem, rate
        forward = _timed(Heard.of, *own)
        measuring += 3 * len(job.tiles) * forward
        if aim in job.aims:
            step += _timed(_gradient, window, Heard.of(*own), rate)
            step += sum(changing[name] for name in made_for) / len(made_for)
            some = 3 * len(job.tiles.spread(job.params.survival))
            measuring += some * sum(forward + changing[n] for n in {*SURVIVAL, *UNDOING})
    return steps * step + measuring


def _changed(window: Window, name: str, rate: int) -> None:
    TRANSFORMS[name].song(window.song[None], rate, 0)


def _gradient(window: Window, heard: Heard, rate: int) -> None:
    delta = torch.full_like(window.song.reshape(1, -1), 1e-4).requires_grad_(True)
    torch.autograd.grad(heard.loss(window.heard(delta), rate), delta)
    window.budget.project(delta.detach())


def _timed(what: Callable[..., object], *given: Any) -> float:
    started = time.perf_counter()
    what(*given)
    return time.perf_counter() - started


def _tensor(job: Job, audio: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(audio)).to(job.device)
