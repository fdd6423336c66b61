"""Does the precision change the figures? A system trained, attacked and scored in each.

    python benchmarks/precision.py --system baseline

Uses the data that params.yaml prepared. `32-true` with another training seed stands beside the
precisions: what luck changes. On a GPU TF32 is the hardware's; on a CPU, which has none, it is
emulated: the operands of every convolution and matrix product, forward and backward, are rounded to
its 10 bits of mantissa, and products are added up in float32. That shows the accuracy of TF32, and
nothing of its speed.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from project import PREPARED, Params
from stemproof.attacks.store import Victim, generate
from stemproof.attacks.stored import open_adversarials
from stemproof.core.machine import ProcessParams
from stemproof.core.params import TrainParams, load_params
from stemproof.core.runtime import make_fabric
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.figures.summary import Scored, summarize
from stemproof.separators.checkpoint import load, save
from stemproof.separators.kind import Making
from stemproof.separators.registry import entry

PRODUCTS = {
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
}
DROPPED = 13  # bits of float32's mantissa that TF32 lacks


class Needs(Params):
    """Parameters of a run."""

    train: TrainParams


def rounded(value: Any) -> Any:
    """A float32 tensor rounded to the nearest TF32 numbers, ties to even; all else as it is."""
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    bits = value.contiguous().view(torch.int32)
    half = (1 << (DROPPED - 1)) - 1 + ((bits >> DROPPED) & 1)
    return ((bits + half) >> DROPPED << DROPPED).view(torch.float32)


class EmulatedTF32(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Rounds the operands of every product inside the block."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called for every operation, forward and backward."""
        if func in PRODUCTS:
            args = tree_map(rounded, args)
        return func(*args, **(kwargs or {}))


def measure(params: Needs, precision: str, system: str, seed: int) -> dict[str, Any]:
    """BS, AT-BS and RB of a system that is trained and attacked in one precision."""
    emulated = precision == "tf32" and not torch.cuda.is_available()
    runtime = params.runtime.model_copy(update={"precision": "32-true" if emulated else precision})
    fabric = make_fabric(runtime, ProcessParams())
    data = PreparedData(PREPARED)
    kind, settings = entry(params.separators, system)
    shared = getattr(params, kind.name, None)
    with (
        tempfile.TemporaryDirectory() as name,
        EmulatedTF32() if emulated else nullcontext(),  # type: ignore[no-untyped-call]
        # The fused attention would hide its products from the emulation.
        sdpa_kernel(SDPBackend.MATH) if emulated else nullcontext(),
    ):
        file, resume = Path(name) / "system.safetensors", Path(name) / "resume.ckpt"
        made = kind.make(
            Making(system, settings, seed, data, params.segments, shared, fabric, resume)
        )
        save(file, kind, made.model, system, seed, made.settings, made.trained)
        separator = load(file, params.attack.mask, fabric.device)
        scored = attacked(params, Victim(precision, separator, file), data, fabric.device)
    return summarize({seed: scored}, params.statistics.model_copy(update={"bootstrap": 100}))


def attacked(params: Needs, victim: Victim, data: PreparedData, device: torch.device) -> Scored:
    """The figures of one model, without BSSEval and the oracle's."""
    evaluator = Evaluator(
        victim.name,
        victim.separator,
        None,
        params.evaluate.model_copy(update={"bsseval": "none"}),
        params.attack,
        params.segments,
        params.workers,
        ProcessParams(),
        device,
    )
    with tempfile.TemporaryDirectory() as name:
        found, scratch = Path(name) / "found", Path(name) / "scratch"
        generate(params.attack, params.segments, victim, data, device, found, scratch)
        stored = open_adversarials(found, params.attack, params.segments, data)
        return evaluator.evaluate(data, stored)


def main() -> None:
    """Print the figures of each precision, and how far they are from float32's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", default="baseline")
    options = parser.parse_args()
    params = load_params(Needs)
    seed = params.train.seeds[0]
    runs = [("32-true", seed), ("tf32", seed), ("bf16-mixed", seed), ("32-true", seed + 1)]
    print(
        "| precision | seed | BS | AT-BS | RB | paired drop | BS, off | RB, off | drop, off |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    exact: dict[str, Any] = {}
    for precision, number in runs:
        found = measure(params, precision, options.system, number)
        exact = exact or found
        cells = [f"{found[key]:.4f}" for key in ("bs", "at_bs", "rb", "drop")]
        cells += [f"{found[key] - exact[key]:+.4f}" for key in ("bs", "rb", "drop")]
        print(f"| {precision} | {number} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
