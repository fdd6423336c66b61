"""Device, threads and determinism, set once per stage."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch
from lightning_fabric import Fabric

from rsvm.errors import InputError
from rsvm.params import RuntimeParams


def make_fabric(runtime: RuntimeParams) -> Fabric:
    """Set the thread count and deterministic algorithms, and find the device.

    Raises:
        InputError: the accelerator that was asked for is not there. There is no fallback.
    """
    torch.set_num_threads(runtime.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    # cuBLAS repeats its bits only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if runtime.accelerator == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "runtime.accelerator = cuda, but PyTorch sees no CUDA device; "
            "set runtime.accelerator = cpu, or install a driver and a CUDA build of PyTorch"
        )
    accelerator = _resolve(runtime)
    if runtime.precision == "16-mixed" and accelerator == "cpu":
        raise InputError("runtime.precision = 16-mixed needs CUDA; set it to 32-true or bf16-mixed")
    if runtime.devices * runtime.nodes > 1:
        raise InputError(
            f"runtime.devices = {runtime.devices}, runtime.nodes = {runtime.nodes}: "
            "stages run on one device so far; set both to 1"
        )
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=runtime.devices,
            num_nodes=runtime.nodes,
            precision=runtime.precision,
        )
    except Exception as error:  # Fabric raises its own exceptions of several kinds.
        raise InputError(
            f"runtime: {runtime.devices} device(s) of kind {runtime.accelerator} "
            f"cannot be had ({error})"
        ) from None
    return fabric


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
        "precision of training": runtime.precision,
        "python": platform.python_version(),
    } | {name: _version(name) for name in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
