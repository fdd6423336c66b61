"""What is set before anything is computed."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from conftest import ROOT

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


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_algorithms_repeat_their_bits(compiled: bool) -> None:
    script = (
        "import sys, torch\n"
        "from stemproof.core.machine import ProcessParams, RuntimeParams\n"
        "from stemproof.core.runtime import make_place\n"
        f"make_place(RuntimeParams(accelerator='cpu', compile={compiled}), ProcessParams())\n"
        "assert torch.are_deterministic_algorithms_enabled()\n"
        "assert torch.is_deterministic_algorithms_warn_only_enabled()\n"
        "inductor = sys.modules.get('torch._inductor.config')\n"
        "print(inductor and inductor.deterministic)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    # Where nothing is compiled, a second for the import of what compiles is saved.
    assert done.stdout.split() == [str(compiled or None)], done.stderr
