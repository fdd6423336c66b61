"""What is set before anything is computed."""

from __future__ import annotations

import pytest
import torch

from stemproof.core import runtime
from stemproof.core.machine import ProcessParams, RuntimeParams

SWITCHES = torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.mem_efficient_sdp_enabled


def test_attention_on_a_gpu_repeats_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    # PyTorch's own switch for such algorithms warns of these kernels, and takes them.
    with monkeypatch.context() as patch:
        patch.setattr(runtime, "_resolve", lambda _: "cuda")
        runtime.make_place(RuntimeParams(), ProcessParams())
        assert not any(enabled() for enabled in SWITCHES)
        assert torch.backends.cuda.math_sdp_enabled()
    # The CPU has kernels under the same switches, whose bits and speed stay as they were.
    runtime.make_place(RuntimeParams(accelerator="cpu"), ProcessParams())
    assert all(enabled() for enabled in SWITCHES)
