"""Training, attack and figures of small models, without DVC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from conftest import AllParams

from stemproof.attacks.store import Victim, generate
from stemproof.attacks.stored import Adversarials, open_adversarials
from stemproof.core.machine import ProcessParams
from stemproof.core.runtime import make_fabric
from stemproof.core.shards import WHOLE, Shard
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.figures.summary import Scored, summarize
from stemproof.separators.checkpoint import save
from stemproof.separators.kind import Made, Making
from stemproof.separators.protocol import Separator
from stemproof.separators.registry import entry, find_kind, oracle
from stemproof.separators.rsvm.model import RSVM, build_model
from stemproof.separators.rsvm.params import RSVMSettings

CPU = torch.device("cpu")


def make(params: AllParams, data: PreparedData, resume: Path, name: str) -> Made:
    """Train (or take) one system with the first training seed."""
    kind, settings = entry(params.separators, name)
    fabric = make_fabric(params.runtime, ProcessParams())
    return kind.make(
        Making(
            name,
            settings,
            params.train.seeds[0],
            data,
            params.segments,
            params.rsvm,
            fabric,
            resume,
            params.runtime.compile,
        )
    )


def new_model(params: AllParams, name: str, seed: int) -> RSVM:
    """A variant of RSVM with its initial weights."""
    _, settings = entry(params.separators, name)
    assert isinstance(settings, RSVMSettings)
    rate, samples = params.data.sample_rate, params.segment_samples
    return build_model(params.rsvm.sizes, settings, rate, samples, seed)


def store_model(path: Path, made: Made, name: str, seed: int, kind: str = "rsvm") -> Path:
    """Write a made model, as the stage does."""
    save(path, find_kind(kind), made.model, name, seed, made.settings, made.trained)
    return path


def attack(
    params: AllParams,
    separator: Separator,
    data: PreparedData,
    folder: Path,
    name: str = "x",
    shard: Shard = WHOLE,
) -> Adversarials:
    """Attack the test split and open what was stored."""
    model = folder / "model.safetensors"
    if not model.exists():
        folder.mkdir(parents=True, exist_ok=True)
        model.write_bytes(b"whose bytes only count as an identity")
    generate(
        params.attack,
        params.segments,
        Victim(name, separator, model),
        data,
        CPU,
        folder / "adversarial",
        folder / "scratch",
        shard,
    )
    return opened(params, data, folder)


def opened(params: AllParams, data: PreparedData, folder: Path) -> Adversarials:
    """What was stored in a folder, verified."""
    return open_adversarials(folder / "adversarial", params.attack, params.segments, data)


def score(
    params: AllParams, separator: Separator, data: PreparedData, stored: Adversarials
) -> Scored:
    """The figures of one model under what is stored."""
    beside = oracle(params.separators, params.evaluate.oracle, data.sample_rate, CPU)
    evaluator = Evaluator(
        "x",
        separator,
        beside,
        params.evaluate,
        params.attack,
        params.segments,
        params.workers,
        params.processes,
        CPU,
    )
    return evaluator.evaluate(data, stored)


def figures_of(
    params: AllParams, separator: Separator, data: PreparedData, folder: Path
) -> dict[str, Any]:
    """What `metrics/systems/NAME.json` says of one model under what is stored in a folder."""
    scored = score(params, separator, data, opened(params, data, folder))
    return summarize({1: scored}, params.statistics)
