"""Every claim of speed as a ratio, measured side by side in one run.

    make bench            # prints a table and writes benchmarks/results.json

Both sides of a ratio are timed in turns. A ratio is the median of those of single rounds, whose
lowest and highest stand beside it: the machine's speed drifts, and two sides of one round share it.
Sizes are those of the default model unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import eagerpy
import foolbox
import numpy as np
import psutil
import soundfile
import torch
import yaml
from joblib import Parallel, delayed
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import reference

from stemproof.attacks.build import build_attack
from stemproof.attacks.generate import Victim, checked_adversarials, generate
from stemproof.attacks.gradient import GradientAttack
from stemproof.attacks.norms import budget_of, make_budget
from stemproof.attacks.objectives import negative_si_sdr
from stemproof.attacks.steps import Constant
from stemproof.core.runtime import describe_environment
from stemproof.core.workers import workplace
from stemproof.data.codec import Decoder, _probe, import_musdb
from stemproof.data.demo.songs import render_demo
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import evaluate
from stemproof.figures.bsseval import (
    Estimate,
    TrackEstimates,
    score,
    score_all,
    score_by_museval,
    score_sdr,
)
from stemproof.figures.si_sdr import si_sdr
from stemproof.params import Params, load_params
from stemproof.separators.protocol import InformedRSVM
from stemproof.separators.rsvm.framing import analyze, padding, synthesize
from stemproof.separators.rsvm.model import RSVM, build_model
from stemproof.separators.rsvm.train import training_losses

SEGMENTS = 16
RATE = 44_100


@dataclass(frozen=True)
class Row:
    """One ratio. ``target`` is what it should be at least.

    ``lowest`` and ``highest`` are those of single rounds, where there were rounds.
    """

    name: str
    ratio: float
    target: float
    detail: str = ""
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True)
class Times:
    """Seconds of every side in every round."""

    seconds: dict[str, list[float]]

    def median(self, side: str) -> float:
        """Median seconds of a side."""
        return float(np.median(self.seconds[side]))

    def row(
        self, name: str, slow: str, fast: str, target: float, detail: str = "", factor: float = 1.0
    ) -> Row:
        """How many times as fast ``fast`` is as ``slow``, round by round; times a factor."""
        ratios = factor * np.divide(self.seconds[slow], self.seconds[fast])
        return Row(
            name, float(np.median(ratios)), target, detail, float(ratios.min()), float(ratios.max())
        )


def race(sides: dict[str, Callable[[], Any]], rounds: int = 9) -> Times:
    """Time the sides in turns, after one round that does not count.

    Every other round runs backwards, so that no side always follows the same one.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        turns = list(sides.items())
        for name, side in turns[:: -1 if number % 2 else 1]:
            start = time.perf_counter()
            side()
            if number:
                times[name].append(time.perf_counter() - start)
    return Times(times)


# ------------------------------------------------------------------ operations


def operations(params: Params, items: int) -> dict[str, float]:
    """Multiply-adds times two of one forward pass over some segments, by part."""
    frames = -(-params.segment_samples // params.model.hop)
    channels, kernel = params.model.channels, params.model.kernel
    return {
        "conv1": 2.0 * items * channels * kernel * frames,
        "conv2": 2.0 * items * channels * channels * 5 * frames,
        "decoder": 2.0 * items * channels * kernel * frames,
    }


def training_operations(params: Params) -> float:
    """Noisy vocals and mix through the encoder, the vocals through the decoder, and back.

    Back through a layer costs twice its forward pass: once for its input, once for its weights.
    The first layer's input needs no gradient.
    """
    encoder = operations(params, 2 * params.train.batch_size)
    decoder = operations(params, params.train.batch_size)["decoder"]
    return 2 * encoder["conv1"] + 3 * encoder["conv2"] + 3 * decoder


def attack_operations(params: Params, items: int) -> float:
    """Forward, and back to the input; no gradient of any weight."""
    return 2 * sum(operations(params, items).values())


def matrix_products(size: int = 2048) -> tuple[float, dict[str, Callable[[], Any]]]:
    """Operations of one large product, and the two libraries' ways to compute it on a CPU.

    PyTorch sends products to its BLAS and convolutions to oneDNN; a convolution with one tap is a
    product too. Which is faster depends on the processor.
    """
    left, right = torch.randn(size, size), torch.randn(size, size)
    taps, signal = left[:, :, None], right[None]
    ways: dict[str, Callable[[], Any]] = {
        "BLAS": lambda: left @ right,
        "oneDNN": lambda: torch.nn.functional.conv1d(signal, taps),
    }
    return 2.0 * size**3, ways


def against_matrix_products(params: Params, model: RSVM) -> list[Row]:
    """Training and PGD step against the machine's own best rate of matrix products."""
    product, ways = matrix_products()
    vocals, rest = (0.1 * torch.randn(params.train.batch_size, RATE) for _ in range(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)

    def train_step() -> None:
        distortion, roughness = training_losses(model, vocals, rest, params.train)
        optimizer.zero_grad()
        (distortion + 0.5 * roughness).backward()
        optimizer.step()

    def share(name: str, times: Times, count: float) -> Row:
        """Operations a second of a side, over those of the faster library."""
        rates = {way: product / times.median(way) for way in ways}
        best = max(rates, key=lambda way: rates[way])
        detail = f"{count / 1e9:.1f} Gflop in {times.median('side') * 1e3:.0f} ms; products run at "
        return times.row(name, best, "side", 0.75, detail + said(rates), count / product)

    rows = [
        share(
            "training step: share of the matrix-product rate",
            race({**ways, "side": train_step}),
            training_operations(params),
        )
    ]
    separator = InformedRSVM(build_model(params, params.variant("baseline"), 0).freeze())
    mixture, voice = (0.1 * torch.randn(SEGMENTS, RATE) for _ in range(2))
    context = separator.context(mixture, voice)

    def attack() -> None:
        """PGD as the stage runs it, with all that belongs to a step."""
        budget = budget_of(params.attack, mixture)
        build_attack(params.attack)(
            separator, mixture, voice, context, budget, torch.Generator().manual_seed(0)
        )

    rows.append(
        share(
            "PGD step: share of the matrix-product rate",
            race({**ways, "side": attack}, rounds=5),
            # The last iterate is scored with a forward pass, half a step.
            (params.attack.steps + 0.5) * attack_operations(params, SEGMENTS),
        )
    )
    return [*rows, against_strides(params, model)]


def against_strides(params: Params, model: RSVM) -> Row:
    """Convolutions that move on by a hop, in polyphase form against ordinary ones."""
    hop = params.model.hop
    waveform = torch.randn(SEGMENTS, RATE)
    filters = model.encoder.conv_a1.weight.detach()
    coefficients = analyze(waveform, filters, hop)
    before, after = padding(RATE, params.model.kernel, hop)

    def strided() -> None:
        padded = torch.nn.functional.pad(waveform, (before, after))
        torch.nn.functional.conv1d(padded[:, None], filters, stride=hop)
        torch.nn.functional.conv_transpose1d(coefficients, filters, stride=hop)

    def polyphase() -> None:
        analyze(waveform, filters, hop)
        synthesize(coefficients, filters, hop, RATE)

    return race({"strided": strided, "polyphase": polyphase}).row(
        "polyphase convolutions: times a stride",
        "strided",
        "polyphase",
        1.0,
        f"analysis and synthesis of {SEGMENTS} segments, forward",
    )


def said(rates: dict[str, float]) -> str:
    """Operations per second of each library."""
    return ", ".join(f"{rate / 1e9:.0f} Gflop/s ({way})" for way, rate in rates.items())


# ------------------------------------------------------------------ against the reference's way


def against_the_reference(params: Params, model: RSVM) -> list[Row]:
    """Training step and test loop against the public code's way, PGD against foolbox."""
    vocals, rest = (0.1 * torch.randn(params.train.batch_size, RATE) for _ in range(2))

    def ours() -> None:
        distortion, roughness = training_losses(model, vocals, rest, params.train)
        model.zero_grad()
        (distortion + 0.5 * roughness).backward()

    def theirs() -> None:
        model.zero_grad()
        reference.training_loss(model, vocals, rest).backward()

    rows = [
        race({"ours": ours, "theirs": theirs}).row(
            "training step: times the reference's way", "theirs", "ours", 1.0
        )
    ]
    frozen = build_model(params, params.variant("baseline"), 0)
    separator = InformedRSVM(frozen.freeze())
    mixture, voice = (0.1 * torch.randn(SEGMENTS, RATE) for _ in range(2))

    def loop() -> Tensor:
        with torch.no_grad():
            estimate = separator.separate(mixture, separator.context(mixture, voice))
            return si_sdr(voice, estimate)

    same = (loop() - reference.test_loop(frozen, mixture, voice)).abs().max().item()
    times = race({"ours": loop, "theirs": lambda: reference.test_loop(frozen, mixture, voice)})
    detail = f"largest difference {same:.1e} dB"
    rows.append(times.row("test loop: times the reference's way", "theirs", "ours", 1.5, detail))
    return [*rows, *against_foolbox(separator, mixture, voice)]


def against_foolbox(separator: InformedRSVM, mixture: Tensor, voice: Tensor) -> list[Row]:
    """PGD with the same loss, budget and steps, and its AT-BS; and segment by segment."""
    context = separator.context(mixture, voice)
    steps, eps = 10, 0.003

    class OnWaveforms(foolbox.attacks.LinfProjectedGradientDescentAttack):  # type: ignore[misc]
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            def loss(x: Any) -> Any:
                estimate = separator.separate(x.raw, context)
                return eagerpy.astensor(negative_si_sdr(estimate, voice).sum())

            return loss

    theirs = OnWaveforms(abs_stepsize=0.25 * eps, steps=steps, random_start=False)
    model = foolbox.PyTorchModel(torch.nn.Identity().eval(), bounds=(-10, 10), device="cpu")
    labels = foolbox.criteria.Misclassification(torch.zeros(len(mixture), dtype=torch.long))
    ours = GradientAttack(negative_si_sdr, steps, 0.25, Constant, random_start=False)

    def one_by_one() -> None:
        for x, s, c in zip(mixture.split(1), voice.split(1), context.split(1), strict=True):
            ours(separator, x, s, c, make_budget("linf", x, eps, 0), torch.Generator())

    def together() -> Tensor:
        budget = make_budget("linf", mixture, eps, 0)
        _, losses = ours(separator, mixture, voice, context, budget, torch.Generator())
        return -losses[:, -1]

    def by_foolbox() -> Tensor:
        found = theirs.run(model, mixture, labels, epsilon=eps)
        with torch.no_grad():
            return si_sdr(voice, separator.separate(found, context))

    times = race({"ours": together, "foolbox": by_foolbox, "one by one": one_by_one})
    detail = f"{steps} steps and the AT-BS of what was found"
    return [
        times.row("PGD: times foolbox", "foolbox", "ours", 1.0, detail),
        times.row("PGD: times segment by segment", "one by one", "ours", 1.0),
    ]


# ------------------------------------------------------------------ BSSEval


def make_track(seed: int, seconds: float = 7.0) -> TrackEstimates:
    """Colored noise, and two estimates of a part of it; the tests compare real, attacked ones."""
    draw = np.random.default_rng(seed)
    samples = round(seconds * RATE)
    vocals, rest = (np.convolve(draw.standard_normal(samples), [1, 0.7], "same") for _ in range(2))
    estimates = []
    for _ in range(2):
        estimate = 0.8 * vocals + 0.2 * rest + 0.05 * draw.standard_normal(samples)
        heard = (vocals + rest).astype(np.float32)
        estimates.append(Estimate(heard, estimate.astype(np.float32)))
    mixture = (vocals + rest).astype(np.float32)
    return TrackEstimates(str(seed), mixture, vocals.astype(np.float32), estimates)


def against_museval(workers: int) -> list[Row]:
    """Workers against a sequence, and our computations against museval's inside a worker."""
    numbers = range(5 * workers)
    tracks = [make_track(number) for number in numbers]
    one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    with mock.patch.dict(os.environ, one_thread):
        # Bare processes, which have their tracks already; one of them is the sequence.
        bare = get_context("spawn").Pool(workers, make_own, (len(tracks),))
        alone = get_context("spawn").Pool(1, make_own, (len(tracks),))
    # Workers are started once and stay: starting them is no part of the ratio.
    score_all(tracks, RATE, "museval", workers)
    times = race(
        {
            "workers": lambda: score_all(tracks, RATE, "museval", workers),
            "bare": lambda: bare.map(museval_of, numbers, chunksize=5),
            "sequence": lambda: alone.map(museval_of, numbers, chunksize=len(tracks)),
        },
    )
    bare.terminate()
    alone.terminate()
    per_core = 1 / workers
    ceiling = times.row("", "sequence", "bare", 0, factor=per_core).ratio
    rows = [
        times.row(
            "museval in workers: speed-up per core",
            "sequence",
            "workers",
            0.9,
            f"{workers} workers, {len(tracks)} tracks of 7 s; all with one thread. As many bare "
            f"processes that have their tracks already: {ceiling:.2f}",
            per_core,
        )
    ]
    # In a worker, where it runs: one thread for linear algebra.
    with workplace("none"):
        [(times, apart, sdr_apart)] = Parallel(n_jobs=workers)(
            delayed(bsseval_in_a_worker)(track) for track in tracks[:1]
        )
    return [
        *rows,
        times.row(
            "BSSEval v4 in batches: times museval",
            "museval",
            "ours",
            10.0,
            f"two estimates of 7 s of noise, {times.median('ours') * 1e3:.0f} ms; "
            f"largest difference {apart:.1e} dB",
        ),
        times.row(
            "closed-form SDR: times museval",
            "museval",
            "sdr",
            100.0,
            f"largest difference {sdr_apart:.1e} dB",
        ),
    ]


own_tracks: list[TrackEstimates] = []


def make_own(count: int) -> None:
    """Give this process its tracks."""
    own_tracks.extend(make_track(number) for number in range(count))


def museval_of(number: int) -> None:
    """Score one of this process's own tracks by museval."""
    score_by_museval(own_tracks[number], RATE)


def bsseval_in_a_worker(track: TrackEstimates) -> tuple[Times, float, float]:
    """Times of museval, of ours and of the closed-form SDR; how far ours and the SDR are off."""
    ours, theirs = score(track, RATE), score_by_museval(track, RATE)
    apart = max(
        abs(own[figure] - other[figure])
        for own, other in zip(ours, theirs, strict=True)
        if isinstance(own, dict) and isinstance(other, dict)
        for figure in own
    )
    sdr = [figures["sdr"] for figures in theirs if isinstance(figures, dict)]
    alone = [figures["sdr"] for figures in score_sdr(track, RATE) if isinstance(figures, dict)]
    sdr_apart = max(abs(a - b) for a, b in zip(alone, sdr, strict=True))
    times = race(
        {
            "museval": lambda: score_by_museval(track, RATE),
            "ours": lambda: score(track, RATE),
            "sdr": lambda: score_sdr(track, RATE),
        },
    )
    return times, apart, sdr_apart


# ------------------------------------------------------------------ preparing, and size


def small_params(folder: Path, **demo: Any) -> Params:
    """The default parameters with a small model, written to a folder."""
    tree = yaml.safe_load((ROOT / "params.yaml").read_text())
    tree["data"]["root"] = str(folder / "demo")
    tree["demo"].update(demo)
    tree["model"].update({"channels": 100})
    tree["attack"].update({"steps": 2})
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    return load_params(path)


def against_musdb(workers: int) -> list[Row]:
    """Prepare against musdb, track by track; on MUSDB_PATH when it is set, else on demo songs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = small_params(folder, train_songs=8, valid_songs=1, test_songs=4)
        real = os.environ.get("MUSDB_PATH")
        if real:
            choose_songs(Path(real), folder / "demo")
            tree = params.model_dump(mode="json")
            tree["data"]["source"] = "musdb18"
            (folder / "params.yaml").write_text(yaml.safe_dump(tree))
            params = load_params(folder / "params.yaml")
        else:
            render_demo(params.demo, RATE, workers, folder / "demo")
        decoder: Decoder = "ffmpeg" if shutil.which("ffmpeg") else "pyav"

        def theirs() -> None:
            # Preparing sets musdb to PyAV.
            musdb = import_musdb(decoder)
            for subset in ("train", "test"):
                for track in musdb.DB(root=str(folder / "demo"), subsets=subset, is_wav=not real):
                    mixture = track.audio
                    sources = {name: source.audio for name, source in track.sources.items()}
                    np.sum((mixture - sum(sources.values())) ** 2)
                    mono = np.stack([mixture.mean(-1), sources["vocals"].mean(-1)])
                    np.save(folder / "x.npy", mono.astype(np.float32))

        def ours() -> None:
            _probe.cache_clear()  # every run opens every file
            with redirect_stderr(io.StringIO()):  # no progress bar inside the table
                prepare(params, folder / "prepared")

        times = race({"ours": ours, "theirs": theirs}, rounds=3)
        count = len(list((folder / "prepared").glob("*.npy")))
        detail = (
            f"{times.median('ours') / count * 1e3:.0f} ms a track; "
            f"{'previews' if real else 'demo songs (.wav)'}, all stems; musdb by {decoder}, one by "
            f"one; ours with {workers} workers, which also check and hash every file"
        )
        return [times.row("prepare: times musdb", "theirs", "ours", 1.0, detail)]


def choose_songs(source: Path, destination: Path) -> None:
    """Link some of the previews, two of them in the official validation split."""
    validation = ["Actions - One Minute Smile", "Skelpolu - Human Mistakes"]
    for subset in ("train", "test"):
        (destination / subset).mkdir(parents=True)
        songs = sorted((source / subset).glob("*.stem.mp4"))
        chosen = [song for song in songs if song.name[:-9] in validation] + songs[:6]
        for song in {song.name: song for song in chosen}.values():
            (destination / subset / song.name).symlink_to(song)


def cost_of_size() -> list[Row]:
    """Attack and evaluation of 1, 2, 4 and 8 times the tracks, with a small model."""
    counts = (8, 16, 32, 64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = small_params(folder, train_songs=2, valid_songs=1, test_songs=64, seconds=4.0)
        with redirect_stderr(io.StringIO()):
            render_demo(params.demo, RATE, params.runtime.workers, folder / "demo")
            prepare(params, folder / "whole")
        prepared = folder / "data/prepared"
        prepared.parent.mkdir()
        prepared.symlink_to(folder / "whole")
        for variant in ("baseline", "improved"):
            run_stage(folder, "train", variant)
        for count in counts:
            choose_tracks(folder / "whole", folder / str(count), count)
        separator = InformedRSVM(build_model(params, params.variant("baseline"), 0).freeze())
        times = race(
            {
                str(count): partial(attack_and_evaluate, params, separator, folder / str(count))
                for count in counts
            },
            rounds=5,
        )
        peaks: dict[int, list[float]] = {counts[0]: [], counts[-1]: []}
        for _ in range(3):
            for count, found in peaks.items():
                prepared.unlink()
                prepared.symlink_to(folder / str(count))
                shutil.rmtree(folder / "checkpoints", ignore_errors=True)
                found.append(max(run_stage(folder, stage)[1] for stage in ("generate", "evaluate")))
    added = {
        (few, many): (times.median(str(many)) - times.median(str(few))) / (many - few)
        for few, many in pairwise(counts)
    }
    detail = ", ".join(f"{count} tracks {times.median(str(count)):.2f} s" for count in counts)
    detail += "; per added track " + ", ".join(f"{own * 1e3:.0f} ms" for own in added.values())
    small, large = (float(np.median(found)) for found in peaks.values())
    memory_detail = "; ".join(
        f"{count} tracks {', '.join(f'{peak:.0f}' for peak in found)} MiB"
        for count, found in peaks.items()
    )
    return [
        Row("time per added track: 8-16 over 32-64", added[8, 16] / added[32, 64], 0.8, detail),
        Row("peak memory: 8 tracks over 64", small / large, 0.9, memory_detail),
    ]


def choose_tracks(source: Path, destination: Path, count: int) -> None:
    """A prepared folder with the first test tracks of another, and its other splits."""
    manifest = json.loads((source / "manifest.json").read_text())
    test = [track for track in manifest["tracks"] if track["split"] == "test"][:count]
    rest = [track for track in manifest["tracks"] if track["split"] != "test"]
    destination.mkdir()
    for track in (*rest, *test):
        (destination / track["file"]).symlink_to(source / track["file"])
    (destination / "manifest.json").write_text(json.dumps(manifest | {"tracks": [*rest, *test]}))


def attack_and_evaluate(params: Params, separator: InformedRSVM, prepared: Path) -> None:
    """What the two stages do for one model."""
    cpu = torch.device("cpu")
    data = PreparedData(prepared)
    with tempfile.TemporaryDirectory() as name, redirect_stderr(io.StringIO()):
        folder = Path(name)
        victim = Victim("baseline", separator, "none")
        generate(params, victim, data, cpu, folder / "found", folder / "scratch")
        stored = checked_adversarials(folder / "found", params, data, "none")
        evaluate(params, "baseline", separator, data, stored, cpu)


def long_track() -> list[Row]:
    """Peak memory of every stage on stereo tracks of ten minutes, with the default model."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw = np.random.default_rng(0)
        tracks = {"train/long": 600, "train/short": 4, "test/long": 600}
        for track, seconds in tracks.items():
            path = folder / "songs" / track
            path.mkdir(parents=True)
            stems = {
                stem: draw.integers(-3000, 3000, size=(seconds * RATE, 2), dtype=np.int16)
                for stem in ("drums", "bass", "other", "vocals")
            }
            stems["mixture"] = sum(list(stems.values())[1:], stems["drums"])
            for stem, audio in stems.items():
                soundfile.write(path / f"{stem}.wav", audio, RATE, subtype="PCM_16")
        setup = Path(import_musdb("pyav").__path__[0]) / "configs/mus.yaml"
        configuration = yaml.safe_load(setup.read_text()) | {"validation_tracks": ["short"]}
        (folder / "songs/mus.yaml").write_text(yaml.safe_dump(configuration))
        tree = yaml.safe_load((ROOT / "params.yaml").read_text())
        tree["data"] |= {"source": "musdb18hq", "root": "songs"}
        tree["train"] |= {"epochs": 1}
        tree["attack"]["steps"] = 1
        tree["runtime"]["workers"] = 1
        (folder / "params.yaml").write_text(yaml.safe_dump(tree))
        peaks = {}
        for stage in ("prepare", "train baseline", "train improved", "generate", "evaluate"):
            peaks[stage] = run_stage(folder, *stage.split())[1]
    largest = max(peaks.values())
    detail = ", ".join(f"{stage} {peak:.0f}" for stage, peak in peaks.items()) + " MiB; one worker"
    return [Row("ten-minute track: 2 GB over peak memory", 1907 / largest, 1.0, detail)]


def long_training() -> list[Row]:
    """Peak memory of an epoch over ten hours of prepared music; a small model goes through it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared = folder / "data/prepared"
        prepared.mkdir(parents=True)
        draw = np.random.default_rng(0)
        # A minute sounds in every ten; the rest of each file is a hole, which takes room in memory
        # when it is read, but not on the disk.
        music = 0.1 * draw.standard_normal((2, 60 * RATE), dtype=np.float32)
        samples = 600 * RATE
        tracks = []
        for number in range(61):
            split = "valid" if number == 60 else "train"
            file = prepared / f"{number}.npy"
            whole = np.lib.format.open_memmap(file, "w+", np.float32, (2, samples))
            whole[:, : music.shape[1]] = music
            whole.flush()
            entry = {"split": split, "name": str(number), "file": file.name}
            tracks.append(entry | {"samples": samples, "sha256": ""})
        manifest = {"source": "demo", "sample_rate": RATE, "tracks": tracks}
        (prepared / "manifest.json").write_text(json.dumps(manifest))
        tree = yaml.safe_load((ROOT / "params.yaml").read_text())
        tree["train"] |= {"epochs": 1, "batch_size": 64}
        tree["model"] = {"channels": 16, "kernel": 256, "hop": 128}
        (folder / "params.yaml").write_text(yaml.safe_dump(tree))
        seconds, peak = run_stage(folder, "train", "baseline")
    detail = f"{peak:.0f} MiB; {seconds:.0f} s for 72,000 segments of two signals, small model"
    return [Row("training on ten hours: 3 GB over peak memory", 2861 / peak, 1.0, detail)]


def sharing() -> list[Row]:
    """Training in two processes of one thread each, against one process of two threads."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = yaml.safe_load((ROOT / "params.yaml").read_text())
        tree["data"]["root"] = str(folder / "demo")
        tree["demo"] |= {"train_songs": 6, "valid_songs": 1, "test_songs": 1}
        path = folder / "params.yaml"

        def seconds(devices: int, epochs: int) -> float:
            tree["train"]["epochs"] = epochs
            tree["runtime"] |= {"accelerator": "cpu", "devices": devices, "threads": 2 // devices}
            path.write_text(yaml.safe_dump(tree))
            return run_stage(folder, "train", "baseline")[0]

        path.write_text(yaml.safe_dump(tree))
        params = load_params(path)
        with redirect_stderr(io.StringIO()):
            render_demo(params.demo, RATE, params.runtime.workers, folder / "demo")
            prepare(params, folder / "data/prepared")
        # Starting is the same for a long training and a short one.
        times: dict[str, list[float]] = {"one": [], "two": []}
        for number in range(4):
            for side in list(times)[:: -1 if number % 2 else 1]:
                devices = 1 if side == "one" else 2
                times[side].append(seconds(devices, 5) - seconds(devices, 1))
    both = Times(times)
    detail = (
        f"four epochs of 12 steps: {both.median('one'):.1f} s in one process with two threads, "
        f"{both.median('two'):.1f} s in two with one; 6.5 million gradients are added up each step"
    )
    return [both.row("training in two processes: times one", "one", "two", 0.8, detail)]


def run_stage(folder: Path, stage: str, variant: str = "") -> tuple[float, float]:
    """Seconds of one stage, and the peak MiB of its process with all of its workers.

    Memory that processes share counts once (proportional set size), sampled five times a second.
    """
    arguments = ["--variant", variant, "--seed", "218"] if variant else []
    script = str(ROOT / "stages" / f"{stage}.py")
    start = time.perf_counter()
    peak = 0.0
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [sys.executable, script, *arguments], cwd=folder, stdout=log, stderr=log
        ) as process,
    ):
        while process.poll() is None:
            peak = max(peak, memory(psutil.Process(process.pid)))
            time.sleep(0.2)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{stage} {variant}: {log.read()}")
    return time.perf_counter() - start, peak


def memory(process: psutil.Process) -> float:
    """MiB of a process and its descendants."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                sizes = one.memory_full_info()
                total += getattr(sizes, "pss", sizes.uss)  # pss: Linux only
    return total / 2**20


# ------------------------------------------------------------------


def main() -> None:
    """Run every benchmark, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results.json")
    options = parser.parse_args()
    params = load_params(ROOT / "params.yaml")
    torch.set_num_threads(params.runtime.threads)
    torch.manual_seed(0)
    model = build_model(params, params.variant("baseline"), 0)
    workers = params.runtime.workers
    groups: list[Callable[[], list[Row]]] = [
        lambda: against_matrix_products(params, model),
        lambda: against_the_reference(params, model),
        lambda: against_museval(workers),
        lambda: against_musdb(workers),
        cost_of_size,
        long_track,
        long_training,
        sharing,
    ]
    rows = []
    for group in groups:
        for row in group():
            rows.append(row)
            verdict = "" if row.ratio >= row.target else "MISSED"
            rounds = f"{row.lowest:.2f}-{row.highest:.2f}" if row.lowest is not None else ""
            print(
                f"{row.name:48} {row.ratio:7.2f}  {rounds:14} >= {row.target:<5g} {verdict:7} "
                f"{row.detail}",
                flush=True,
            )
    machine = {
        **describe_environment(params.runtime),
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "code": commit(),
    }
    result = {"machine": machine, "ratios": [asdict(row) for row in rows]}
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(options.output)


def commit() -> str:
    """The commit that was measured, and whether its code was changed since."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    try:
        changed = git("status", "--porcelain", "--", "stemproof", "stages", "benchmarks/*.py")
        return git("rev-parse", "HEAD").strip() + (", changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"


def processor() -> str:
    """The processor's name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    names = [line.split(":")[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
