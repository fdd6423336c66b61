"""Who started this process: torchrun, SLURM, Fabric, nobody; and whether they did it in full.

Of what a launcher left in the environment, or another program, a wrong half would let processes
wait for others that nobody starts, or let each of them take itself for the first.
"""

from __future__ import annotations

import os

from stemproof.core.errors import InputError
from stemproof.core.locks import RANKS
from stemproof.core.machine import ProcessParams

PARENT = "STEMPROOF_PARENT"  # environment variable: number of the process that starts others
# Total, place among all, and place on its machine, as each launcher that Fabric knows names them.
TORCHRUN = ("WORLD_SIZE", "RANK", "LOCAL_RANK")
SLURM = ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
# What else Fabric reads of torchrun and of SLURM.
MEETING = ("MASTER_ADDR", "MASTER_PORT")
FURTHER = ("SLURM_NODEID", "SLURM_JOB_ID", "SLURM_NNODES", "SLURM_NTASKS_PER_NODE")
# Numbers that Fabric or torch reads whoever set them: the first four while Fabric is imported.
READ = (
    "RANK",
    "LOCAL_RANK",
    "SLURM_PROCID",
    "JSM_NAMESPACE_RANK",
    "JSM_NAMESPACE_LOCAL_RANK",
    "JSM_NAMESPACE_SIZE",
    "LSB_JOBID",
    "WORLD_SIZE",
    "NODE_RANK",
    "GROUP_RANK",
    "MASTER_PORT",
    "LT_CLI_USED",
)


def check_launcher(processes: ProcessParams) -> None:
    """Refuse an environment in which processes would wait, or meet, that nobody asked for.

    Args:
        processes: devices and nodes that the parameters name.

    Raises:
        InputError: several machines without a launcher, a batch script of SLURM without srun, a
            launcher's variable without the launcher, or one that is missing or no number; or a
            launcher started another number of processes than the parameters name.
    """
    _check_read()
    torchrun, step = "TORCHELASTIC_RUN_ID" in os.environ, number_of("SLURM_STEP_NUM_TASKS")
    if "SLURM_NTASKS" in os.environ:
        for name in (*SLURM, *FURTHER):
            number_of(name)
    if torchrun:
        _check_places("torchrun", TORCHRUN, MEETING)
        check_count(number_of("WORLD_SIZE"), processes.count)
    elif step is not None and step > 1:
        # An interactive shell on a node is a step of one task, in which Fabric may start processes.
        _check_places("srun", SLURM, FURTHER[:1])
        check_count(step, processes.count)
    if processes.count > 1:
        if _is_launched(torchrun):
            if not torchrun and step is None and "SLURM_NTASKS" in os.environ:
                # A batch script, in which nothing starts the others.
                check_count(1, processes.count)
            return
        if processes.nodes > 1:
            raise InputError(
                f"{_wanted(processes)}, but no launcher started this stage; start it on every "
                "machine with torchrun or srun, or set processes.nodes = 1"
            )
    for name in RANKS:
        rank = number_of(name)
        # Fabric's own further processes have a rank above 0, and know who started them.
        fabric = processes.count > 1 and name == "LOCAL_RANK" and rank and PARENT in os.environ
        # Of one process the first is all there is; a first one that starts others has no rank yet.
        alone = rank is None or (rank == 0 and (processes.count == 1 or name != "LOCAL_RANK"))
        if not (fabric or alone or torchrun or step):
            raise InputError(
                f"{_wanted(processes)}, and {name} = {rank} is set, but no launcher that is known "
                f"started this stage; unset {name}, or start it with torchrun or srun"
            )


def _check_read() -> None:
    """What Fabric takes for a number must be one: an empty text is none to it."""
    for name in READ:
        if number_of(name) is None and name in os.environ:
            raise InputError(
                f"the environment variable {name} is set, but empty; unset it, or start this stage "
                "with torchrun or srun"
            )


def _wanted(processes: ProcessParams) -> str:
    return f"processes.devices = {processes.devices} and processes.nodes = {processes.nodes}"


def _is_launched(torchrun: bool) -> bool:
    """Whether Fabric finds a launcher; it then starts nothing itself."""
    if torchrun:
        return True
    from lightning_fabric.plugins.environments.lsf import LSFEnvironment
    from lightning_fabric.plugins.environments.mpi import MPIEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    return SLURMEnvironment.detect() or LSFEnvironment.detect() or MPIEnvironment.detect()


def _check_places(launcher: str, names: tuple[str, str, str], further: tuple[str, ...]) -> None:
    """All must be there; total and places must be numbers that fit together."""
    for name in (*names, *further):
        if not os.environ.get(name, "").strip():
            mark = "TORCHELASTIC_RUN_ID" if launcher == "torchrun" else "SLURM_STEP_NUM_TASKS"
            raise InputError(
                f"{mark} is set, but {name} is not; start this stage with {launcher}, or unset "
                f"{mark}"
            )
    total, place, here = (number_of(name) or 0 for name in names)
    for name, value, end in ((names[1], place, total), (names[2], here, place + 1)):
        if value >= end:
            raise InputError(
                f"the environment variable {name} = {value} does not fit {names[0]} = {total} and "
                f"{names[1]} = {place}; start this stage with {launcher}, or unset all three"
            )
    port = number_of("MASTER_PORT")
    if port is not None and not 0 < port < 2**16:
        raise InputError(
            f"the environment variable MASTER_PORT = {port} is no port; set it to one from 1 to "
            "65535, or unset it"
        )


def number_of(name: str) -> int | None:
    """A number that a launcher or another process left in the environment, or None.

    Raises:
        InputError: the variable is set to something else.
    """
    value = os.environ.get(name, "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isdecimal()):
        raise InputError(
            f"the environment variable {name} = {value!r} is not a number; unset it, or start this "
            "stage with torchrun or srun"
        )
    return int(value)


def check_count(found: int | None, wanted: int) -> None:
    """Each of a wrong number of processes would take itself for the first, and write.

    Raises:
        InputError: another number was started than is needed.
    """
    if found is not None and found != wanted:
        raise InputError(
            f"{found} process(es) were started, but this stage needs {wanted} (processes.devices x "
            "processes.nodes, one for what is not shared); start as many with torchrun or srun, or "
            "set processes.devices to the processes of each node"
        )
