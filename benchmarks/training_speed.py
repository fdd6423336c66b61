"""Training steps a second of RSVM on this machine's GPU (or CPU), by itself and many at once.

Random samples stand in for recordings; sizes and recipe are those of params.yaml.

    python benchmarks/training_speed.py --precision 32-true --precision tf32 --at-once 12

Many trainings at once share a GPU better under NVIDIA's MPS (`nvidia-cuda-mps-control -d`).
"""

from __future__ import annotations

import multiprocessing
import time
from typing import Annotated, Any

import torch
import typer
from typer import Option

from project import Params
from stemproof.core.ending import one_line
from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams
from stemproof.core.params import load_params
from stemproof.core.runtime import make_fabric
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.objective import step_terms
from stemproof.separators.rsvm.params import RSVMSettings
from stemproof.separators.rsvm.train import InPrecision

HELD = 400  # segments in the device's memory
WARM_UP = 10  # steps
BETWEEN = 10  # steps between two looks at the clock, which wait for the device


def main(
    system: Annotated[str, Option(help="a name under `separators`")] = "improved",
    precision: Annotated[list[str] | None, Option(help="values of runtime.precision")] = None,
    at_once: Annotated[list[int] | None, Option(min=1, help="processes")] = None,
    seconds: Annotated[float, Option(min=0.1, help="of measuring, after all are ready")] = 5.0,
) -> None:
    """Print steps a second of all processes together."""
    print("| precision | trainings at once | steps a second, all together |\n|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for name in precision or ["32-true"]:
        for count in at_once or [1]:
            ready, found = context.Barrier(count), context.Queue()
            arguments = system, name, seconds, ready, found
            processes = [context.Process(target=measure, args=arguments) for _ in range(count)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            if any(process.exitcode for process in processes):
                raise InputError(f"--precision {name}: a process ended; what it said is above")
            rate = sum(found.get() for _ in processes)
            print(f"| {name} | {count} | {rate:.1f} |", flush=True)


def measure(system: str, precision: str, seconds: float, ready: Any, found: Any) -> None:
    """Train for a while and put the steps a second into a queue.

    Args:
        system: a name under ``separators``.
        precision: ``runtime.precision``.
        seconds: of measuring.
        ready: a barrier of all processes.
        found: the queue.
    """
    params = load_params(Params)
    _, variant = entry(params.separators, system)
    assert isinstance(variant, RSVMSettings)
    runtime = params.runtime.model_copy(update={"precision": precision})
    fabric = make_fabric(runtime, ProcessParams())
    recipe, length = params.rsvm.training, params.segment_samples
    model = build_model(params.rsvm.sizes, variant, params.data.sample_rate, length, seed=0)
    fused = True if fabric.device.type == "cuda" else None
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=fused)
    wrapped, optimizer = fabric.setup(model, optimizer)
    for method in ("encode", "decode"):
        wrapped.mark_forward_method(method)
    precise = InPrecision(wrapped, fabric)
    audio = 0.1 * torch.randn(2, HELD, length, device=fabric.device)

    def train(steps: int) -> None:
        for _ in range(steps):
            chosen = torch.randint(0, HELD, (2, recipe.batch_size)).to(fabric.device)
            stems = audio[0][chosen[0]], audio[1][chosen[1]]
            terms = step_terms(precise, *stems, recipe, variant.adversarial)
            optimizer.zero_grad()
            fabric.backward(terms["loss"])
            optimizer.step()
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()

    train(WARM_UP)
    ready.wait()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        train(BETWEEN)
        steps += BETWEEN
    found.put(steps / (time.perf_counter() - start))


if __name__ == "__main__":
    with one_line():
        typer.run(main)
