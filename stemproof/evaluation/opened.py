"""A model as the evaluation takes it, from what the attack stored of it."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from stemproof.attacks.params import AttackParams
from stemproof.attacks.stored import Adversarials
from stemproof.attacks.threat import fitted
from stemproof.core.machine import ProcessParams, RuntimeParams, WorkerParams
from stemproof.core.runtime import describe_environment
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.params import EvaluateParams
from stemproof.separators.checkpoint import load, read_header
from stemproof.separators.protocol import Informed
from stemproof.separators.registry import Entries, oracle


class Evaluated(Protocol):
    """The sections of the parameters that a model is evaluated with."""

    segments: SegmentParams
    separators: Entries
    attack: AttackParams
    evaluate: EvaluateParams
    runtime: RuntimeParams
    processes: ProcessParams
    workers: WorkerParams


def open_evaluator(
    system: str,
    seed: int,
    stored: Adversarials,
    data: PreparedData,
    params: Evaluated,
    device: torch.device,
) -> Evaluator:
    """What plays recordings to the model that was attacked, and to the oracle beside it.

    Args:
        system: name of the system.
        seed: of its training.
        stored: what the attack stored.
        data: prepared data.
        params: sections of the parameters.
        device: where to compute.

    Raises:
        InputError: the model is damaged, or there is no such oracle.
    """
    compiled = params.runtime.compile
    separator = load(stored.model, params.attack.mask, device, compiled, (system, seed))
    return Evaluator(
        f"{system}-{seed}",
        fitted(separator, data),
        oracle(params.separators, params.evaluate.oracle, data.sample_rate, device),
        params.evaluate,
        params.attack,
        params.segments,
        params.workers,
        params.processes,
        device,
    )


def about_model(
    system: str, seed: int, stored: Adversarials, evaluator: Evaluator, runtime: RuntimeParams
) -> dict[str, Any]:
    """What figures say of the model that they are of.

    Args:
        system: its name.
        seed: of its training.
        stored: what the attack stored.
        evaluator: holds the model.
        runtime: what was computed with.
    """
    header = read_header(stored.model)
    return {
        "system": system,
        "seed": seed,
        "kind": header.kind.name,
        "trained": header.trained,
        "informed": isinstance(evaluator.separator, Informed),
        "gate": dict(stored.gate),
        "settings": dict(header.settings),
        "environment": describe_environment(runtime),
        "model_sha256": stored.model_sha256,
    }
