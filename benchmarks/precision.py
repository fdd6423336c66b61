"""Does the precision change the figures? A variant trained, attacked and scored in each.

    python benchmarks/precision.py --variant baseline

Uses the data that params.yaml prepared. `32-true` with another training seed stands beside the
precisions: what luck changes. On a GPU TF32 is the hardware's; on a CPU, which has none, it is
emulated: the operands of every convolution and matrix product, forward and backward, are rounded to
its 10 bits of mantissa, and products are added up in float32. That shows the accuracy of TF32, and
nothing of its speed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stemproof.attacks.generate import Victim, checked_adversarials, generate
from stemproof.core.runtime import make_fabric
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import evaluate, summarize
from stemproof.params import Params, load_params
from stemproof.separators.protocol import informed
from stemproof.separators.rsvm.train import train

PRODUCTS = {
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
}
DROPPED = 13  # bits of float32's mantissa that TF32 lacks


def rounded(value: Any) -> Any:
    """A float32 tensor rounded to the nearest TF32 numbers, ties to even; all else as it is."""
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    bits = value.contiguous().view(torch.int32)
    half = (1 << (DROPPED - 1)) - 1 + ((bits >> DROPPED) & 1)
    return ((bits + half) >> DROPPED << DROPPED).view(torch.float32)


class EmulatedTF32(TorchDispatchMode):
    """Rounds the operands of every product inside the block."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Called for every operation, forward and backward."""
        if func in PRODUCTS:
            args = tree_map(rounded, args)
        return func(*args, **(kwargs or {}))


def measure(params: Params, precision: str, variant: str, seed: int) -> dict[str, Any]:
    """BS, AT-BS and RB of a variant that is trained and attacked in one precision."""
    emulated = precision == "tf32" and not torch.cuda.is_available()
    runtime = params.runtime.model_copy(update={"precision": "32-true" if emulated else precision})
    settings = params.evaluate.model_copy(update={"bsseval": "none", "bootstrap": 100})
    params = params.model_copy(update={"runtime": runtime, "evaluate": settings})
    fabric = make_fabric(runtime)
    data = PreparedData(Path("data/prepared"))
    with (
        tempfile.TemporaryDirectory() as name,
        EmulatedTF32() if emulated else nullcontext(),
        # The fused attention would hide its products from the emulation.
        sdpa_kernel(SDPBackend.MATH) if emulated else nullcontext(),
    ):
        folder = Path(name)
        model = train(params, variant, seed, data, fabric, folder / "resume.ckpt").model
        separator = informed(model.to(fabric.device))
        victim = Victim(precision, separator, precision)
        generate(params, victim, data, fabric.device, folder / "found", folder / "scratch")
        stored = checked_adversarials(folder / "found", params, data, precision)
        found = evaluate(params, precision, separator, data, stored, fabric.device)
        return summarize({seed: found}, settings)


def main() -> None:
    """Print the figures of each precision, and how far they are from float32's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="baseline")
    options = parser.parse_args()
    params = load_params()
    seed = params.seeds_of(options.variant)[0]
    runs = [("32-true", seed), ("tf32", seed), ("bf16-mixed", seed), ("32-true", seed + 1)]
    print(
        "| precision | seed | BS | AT-BS | RB | paired drop | BS, off | RB, off | drop, off |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    exact: dict[str, Any] = {}
    for precision, number in runs:
        found = measure(params, precision, options.variant, number)
        exact = exact or found
        cells = [f"{found[key]:.4f}" for key in ("bs", "at_bs", "rb", "drop")]
        cells += [f"{found[key] - exact[key]:+.4f}" for key in ("bs", "rb", "drop")]
        print(f"| {precision} | {number} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
