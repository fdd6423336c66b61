"""Workers whose run is killed end by themselves."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest
from conftest import ROOT

RUN = """
import os, time
from joblib import Parallel, delayed
from stemproof.core import workers

workers.IDLE = 1
with workers.worker_pool("none"):
    found = Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(4))
print(*{*found} - {os.getpid()}, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_workers_of_a_killed_run_end() -> None:
    run = subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    workers = [psutil.Process(int(number)) for number in run.stdout.readline().split()]
    run.kill()
    run.wait()
    assert workers
    end = time.monotonic() + 60
    while any(worker.is_running() for worker in workers):
        assert time.monotonic() < end, "a worker without work and without a run is still there"
        time.sleep(0.1)
