"""Every claim of speed as a ratio, measured side by side in one run.

    make bench            # prints a table and writes benchmarks/results.json

Both sides of a ratio are timed in turns, several times; the median of each is taken. Sizes are
those of the default model unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import eagerpy
import foolbox
import numpy as np
import soundfile
import torch
import yaml
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import reference

from rsvm.attacks.gradient import GradientAttack
from rsvm.attacks.norms import make_budget
from rsvm.attacks.objectives import negative_si_sdr
from rsvm.attacks.steps import Constant
from rsvm.bsseval import Estimate, TrackEstimates, score, score_all, score_by_museval, windowed_sdr
from rsvm.data.codec import import_musdb
from rsvm.data.prepare import prepare
from rsvm.demo.songs import render_demo
from rsvm.metrics import si_sdr
from rsvm.model.rsvm import RSVM, build_model
from rsvm.params import Params, load_params
from rsvm.runtime import describe_environment
from rsvm.separator import InformedRSVM
from rsvm.train import training_losses

SEGMENTS = 16
RATE = 44_100


@dataclass(frozen=True)
class Row:
    """One ratio. ``target`` is what it should be at least."""

    name: str
    ratio: float
    target: float
    detail: str


def race(sides: dict[str, Callable[[], Any]], rounds: int = 5) -> dict[str, float]:
    """Median seconds of each side; they take turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if number:
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(own)) for name, own in times.items()}


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


def against_matrix_products(params: Params, model: RSVM) -> list[Row]:
    """Training and PGD step against the machine's own rate of matrix products."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    vocals, rest = (0.1 * torch.randn(params.train.batch_size, RATE) for _ in range(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)

    def train_step() -> None:
        distortion, roughness = training_losses(model, vocals, rest, params.train)
        optimizer.zero_grad()
        (distortion + 0.5 * roughness).backward()
        optimizer.step()

    times = race({"product": lambda: left @ right, "train": train_step})
    rate = 2.0 * size**3 / times["product"]
    share = training_operations(params) / times["train"] / rate
    rows = [
        Row(
            "training step: share of the matrix-product rate",
            share,
            0.75,
            f"{training_operations(params) / 1e9:.1f} Gflop in {times['train'] * 1e3:.0f} ms; "
            f"products run at {rate / 1e9:.0f} Gflop/s",
        )
    ]
    separator = InformedRSVM(build_model(params, params.variant("baseline"), 0).freeze())
    mixture, voice = (0.1 * torch.randn(SEGMENTS, RATE) for _ in range(2))
    context = separator.context(mixture, voice)

    def attack_step() -> None:
        x = mixture.clone().requires_grad_(True)
        loss = -si_sdr(voice, separator.separate(x, context)).sum()
        torch.autograd.grad(loss, x)

    times = race({"product": lambda: left @ right, "attack": attack_step})
    rate = 2.0 * size**3 / times["product"]
    count = attack_operations(params, SEGMENTS)
    rows.append(
        Row(
            "PGD step: share of the matrix-product rate",
            count / times["attack"] / rate,
            0.75,
            f"{count / 1e9:.1f} Gflop for {SEGMENTS} segments in {times['attack'] * 1e3:.0f} ms",
        )
    )
    return rows


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

    times = race({"ours": ours, "theirs": theirs})
    rows = [
        Row("training step: times the reference's way", times["theirs"] / times["ours"], 1.0, "")
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
    rows.append(
        Row(
            "test loop: times the reference's way",
            times["theirs"] / times["ours"],
            1.5,
            f"largest difference {same:.1e} dB",
        )
    )
    return [*rows, *against_foolbox(separator, mixture, voice)]


def against_foolbox(separator: InformedRSVM, mixture: Tensor, voice: Tensor) -> list[Row]:
    """PGD with the same loss, budget and steps; and segment by segment."""
    context = separator.context(mixture, voice)
    steps, eps = 4, 0.003

    class OnWaveforms(foolbox.attacks.LinfProjectedGradientDescentAttack):  # type: ignore[misc]
        def get_loss_fn(self, model: Any, labels: Any) -> Any:
            def loss(x: Any) -> Any:
                estimate = separator.separate(x.raw, context)
                return eagerpy.astensor(negative_si_sdr(estimate, voice, estimate).sum())

            return loss

    theirs = OnWaveforms(abs_stepsize=0.25 * eps, steps=steps, random_start=False)
    model = foolbox.PyTorchModel(torch.nn.Identity().eval(), bounds=(-10, 10), device="cpu")
    labels = foolbox.criteria.Misclassification(torch.zeros(len(mixture), dtype=torch.long))
    ours = GradientAttack(negative_si_sdr, steps, 0.25, Constant, random_start=False)

    def one_by_one() -> None:
        for x, s, c in zip(mixture.split(1), voice.split(1), context.split(1), strict=True):
            ours(separator, x, s, c, make_budget("linf", x, eps, 0), torch.Generator())

    def together() -> None:
        budget = make_budget("linf", mixture, eps, 0)
        ours(separator, mixture, voice, context, budget, torch.Generator())

    times = race(
        {
            "ours": together,
            "foolbox": lambda: theirs.run(model, mixture, labels, epsilon=eps),
            "one by one": one_by_one,
        },
        rounds=3,
    )
    return [
        Row(
            "PGD: times foolbox",
            times["foolbox"] / times["ours"],
            1.0,
            f"{steps} steps on both sides; ours also scores the last iterate and keeps the worst",
        ),
        Row("PGD: times segment by segment", times["one by one"] / times["ours"], 1.0, ""),
    ]


# ------------------------------------------------------------------ BSSEval


def make_track(seed: int, seconds: float = 7.0) -> TrackEstimates:
    """Colored noise with a clean and an attacked estimate."""
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
    """Workers against a sequence, and our computations against museval's."""
    tracks = [make_track(seed) for seed in range(2 * workers)]
    threads = torch.get_num_threads()
    # Workers are started once and stay: starting them is no part of the ratio.
    score_all(tracks, RATE, "museval", workers)
    times = race(
        {
            "workers": lambda: score_all(tracks, RATE, "museval", workers),
            "sequence": lambda: score_all(tracks, RATE, "museval", 1),
        },
        rounds=3,
    )
    rows = [
        Row(
            "museval in workers: speed-up per core",
            times["sequence"] / times["workers"] / workers,
            0.9,
            f"{workers} workers, {len(tracks)} tracks of 7 s",
        )
    ]
    torch.set_num_threads(1)
    track = tracks[0]
    ours, theirs = score(track, RATE), score_by_museval(track, RATE)
    apart = max(
        abs(own[figure] - other[figure])
        for own, other in zip(ours, theirs, strict=True)
        if isinstance(own, dict) and isinstance(other, dict)
        for figure in own
    )
    times = race(
        {
            "museval": lambda: score_by_museval(track, RATE),
            "ours": lambda: score(track, RATE),
            "sdr": lambda: windowed_sdr(track, RATE),
        },
        rounds=3,
    )
    sdr = [figures["sdr"] for figures in theirs if isinstance(figures, dict)]
    sdr_apart = max(abs(a - b) for a, b in zip(windowed_sdr(track, RATE), sdr, strict=True))
    torch.set_num_threads(threads)
    return [
        *rows,
        Row(
            "BSSEval v4 in batches: times museval",
            times["museval"] / times["ours"],
            10.0,
            f"largest difference {apart:.1e} dB",
        ),
        Row(
            "closed-form SDR: times museval",
            times["museval"] / times["sdr"],
            100.0,
            f"largest difference {sdr_apart:.1e} dB",
        ),
    ]


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
        try:
            musdb = import_musdb("ffmpeg" if real else "pyav")
        except Exception as error:
            print(f"prepare is not compared with musdb: {error}")
            return []

        def theirs() -> None:
            for subset in ("train", "test"):
                for track in musdb.DB(root=str(folder / "demo"), subsets=subset, is_wav=not real):
                    mixture, vocals = track.audio.mean(-1), track.targets["vocals"].audio.mean(-1)
                    np.save(folder / "x.npy", np.stack([mixture, vocals]).astype(np.float32))

        def ours() -> None:
            prepare(params, folder / "prepared")

        times = race({"ours": ours, "theirs": theirs}, rounds=2)
        kind = "previews" if real else "demo songs (.wav)"
        detail = f"{kind}; ours also checks and hashes every file, with {workers} workers"
        return [Row("prepare: times musdb", times["theirs"] / times["ours"], 1.0, detail)]


def choose_songs(source: Path, destination: Path) -> None:
    """Link some of the previews, two of them in the official validation split."""
    validation = ["Actions - One Minute Smile", "Skelpolu - Human Mistakes"]
    for subset in ("train", "test"):
        (destination / subset).mkdir(parents=True)
        songs = sorted((source / subset).glob("*.stem.mp4"))
        chosen = [song for song in songs if song.name[:-9] in validation] + songs[:6]
        for song in {song.name: song for song in chosen}.values():
            (destination / subset / song.name).symlink_to(song)


STAGE = """
import resource, runpy, sys
sys.path.insert(0, sys.argv[1] + "/stages"); script = sys.argv[2]; sys.argv = sys.argv[2:]
try: runpy.run_path(script, run_name="__main__")
except SystemExit as end: assert not end.code, end.code
peaks = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print("PEAK", max(peak.ru_maxrss for peak in peaks))
"""


def cost_of_size() -> list[Row]:
    """Attack and evaluation of 1, 2, 4 and 8 times the tracks, with a small model."""
    seconds, peaks, counts = [], [], (4, 8, 16, 32)
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            small_params(folder, train_songs=2, valid_songs=1, test_songs=count, seconds=4.0)
            tree = yaml.safe_load((folder / "params.yaml").read_text())
            tree["train"]["epochs"] = 1
            tree["data"]["root"] = "data/demo"
            (folder / "params.yaml").write_text(yaml.safe_dump(tree))
            for stage in ("render", "prepare", "train baseline", "train improved"):
                run_stage(folder, *stage.split())
            measured = [run_stage(folder, stage) for stage in ("generate", "evaluate")]
            seconds.append(sum(spent for spent, _ in measured))
            peaks.append(max(peak for _, peak in measured))
    # Starting costs the same at every size: the slope between sizes is what grows.
    slopes = np.diff(seconds) / np.diff(counts)
    detail = ", ".join(
        f"{n} tracks {s:.0f} s {p:.0f} MiB" for n, s, p in zip(counts, seconds, peaks, strict=True)
    )
    return [
        Row(
            "time per added track: smallest size over largest", slopes[0] / slopes[-1], 0.8, detail
        ),
        Row("peak memory: 4 tracks over 32", peaks[0] / peaks[-1], 0.9, ""),
    ]


def long_track() -> list[Row]:
    """Peak memory of every stage on a stereo track of ten minutes, with the default model."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw = np.random.default_rng(0)
        tracks = {"train/a": 4, "train/b": 4, "test/long": 600}
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
        configuration = yaml.safe_load(setup.read_text()) | {"validation_tracks": ["b"]}
        (folder / "songs/mus.yaml").write_text(yaml.safe_dump(configuration))
        tree = yaml.safe_load((ROOT / "params.yaml").read_text())
        tree["data"] |= {"source": "musdb18hq", "root": "songs"}
        tree["train"] |= {"epochs": 1, "batch_size": 2}
        tree["attack"]["steps"] = 1
        (folder / "params.yaml").write_text(yaml.safe_dump(tree))
        peaks = {}
        for stage in ("prepare", "train baseline", "train improved", "generate", "evaluate"):
            peaks[stage] = run_stage(folder, *stage.split())[1]
    largest = max(peaks.values())
    detail = ", ".join(f"{stage} {peak:.0f}" for stage, peak in peaks.items()) + " MiB"
    return [Row("ten-minute track: 2 GB over peak memory", 1907 / largest, 1.0, detail)]


def run_stage(folder: Path, stage: str, variant: str = "") -> tuple[float, float]:
    """Seconds and peak MiB of one stage in a process of its own."""
    arguments = ["--variant", variant, "--seed", "218"] if variant else []
    script = str(ROOT / "stages" / f"{stage}.py")
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", STAGE, str(ROOT), script, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    peak = int(done.stdout.split("PEAK")[-1]) / 1024
    return time.perf_counter() - start, peak


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
    ]
    rows = []
    for group in groups:
        for row in group():
            rows.append(row)
            verdict = "" if row.ratio >= row.target else "MISSED"
            print(f"{row.name:52} {row.ratio:8.2f}  >= {row.target:<6g} {verdict:7} {row.detail}")
    machine = {
        **describe_environment(params.runtime),
        "processor": processor(),
        "cores": str(os.cpu_count()),
    }
    result = {"machine": machine, "ratios": [asdict(row) for row in rows]}
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.output}; this process used {peak:.0f} MiB")


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
