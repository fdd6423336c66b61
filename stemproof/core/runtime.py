"""Device, threads and determinism, set once per stage."""

from __future__ import annotations

import os
import platform
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import torch

from stemproof.core.errors import InputError
from stemproof.core.gpus import VARIABLE, claim_gpu
from stemproof.core.launchers import PARENT, check_count, check_launcher, number_of
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.shards import WHOLE, Shard

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# One process may score or store for long while the others wait. That one of them has ended is not
# learned from waiting: Fabric ends the first process when another fails, and the others end with
# the process that started them.
PATIENCE = timedelta(days=2)
WATCH = 1.0  # seconds between two looks at the parent


@dataclass(frozen=True)
class Place:
    """Where a stage computes.

    Attributes:
        device: the device of this process.
        shard: which of the processes this is.
    """

    device: torch.device
    shard: Shard


def make_place(runtime: RuntimeParams, processes: ProcessParams) -> Place:
    """The device and this process's share, for a stage that trains nothing.

    Args:
        runtime: accelerator, precision and threads.
        processes: devices and nodes.

    Raises:
        InputError: as :func:`make_fabric`.
    """
    if processes.count > 1:
        fabric = make_fabric(runtime, processes)
        return Place(fabric.device, shard_of(fabric))
    # Fabric, whose import takes a second, has nothing to share out.
    accelerator = _set_up(runtime, processes)
    torch.set_num_threads(runtime.threads)
    return Place(torch.device("cuda", 0) if accelerator == "cuda" else torch.device("cpu"), WHOLE)


def make_fabric(runtime: RuntimeParams, processes: ProcessParams) -> Fabric:
    """Set the thread count and deterministic algorithms, find the devices, start the processes.

    With more than one device, Fabric starts this script once per further device of the machine
    (or finds the processes of torchrun or SLURM); :func:`shard_of` says which one this is.

    Args:
        runtime: accelerator, precision and threads.
        processes: devices and nodes.

    Raises:
        InputError: the accelerator that was asked for is not there. There is no fallback. Or the
            list of GPUs of a sweep is not one, or every stage takes several
            (:mod:`stemproof.core.gpus`).
            Or a launcher started another number of processes than the parameters say, or none did
            where one is needed.
    """
    accelerator = _set_up(runtime, processes)
    import lightning_fabric

    from stemproof.core.local_group import LocalGroup, prepare_meeting

    devices, nodes = processes.devices, processes.nodes
    if processes.count > 1:
        prepare_meeting()
    try:
        fabric = lightning_fabric.Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision="32-true" if runtime.precision == "tf32" else runtime.precision,  # type: ignore[arg-type]
            strategy=LocalGroup(PATIENCE) if processes.count > 1 else "auto",
        )
        fabric.launch()
    except Exception as error:  # Fabric raises its own exceptions of several kinds.
        raise InputError(
            f"runtime: {devices} device(s) of kind {runtime.accelerator} on {nodes} node(s) "
            f"cannot be had ({error}); set processes.devices and processes.nodes to what there is"
        ) from None
    check_count(fabric.world_size, processes.count)
    # Only now: launching several processes shares out the cores, whatever was set before.
    torch.set_num_threads(runtime.threads)
    return fabric


def _set_up(runtime: RuntimeParams, processes: ProcessParams) -> str:
    """Refuse what cannot be had, and make results repeatable; the accelerator."""
    if runtime.accelerator != "cpu":
        if processes.count > 1 and VARIABLE in os.environ:
            raise InputError(
                f"{VARIABLE} gives every stage one GPU, but processes.devices x processes.nodes = "
                f"{processes.count}; set both to 1, or unset {VARIABLE}"
            )
        claim_gpu()
    if runtime.compile:
        torch.use_deterministic_algorithms(True, warn_only=True)
    else:  # the same without torch.compile's own switch, whose import takes a second
        torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False
    tf32 = runtime.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    # cuBLAS repeats its bits only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if runtime.accelerator == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "runtime.accelerator = cuda, but PyTorch sees no CUDA device; "
            "set runtime.accelerator = cpu, or install a driver and a CUDA build of PyTorch"
        )
    check_launcher(processes)
    accelerator = _resolve(runtime)
    # A GPU's backward passes of these kernels of attention do not repeat their bits.
    torch.backends.cuda.enable_flash_sdp(accelerator == "cpu")
    torch.backends.cuda.enable_mem_efficient_sdp(accelerator == "cpu")
    cores = os.cpu_count() or 1
    if accelerator == "cpu" and processes.devices > cores:
        raise InputError(
            f"processes.devices = {processes.devices}, but this machine has {cores} CPU core(s) "
            f"and no GPU is asked for or found; set processes.devices to {cores} at most"
        )
    if runtime.precision in ("16-mixed", "tf32") and accelerator == "cpu":
        raise InputError(
            f"runtime.precision = {runtime.precision} needs CUDA; set it to 32-true or bf16-mixed"
        )
    _end_with_parent()
    return accelerator


def _end_with_parent() -> None:
    """End a further process when the one that started it has ended: nobody waits for it any more.

    Of the processes of a machine Fabric starts all but the first, which leaves its number in the
    environment: it may have ended before they look.
    """
    if not number_of("LOCAL_RANK"):
        os.environ[PARENT] = str(os.getpid())
        return
    parent = number_of(PARENT) or os.getppid()  # torchrun's agent leaves none

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def shard_of(fabric: Fabric) -> Shard:
    """Which of the processes this is."""
    return Shard(fabric.global_rank, fabric.world_size)


def _resolve(runtime: RuntimeParams) -> str:
    """``auto`` is CUDA where there is one, else the CPU."""
    if runtime.accelerator != "auto":
        return runtime.accelerator
    return "cuda" if torch.cuda.is_available() else "cpu"


def describe_environment(runtime: RuntimeParams) -> dict[str, str]:
    """Device, threads and versions: what a figure was computed with."""
    cuda = _resolve(runtime) == "cuda"
    packages = ("torch", "numpy", "scipy", "musdb", "museval", "dvc")
    return {
        "device": torch.cuda.get_device_name() if cuda else f"CPU ({platform.machine()})",
        "threads": str(runtime.threads),
        "precision": runtime.precision,
        "python": platform.python_version(),
    } | {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
