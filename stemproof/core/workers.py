"""Where joblib sends its jobs: processes of this machine, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from joblib import parallel_config
from joblib.parallel import get_active_backend

from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams, WorkerParams

PATIENCE = 20  # seconds to wait for a scheduler, and for its first worker
# Seconds after which a worker without work ends: so long may one outlive a run that is killed.
IDLE = 20


@contextmanager
def worker_pool(scheduler: str) -> Iterator[None]:
    """Choose the workers of every ``joblib.Parallel`` inside the block.

    Args:
        scheduler: ``none``, or the address of a Dask scheduler. Its workers need this package and
            its dependencies; they are sent arrays, not paths.

    Raises:
        InputError: the scheduler cannot be reached, or ``distributed`` is not installed.
    """
    if scheduler == "none":
        # More threads in a worker make it slower. Arrays above the limit go through a memory map,
        # the others through a pipe: the map's files cost a tenth of a second per call.
        with parallel_config(
            backend="loky", inner_max_num_threads=1, max_nbytes="16M", idle_worker_timeout=IDLE
        ):
            yield
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            f"workers.scheduler = {scheduler} needs Dask; pip install 'stemproof[dask]'"
        ) from None
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except Exception as error:  # an address of no kind that is known is a ValueError, and so on
        raise InputError(
            f"workers.scheduler = {scheduler} cannot be reached ({error}); start it with "
            "`dask scheduler`, or set workers.scheduler = none"
        ) from None
    with client, parallel_config(backend="dask", client=client):
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise InputError(
                f"workers.scheduler = {scheduler} has no workers; start some with "
                f"`dask worker {scheduler}`"
            ) from None
        yield


def capacity(workers: WorkerParams, processes: ProcessParams) -> int:
    """How many jobs of one process run at a time: its share of the workers, or of the cluster.

    Raises:
        InputError: as :func:`worker_pool`.
    """
    if workers.scheduler == "none":
        return workers.per_process(processes)
    with worker_pool(workers.scheduler):
        backend, _ = get_active_backend()
        return max(1, int(backend.effective_n_jobs(-1)) // processes.count)
