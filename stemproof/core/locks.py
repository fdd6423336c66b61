"""One run of a stage at a time in a folder."""

from __future__ import annotations

import errno
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stemproof.core.errors import InputError, RefusedError
from stemproof.core.files import take_lock

SHARED = (
    "train",
    "generate",
    "find_break_points",
    "evaluate",
)  # stages that several processes may share
# A process's number among those that Fabric, srun, jsrun or mpirun started.
RANKS = ("LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def only_run(folder: Path, stage: str, *arguments: Any) -> Iterator[None]:
    """Keep a stage for this run: a second one in this folder is refused, not waited for.

    The lock goes with the process that took it, however that ends. Further processes of the same
    run share the first one's.

    Args:
        folder: where locks stand.
        stage: its name.
        arguments: those of its command; a run with others writes other files.

    Raises:
        InputError: another run of the stage is under way.
    """
    if os.name == "nt" or _is_further_process(stage):
        yield
        return
    name = " ".join([stage, *map(str, arguments)])
    path = folder / f"{re.sub('[^a-zA-Z0-9._-]', '_', name)[:100]}.lock"
    try:
        lock = take_lock(path)
    except RefusedError as error:
        if getattr(error.__cause__, "errno", None) not in NO_LOCKS:
            raise
        print(f"{path}: its file system has no locks; run this stage only once at a time")
        yield
        return
    if lock is None:
        holder = ""
        with suppress(OSError, ValueError):
            holder = path.read_text(encoding="utf-8")
        raise InputError(
            f"another run of this stage ({name}) is under way in this folder"
            f"{holder and f' ({holder})'}; wait until it has ended, or end it"
        )
    with lock:
        with suppress(OSError):  # a note for others, no more
            lock.truncate(0)
            os.write(lock.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
        try:
            yield
        finally:
            with suppress(OSError):
                lock.truncate(0)


def _is_further_process(stage: str) -> bool:
    """Whether Fabric, torchrun or another launcher started this beside the run's first process."""
    if stage not in SHARED:
        return False
    if "TORCHELASTIC_RUN_ID" in os.environ:  # also inside SLURM
        return os.environ.get("RANK", "0") != "0"
    return any(os.environ.get(name, "0") != "0" for name in RANKS)
