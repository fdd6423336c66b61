"""Several processes give what one gives: two CPU processes over gloo, and a Dask cluster."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import yaml
from conftest import ROOT, SMALL, AllParams, default_tree, merged
from distributed import Client
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small import new_model
from test_bsseval import make_track

from stemproof.core.errors import InputError
from stemproof.core.files import read_array
from stemproof.core.made_with import MADE_WITH, record_of
from stemproof.core.params import load_params, read_tree
from stemproof.core.runtime import make_fabric, make_place
from stemproof.core.seals import without_seal
from stemproof.core.shards import WHOLE, Shard
from stemproof.core.states import SHA256, weights_sha256
from stemproof.core.workers import capacity
from stemproof.data.loading import ResidentSegments, _read_ahead, training_batches
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData, PreparedTrack, TrainingSegments
from stemproof.figures.bsseval import TrackEstimates, score_all
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import RSVM
from stemproof.separators.rsvm.objective import step_terms
from stemproof.separators.rsvm.params import RSVMSettings

MakeParams = Callable[..., AllParams]
ENTRIES: dict[str, Any] = {
    "baseline": {"kind": "rsvm"},
    "improved": {
        "kind": "rsvm",
        "attention": {"heads": 2, "width": 8},
        "dropout": 0.2,
        "adversarial": {"eps": 0.02},
    },
    "transport": {"kind": "rsvm", "regularizer": "sinkhorn"},
}


# ---------------------------------------------------------------- the gradient of a shared batch


class Bare:
    """A model that is not wrapped, behind the interface that training uses."""

    def __init__(self, model: RSVM) -> None:
        self.module = model
        self.encode, self.decode = model.encode, model.decode
        self.eval, self.train = model.eval, model.train


def gradients(params: AllParams, name: str, shard: Shard) -> tuple[dict[str, float], list[Any]]:
    model = new_model(params, name, 0)
    variant = entry(params.separators, name)[1]
    assert isinstance(variant, RSVMSettings)
    model.encoder.dropout.shard = shard
    model.train()
    draw = torch.Generator().manual_seed(1)
    vocals, rest = (0.1 * torch.randn(4, params.segment_samples, generator=draw) for _ in "ab")
    recipe = params.rsvm.training
    if variant.regularizer:
        recipe = recipe.model_copy(update={"regularizer": variant.regularizer})
    torch.manual_seed(3)
    terms = step_terms(
        Bare(model),
        shard.of(vocals),
        shard.of(rest),
        recipe,
        variant.adversarial,
        shard,
    )
    terms["loss"].backward()
    values = {term: value.item() for term, value in terms.items()}
    return values, [weight.grad.numpy() for weight in model.parameters() if weight.grad is not None]


def _one_of_two(rank: int, path: str, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    params = load_params(AllParams, Path(path))
    for name in ENTRIES:
        values, found = gradients(params, name, Shard(rank, 2))
        for gradient in found:
            torch.distributed.all_reduce(torch.from_numpy(gradient))
        if rank == 0:
            np.savez(Path(folder) / f"{name}.npz", *found, **values)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_halves_of_a_batch_have_the_gradient_of_the_whole(
    make_params: MakeParams, tmp_path: Path
) -> None:
    """Losses over the whole batch, noise, dropout and attack: the same numbers, up to rounding."""
    params = make_params(separators=ENTRIES)
    torch.multiprocessing.spawn(
        _one_of_two, args=(str(tmp_path / "params.yaml"), str(tmp_path)), nprocs=2
    )
    for name in ENTRIES:
        values, expected = gradients(params, name, WHOLE)
        with np.load(tmp_path / f"{name}.npz") as found:
            for term, value in values.items():
                assert found[term] == pytest.approx(value, rel=1e-4, abs=1e-5), (name, term)
            for number, gradient in enumerate(expected):
                own = found[f"arr_{number}"]
                assert np.abs(own - gradient).max() <= 2e-3 * np.abs(gradient).max(), (name, number)


# ---------------------------------------------------------------- stages in two processes


@pytest.fixture
def project(songs: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    write_params(folder, songs)
    params = load_params(AllParams, folder / "params.yaml")
    said = {MADE_WITH: record_of(read_tree(folder / "params.yaml"), ["data", "segments"])}
    prepare(params.data, params.segments, 1, folder / "data/prepared", said=said)
    return folder


def write_params(folder: Path, songs: Path | None = None, **changes: Any) -> None:
    path = folder / "params.yaml"
    if songs is not None:
        tree = merged(default_tree(), SMALL)
        tree = merged(tree, {"data": {"root": str(songs)}, "evaluate": {"bsseval": "fast"}})
    else:
        tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(merged(tree, changes)))


def run_stage(folder: Path, stage: str, *arguments: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    output = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, output[-3000:]
    return output


def train(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    run_stage(folder, "train", "--system", name, "--seed", "218")
    metrics = without_seal(json.loads((folder / f"metrics/train/{name}/218.json").read_text()))
    return metrics, load_file(folder / f"models/{name}/218.safetensors")


def forget_processes(folder: Path, *names: str) -> None:
    """Let models not say how many processes trained them: later stages would ask for as many."""
    for name in names:
        file = folder / f"models/{name}/218.safetensors"
        with safe_open(file, "pt") as stream:
            header = json.loads(stream.metadata()["stemproof"])
        del header[MADE_WITH]["processes"], header[SHA256]
        weights = load_file(file)
        header[SHA256] = weights_sha256(weights, header)
        save_file(weights, file, {"stemproof": json.dumps(header, sort_keys=True)})


@pytest.mark.slow
def test_stages_in_two_processes(project: Path) -> None:
    tree = yaml.safe_load((project / "params.yaml").read_text())
    entries = tree["separators"]
    entries["robust"] = {**entries["improved"], "adversarial": {"eps": 0.05}}
    tree["systems"] = ["baseline", "improved", "robust"]
    (project / "params.yaml").write_text(yaml.safe_dump(tree))
    alone = {name: train(project, name) for name in ("baseline", "improved", "robust")}
    write_params(project, processes={"devices": 2})
    for name, (metrics, weights) in alone.items():
        shared_metrics, shared_weights = train(project, name)
        for key, value in metrics.items():
            assert shared_metrics[key] == pytest.approx(value, rel=1e-3, abs=0.02), key
        assert shared_metrics != metrics  # not one process again
        for key, weight in weights.items():
            # Adam's first steps follow signs: where a gradient is zero up to rounding, they differ.
            difference = (shared_weights[key] - weight).abs()
            assert difference.median() <= 1e-4, key
    forget_processes(project, *alone)
    # Attack and evaluation: the same bytes.
    written: list[dict[str, bytes]] = []
    for devices in (1, 2):
        write_params(project, processes={"devices": devices})
        for known in ("checkpoints", "data/adversarial", "metrics/breaks"):
            shutil.rmtree(project / known, ignore_errors=True)
        for name in alone:
            for stage in ("generate", "find_break_points", "evaluate"):
                run_stage(project, stage, "--system", name, "--seed", "218")
        run_stage(project, "compare")
        files = [*project.glob("data/adversarial/**/*.*"), *project.glob("metrics/**/*.json")]
        files += [*project.glob("metrics/**/*.csv"), *project.glob("plots/**/*.csv")]
        written.append({str(file): file.read_bytes() for file in files})
    assert len(written[0]) > 8
    assert written[0] == written[1]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_every_process_has_the_threads_of_the_parameters(
    make_params: MakeParams, tmp_path: Path, devices: int
) -> None:
    make_params(runtime={"threads": 3}, processes={"devices": devices})
    script = tmp_path / "script.py"
    script.write_text(COUNT_THREADS)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    assert sorted(done.stdout.split()) == ["3"] * devices


COUNT_THREADS = """
from pathlib import Path
import torch
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.params import Sections, load_params
from stemproof.core.runtime import make_fabric


class Needs(Sections):
    runtime: RuntimeParams
    processes: ProcessParams


params = load_params(Needs)
make_fabric(params.runtime, params.processes)
print(torch.get_num_threads(), flush=True)
"""


LISTENS = """
import json
from pathlib import Path
import psutil
import torch
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.runtime import make_fabric

fabric = make_fabric(RuntimeParams(accelerator="cpu", threads=1), ProcessParams(devices=2))
total = fabric.all_reduce(torch.ones(1), reduce_op="sum")
open_to = [one.laddr.ip for one in psutil.Process().net_connections("inet") if one.raddr == ()]
told = [float(total), open_to]
Path(f"rank-{fabric.global_rank}.json").write_text(json.dumps(told))
fabric.barrier()
"""


@pytest.mark.slow
def test_processes_of_one_machine_open_no_port_to_others(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(LISTENS)
    temporary = tmp_path / "of anyone, Ü%41"
    temporary.mkdir()
    subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        timeout=120,
        check=True,
        capture_output=True,
    )
    for rank in (0, 1):
        total, open_to = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        assert total == 2
        assert set(open_to) == {"127.0.0.1"}
    assert not list(temporary.glob("stemproof-*"))  # where they met


ONE_FAILS = """
import os
import sys
import time
from pathlib import Path
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.params import Sections, load_params
from stemproof.core.runtime import make_fabric


class Needs(Sections):
    runtime: RuntimeParams
    processes: ProcessParams


params = load_params(Needs)
fabric = make_fabric(params.runtime, params.processes)
Path(f"rank-{fabric.global_rank}").write_text(str(os.getpid()))
fabric.barrier()
if fabric.global_rank == int(sys.argv[1]):
    raise SystemExit("failed")
time.sleep(300)
"""


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_when_one_process_fails_all_end(
    make_params: MakeParams, tmp_path: Path, failing: int
) -> None:
    make_params(processes={"devices": 2})
    script = tmp_path / "script.py"
    script.write_text(ONE_FAILS)
    done = subprocess.run(
        [sys.executable, str(script), str(failing)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        capture_output=True,
    )
    assert done.returncode != 0
    ranks = [int((tmp_path / f"rank-{rank}").read_text()) for rank in (0, 1)]
    for _ in range(100):
        alive = [rank for rank in ranks if psutil.pid_exists(rank)]
        if not alive:
            return
        time.sleep(0.1)
    raise AssertionError(f"still running: {alive}")


TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x",
    "WORLD_SIZE": "2",
    "RANK": "0",
    "LOCAL_RANK": "0",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}
BATCH_SCRIPT = {"SLURM_JOB_NAME": "rsvm", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}
SRUN = {
    **BATCH_SCRIPT,
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}


def without(environment: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key != name}


@pytest.mark.parametrize(
    ("environment", "devices"),
    [
        (dict(TORCHRUN), 1),  # torchrun started two for one
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4"}, 2),  # srun: four for two
    ],
)
def test_a_launcher_that_starts_another_number_is_refused(
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    devices: int,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    params = make_params(processes={"devices": devices})
    started = 2 * devices
    with pytest.raises(InputError, match=rf"{started} process\(es\) .* needs {devices} "):
        make_fabric(params.runtime, params.processes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "processes", "said"),
    [
        ({}, {"nodes": 2}, "no launcher started this stage; .* or set processes.nodes = 1"),
        # An interactive shell of SLURM, in which nothing starts the other machine's processes.
        (
            {**BATCH_SCRIPT, "SLURM_JOB_NAME": "bash", "SLURM_STEP_NUM_TASKS": "1"},
            {"nodes": 2},
            "no launcher started this stage",
        ),
        (BATCH_SCRIPT, {"devices": 2}, r"1 process\(es\) were started, but this stage needs 2"),
        ({"LOCAL_RANK": "0"}, {"devices": 2}, "LOCAL_RANK = 0 is set.* unset LOCAL_RANK"),
        ({"LOCAL_RANK": "1"}, {"devices": 2}, "LOCAL_RANK = 1 is set.* unset LOCAL_RANK"),
        *(
            (without(TORCHRUN, name), {"devices": 2}, f"{name} is not; .* TORCHELASTIC_RUN_ID")
            for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
        ),
        *(
            ({**TORCHRUN, name: "two"}, {"devices": 2}, f"{name} = 'two' is not a number")
            for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT")
        ),
        ({**TORCHRUN, "RANK": "2"}, {"devices": 2}, "RANK = 2 does not fit WORLD_SIZE = 2"),
        ({**TORCHRUN, "LOCAL_RANK": "1"}, {"devices": 2}, "LOCAL_RANK = 1 does not fit"),
        ({**TORCHRUN, "MASTER_PORT": "99999"}, {"devices": 2}, "MASTER_PORT = 99999 is no port"),
        *(
            (without(SRUN, name), {"devices": 2}, f"{name} is not; .*unset SLURM_STEP_NUM_TASKS")
            for name in ("SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID")
        ),
        *(
            ({**SRUN, name: "x"}, {"devices": 2}, f"{name} = 'x' is not a number")
            for name in ("SLURM_PROCID", "SLURM_JOB_ID", "SLURM_NNODES", "SLURM_NTASKS_PER_NODE")
        ),
        ({**SRUN, "SLURM_PROCID": "2"}, {"devices": 2}, "SLURM_PROCID = 2 does not fit"),
        # Each of two would take itself for the first: no launcher that Fabric knows without mpi4py.
        ({"OMPI_COMM_WORLD_RANK": "1"}, {}, "unset OMPI_COMM_WORLD_RANK"),
        ({"PMI_RANK": "1"}, {"devices": 2}, "unset PMI_RANK"),
        ({"LOCAL_RANK": "1"}, {}, "LOCAL_RANK = 1 is set, but no launcher .* unset LOCAL_RANK"),
        ({"SLURM_STEP_NUM_TASKS": "-1"}, {}, "SLURM_STEP_NUM_TASKS = '-1' is not a number"),
        ({**BATCH_SCRIPT, "SLURM_NTASKS": "2x"}, {"devices": 2}, "SLURM_NTASKS = '2x' is not"),
        ({"LOCAL_RANK": "one"}, {}, "LOCAL_RANK = 'one' is not a number"),
        (
            {"LOCAL_RANK": "1", "STEMPROOF_PARENT": "me"},
            {"devices": 2},
            "STEMPROOF_PARENT = 'me' is not a number",
        ),
    ],
)
def test_nobody_waits_for_processes_that_nobody_starts(
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    processes: dict[str, int],
    said: str,
) -> None:
    monkeypatch.delenv("STEMPROOF_PARENT", raising=False)  # of a fabric that this process has had
    monkeypatch.setattr("lightning_fabric.Fabric", lambda **_: pytest.fail("it was started"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=said) as error:
        params = make_params(processes=processes)
        make_fabric(params.runtime, params.processes)
    assert "\n" not in str(error.value)


def test_more_processes_than_cores_are_refused(
    make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightning_fabric.Fabric", lambda **_: pytest.fail("it was started"))
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    params = make_params(processes={"devices": 99})
    said = r"processes.devices = 99, but this machine has 4 CPU core.* set .* to 4 at most"
    for place in (make_fabric, make_place):
        with pytest.raises(InputError, match=said):
            place(params.runtime, params.processes)


@pytest.mark.slow
def test_fewer_processes_than_asked_for_are_refused(
    make_params: MakeParams, tmp_path: Path
) -> None:
    """A job of SLURM with one task, and two devices: Fabric leaves the second to SLURM."""
    make_params(processes={"devices": 2})
    script = tmp_path / "script.py"
    script.write_text(COUNT_THREADS)
    variables = {"JOB_ID": "1", "JOB_NAME": "rsvm", "NNODES": "1", "NTASKS": "1"}
    variables |= {"NODELIST": "127.0.0.1", "NODEID": "0", "PROCID": "0", "LOCALID": "0"}
    slurm = {f"SLURM_{name}": value for name, value in variables.items()}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **slurm},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "1 process(es) were started, but this stage needs 2" in done.stderr


def start_on_two_nodes(
    launcher: str, folder: Path, stage: str, *arguments: str
) -> list[subprocess.Popen[str]]:
    """Start a stage once per "node", as torchrun or SLURM would, over the loopback interface."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for node in ("0", "1"):
        command = [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments]
        environment = dict(os.environ)
        if launcher == "torchrun":
            options = ["--nnodes=2", f"--node-rank={node}", "--nproc-per-node=1"]
            options += ["--master-addr=127.0.0.1", f"--master-port={port}"]
            command = [sys.executable, "-m", "torch.distributed.run", *options, *command[1:]]
        else:
            environment |= {
                "SLURM_JOB_ID": port,
                "SLURM_JOB_NAME": "rsvm",
                "SLURM_NNODES": "2",
                "SLURM_NTASKS": "2",
                "SLURM_NTASKS_PER_NODE": "1",
                "SLURM_STEP_NUM_TASKS": "2",
                "SLURM_NODELIST": "127.0.0.1",
                "SLURM_NODEID": node,
                "SLURM_PROCID": node,
                "SLURM_LOCALID": "0",
                "MASTER_PORT": port,
            }
        processes.append(
            subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return processes


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "slurm"])
def test_two_nodes(project: Path, launcher: str) -> None:
    write_params(project, processes={"devices": 1, "nodes": 1})
    for name in ("baseline", "improved"):
        metrics, _ = train(project, name)
    forget_processes(project, "improved")
    alone = project / "data/adversarial/improved/218"
    run_stage(project, "generate", "--system", "improved", "--seed", "218")
    expected = {file.name: file.read_bytes() for file in alone.glob("*.npy")}
    shutil.rmtree(project / "data/adversarial")
    write_params(project, processes={"devices": 1, "nodes": 2})
    # The attack first: it needs the weights that one process trained.
    model = ("--system", "improved", "--seed", "218")
    for stage, *arguments in (("generate", *model), ("train", *model)):
        processes = start_on_two_nodes(launcher, project, stage, *arguments)
        for process in processes:
            said, _ = process.communicate(timeout=300)
            assert process.returncode == 0, said[-3000:]
    assert {file.name: file.read_bytes() for file in alone.glob("*.npy")} == expected
    shared = json.loads((project / "metrics/train/improved/218.json").read_text())
    for key, value in metrics.items():
        assert shared[key] == pytest.approx(value, rel=1e-3, abs=0.02), key
    assert shared != metrics  # not one process twice


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(project: Path) -> None:
    write_params(project, processes={"devices": 2})
    tree = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(
        yaml.safe_dump(merged(tree, {"rsvm": {"training": {"batch_size": 3}}}))
    )
    said = run_stage(project, "train", "--system=baseline", "--seed=218", fails=True)
    assert "rsvm.training.batch_size = 3 cannot be shared by 2 processes" in said
    assert "Traceback" not in said


# ---------------------------------------------------------------- sources of training segments


def test_shards_and_their_order() -> None:
    whole = list(range(11))
    parts = [Shard(rank, 3).items(whole) for rank in range(3)]
    assert sorted(item for part in parts for item in part) == whole
    assert WHOLE.gathered(whole) == whole
    assert torch.equal(Shard(1, 2).of(torch.arange(5)), torch.tensor([1, 3]))


def test_resident_and_streamed_segments_are_the_same(songs: Path, make_params: MakeParams) -> None:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, songs.parent / "prepared")
    segments = PreparedData(songs.parent / "prepared").training_segments(params.segments)
    cpu = torch.device("cpu")
    resident = ResidentSegments(segments, cpu)
    plan = [[[3, 1, 2], [0, 5, 4]], [[7, 6, 8], [10, 9, 11]]]
    streamed = list(_read_ahead(segments, plan, cpu))
    for (for_vocals, for_rest), batch in zip(plan, streamed, strict=True):
        assert torch.equal(batch[0], segments.vocals(for_vocals))
        assert torch.equal(batch[1], segments.accompaniment(for_rest))
        assert torch.equal(resident.vocals(for_vocals), segments.vocals(for_vocals))
        assert torch.equal(resident.accompaniment(for_rest), segments.accompaniment(for_rest))
    # Two processes read the halves of the batch that one reads.
    batches = []
    for shard in (WHOLE, Shard(0, 2), Shard(1, 2)):
        torch.manual_seed(0)
        batches.append(list(training_batches(segments, 4, shard, cpu)))
    for whole, first, second in zip(*batches, strict=True):
        for place in (0, 1):
            assert torch.equal(whole[place][0::2], first[place])
            assert torch.equal(whole[place][1::2], second[place])


def _read_much(rank: int, folder: Path) -> None:
    """Ten hours of (empty) music, from which a thousand segments are read."""
    samples = 3600 * 44_100
    tracks = []
    for number in range(10):
        path = folder / f"{number}.npy"
        np.lib.format.open_memmap(path, "w+", np.float32, (2, 1, samples))  # sparse: takes no room
        tracks.append(PreparedTrack(str(number), path.name, read_array(path)))
    segments = TrainingSegments(tracks, 44_100, 0.5)
    chosen = torch.randperm(len(segments))[:1000].tolist()
    segments.accompaniment(chosen[:8])
    before = psutil.Process().memory_info().rss
    for start in range(0, len(chosen), 8):
        segments.accompaniment(chosen[start : start + 8])
    grown = psutil.Process().memory_info().rss - before
    assert grown < 100 * 2**20, grown  # 350 MB were read


@pytest.mark.slow
def test_a_long_training_does_not_collect_the_data_set_in_memory(tmp_path: Path) -> None:
    # In a process of its own: this one has had, and may reuse, more memory.
    torch.multiprocessing.spawn(_read_much, args=(tmp_path,), nprocs=1)


def test_reading_ahead_hands_errors_on_and_stops(songs: Path, make_params: MakeParams) -> None:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, songs.parent / "prepared")
    segments = PreparedData(songs.parent / "prepared").training_segments(params.segments)
    cpu = torch.device("cpu")
    with pytest.raises(IndexError):
        list(_read_ahead(segments, [[[0], [0]], [[10_000], [0]]], cpu))
    reader = _read_ahead(segments, [[[0], [0]]] * 50, cpu)
    next(reader)
    reader.close()  # does not wait for what nobody will ask for


# ---------------------------------------------------------------- workers


@pytest.mark.parametrize("how", ["fast", "sdr"])
def test_the_number_of_workers_changes_no_bit_of_bsseval(how: str) -> None:
    tracks = [make_track(seed) for seed in range(5)]
    one, three = (score_all(tracks, 2000, how, workers=count) for count in (1, 3))
    assert one == three
    assert all(isinstance(score, dict) for scores in one for score in scores)


def test_the_number_of_workers_changes_no_byte_of_prepared_data(
    songs: Path, make_params: MakeParams
) -> None:
    params = make_params(data={"root": str(songs)})
    folders = [songs.parent / f"prepared by {count}" for count in (1, 4)]
    said = [
        prepare(params.data, params.segments, count, folder)
        for count, folder in zip((1, 4), folders, strict=True)
    ]
    assert said[0] == said[1]
    written = [{file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders]
    assert written[0] == written[1]


# ---------------------------------------------------------------- Dask


@contextmanager
def dask_cluster(folder: Path) -> Iterator[str]:
    """A real scheduler and two workers, as processes on the loopback interface."""
    address_file = folder / "scheduler.json"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    command += ["--port", "0", "--no-dashboard", "--scheduler-file", str(address_file)]
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)]
    try:
        for _ in range(200):
            if address_file.exists() and address_file.read_text():
                break
            subprocess.run(["sleep", "0.1"], check=True)
        for _ in range(2):
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1"]
            worker += ["--no-dashboard", "--no-nanny", "--scheduler-file", str(address_file)]
            running.append(
                subprocess.Popen(worker, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
            )
        address = json.loads(address_file.read_text())["address"]
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in reversed(running):
            process.kill()  # a worker that is asked to stop waits for its scheduler
        for process in running:
            process.wait(timeout=30)


def mapped(track: TrackEstimates, path: Path) -> TrackEstimates:
    np.save(path, np.stack([track.mixture, track.vocals]))
    mixture, vocals = np.load(path, mmap_mode="r")
    return replace(track, mixture=mixture, vocals=vocals)


@pytest.mark.slow
def test_a_dask_cluster_takes_over_the_workers(tmp_path: Path) -> None:
    # As in the evaluation, what is on the disk is mapped.
    tracks = [mapped(make_track(seed), tmp_path / f"{seed}.npy") for seed in range(4)]
    here = score_all(tracks, 2000, "fast", workers=1)
    with dask_cluster(tmp_path) as address:
        there = score_all(tracks, 2000, "fast", workers=1, scheduler=address)
        with Client(address, set_as_default=False) as client:
            used = client.run(lambda: "stemproof.figures.bsseval" in sys.modules)
    assert any(used.values())  # the work was done there
    for own, others in zip(here, there, strict=True):
        for figures, remote in zip(own, others, strict=True):
            assert isinstance(figures, dict)
            assert figures == pytest.approx(remote, abs=1e-9)


@pytest.mark.slow
def test_the_evaluation_gives_a_cluster_as_much_as_it_can_take(
    project: Path, make_params: MakeParams
) -> None:
    params = make_params()
    workers, one = params.workers, params.processes
    assert capacity(workers, one) == 1
    train(project, "baseline")
    model = ("--system", "baseline", "--seed", "218")
    for stage in ("generate", "find_break_points", "evaluate"):
        run_stage(project, stage, *model)
    path = project / "metrics/models/baseline/218/figures.json"
    here = json.loads(path.read_text())["bsseval"]
    with dask_cluster(project) as address:
        there = workers.model_copy(update={"scheduler": address})
        assert capacity(there, one) == 2
        assert capacity(there, one.model_copy(update={"devices": 2})) == 1
        write_params(project, workers={"scheduler": address})
        run_stage(project, "evaluate", *model)
    again = json.loads(path.read_text())["bsseval"]
    for condition in ("clean", "attacked"):
        assert again[condition] == pytest.approx(here[condition], abs=1e-9)


def test_a_scheduler_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemproof.core.workers.PATIENCE", 1)
    with pytest.raises(InputError, match=r"tcp://127.0.0.1:9 cannot be reached .*dask scheduler"):
        score_all([make_track(0)], 2000, "fast", workers=1, scheduler="tcp://127.0.0.1:9")


REACH = """
import sys
from stemproof.core.errors import InputError
from stemproof.core import workers
workers.PATIENCE = 1
try:
    with workers.worker_pool(sys.argv[1]):
        pass
except InputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://127.0.0.1", "ucx://127.0.0.1:9", "tls://127.0.0.1:9"])
def test_an_address_that_is_none_is_an_error(address: str) -> None:
    # In a process of its own: a client of Dask that failed can hang the next one.
    done = subprocess.run(
        [sys.executable, "-c", REACH, address],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    (said,) = done.stdout.splitlines()
    assert said.startswith(f"workers.scheduler = {address} cannot be reached (")
    assert said.endswith("or set workers.scheduler = none")
