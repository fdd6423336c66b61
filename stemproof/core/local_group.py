"""Processes of one machine that meet in a file: they open no port to the network."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from datetime import timedelta
from pathlib import Path

import torch.distributed
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from stemproof.core.launchers import number_of

FOLDER = "STEMPROOF_MEETING"  # environment variable: where processes of this machine meet
INTERFACE = "GLOO_SOCKET_IFNAME"  # Gloo's own: over which network they speak
LOOPBACK = ("lo", "lo0")  # Linux, macOS


class LocalGroup(DDPStrategy):
    """DDP whose processes meet in a file where nobody but Fabric starts them, on one machine.

    By default the first process listens on all networks of the machine, to anyone who asks, and
    Gloo speaks over the one that the machine's name stands for. What torchrun or SLURM start meets
    where these say, as several machines must.
    """

    def __init__(self, patience: timedelta) -> None:
        """A group whose members wait for each other for as long as ``patience``."""
        super().__init__(timeout=patience)
        self._patience = patience

    def setup_environment(self) -> None:
        """Join the group, once per process."""
        if self._is_local() and not torch.distributed.is_initialized():
            assert self.accelerator is not None
            self.accelerator.setup_device(self.root_device)
            gpu = self.root_device.type == "cuda"
            names = [name for _, name in socket.if_nameindex() if name in LOOPBACK]
            if names:
                os.environ.setdefault(INTERFACE, names[0])
            torch.distributed.init_process_group(
                "nccl" if gpu else "gloo",
                # Not by a URL, which PyTorch does not unquote.
                store=torch.distributed.FileStore(  # type: ignore[attr-defined]
                    str(Path(os.environ[FOLDER]) / "group"), self.num_processes
                ),
                rank=number_of("LOCAL_RANK") or 0,
                world_size=self.num_processes,
                timeout=self._patience,
                device_id=self.root_device if gpu else None,
            )
            if gpu:
                atexit.register(torch.distributed.destroy_process_group)
        super().setup_environment()

    def _is_local(self) -> bool:
        ours = type(self.cluster_environment) is LightningEnvironment
        return ours and self.num_nodes == 1 and FOLDER in os.environ


def prepare_meeting() -> None:
    """Make the place where processes meet that this one is about to start; it goes at the end."""
    if number_of("LOCAL_RANK"):
        return  # a further process, which was told
    folder = tempfile.mkdtemp(prefix="stemproof-")
    os.environ[FOLDER] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
