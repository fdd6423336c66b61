"""The sections ``runtime``, ``processes`` and ``workers``: where and how it is computed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stemproof.core.params import Section


class RuntimeParams(Section):
    """What the last bits of a result depend on."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["32-true", "tf32", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    threads: int = Field(default=2, ge=1, le=1024)


class ProcessParams(Section):
    """How many processes share the batches of a training, and the tracks of attack and figures."""

    devices: int = Field(default=1, ge=1, le=1024)
    nodes: int = Field(default=1, ge=1, le=1024)

    @property
    def count(self) -> int:
        """All of them."""
        return self.devices * self.nodes


class WorkerParams(Section):
    """Helpers that change how fast a result comes, and not which."""

    count: int = Field(default=2, ge=1, le=1024)
    scheduler: str = Field(default="none", pattern=r"^(none|(tcp|tls|ucx)://\S+)$")

    def per_process(self, processes: ProcessParams) -> int:
        """What each of the processes that share this machine may start."""
        return max(1, self.count // processes.devices)
