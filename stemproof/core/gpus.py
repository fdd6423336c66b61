"""One GPU per process of a sweep: DVC's queue starts workers, but gives none of them a GPU.

``STEMPROOF_GPUS=0,1,2,3 dvc queue start --jobs 4`` runs four experiments at a time. Every stage
takes the first GPU of the list that no other process of this user holds on this machine, and keeps
it until it ends, however it ends: the lock goes with the process.
"""

from __future__ import annotations

import getpass
import os
import re
import tempfile
import time
from pathlib import Path
from typing import IO

from stemproof.core.errors import InputError, explaining
from stemproof.core.files import take_lock

VARIABLE = "STEMPROOF_GPUS"
POLL = 0.5  # seconds between two looks at the locks
_held: list[IO[str]] = []  # open files; closing one would release its lock


def claim_gpu() -> str | None:
    """Take a free GPU of those that ``STEMPROOF_GPUS`` names, waiting until there is one.

    Sets ``CUDA_VISIBLE_DEVICES``, so it must run before CUDA is initialized. A process that holds a
    GPU keeps it.

    Returns:
        The GPU, or None when the variable is not set.

    Raises:
        InputError: the variable is not a list of GPU numbers or identifiers, or the locks cannot
            be written.
    """
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return None
    gpus = wanted.split(",")
    if not all(re.fullmatch(r"\d+|(GPU|MIG)-[\w-]+", gpu) for gpu in gpus):
        raise InputError(
            f"{VARIABLE} = {wanted!r} is not a list of GPUs; write numbers, as in {VARIABLE}=0,1"
        )
    if _held:
        return os.environ["CUDA_VISIBLE_DEVICES"]
    folder = Path(tempfile.gettempdir()) / f"stemproof-gpus-{getpass.getuser()}"
    with explaining(folder, "written"):
        folder.mkdir(mode=0o700, exist_ok=True)
    waiting = False
    while True:
        for gpu in gpus:
            lock = take_lock(folder / f"{gpu}.lock")
            if lock is None:
                continue
            _held.append(lock)
            os.environ["CUDA_VISIBLE_DEVICES"] = gpu
            print(f"GPU {gpu} of {wanted}", flush=True)
            return gpu
        if not waiting:
            print(f"waiting for one of the GPUs {wanted}", flush=True)
            waiting = True
        time.sleep(POLL)
