"""What ends a stage is one line for the user, and a traceback for a fault of the program."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, SMALL, default_tree, merged
from joblib import Parallel, delayed

from stemproof.core.errors import InputError, explained, user_message


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "a.csv"), r"a\.csv: cannot be used .*permission"),
        (FileNotFoundError(2, "No such file", "git"), r"git: cannot be used \(No such file\); "),
        (OSError(errno.EXDEV, "Cross", "a", None, "b"), r"b: cannot be used \(Cross\); mend that"),
        (OSError(errno.ENOSPC, "No space left"), "^No space left; free some space"),
        (MemoryError(), "^not enough memory; lower workers.count, rsvm.training.batch_size"),
        (InputError("a\n  b\r\n\tc  d"), "^a b c  d$"),
    ],
)
def test_errors_that_end_a_stage(error: Exception, said: str) -> None:
    found = user_message(error)
    assert found is not None
    assert re.search(said, found), found


def test_memory_that_is_not_there() -> None:
    for take in (lambda: np.empty(2**50), lambda: torch.empty(2**50)):
        with pytest.raises((MemoryError, RuntimeError)) as error:
            take()
        said = user_message(error.value)
        assert said is not None
        assert said.startswith("not enough memory (")
        assert "lower workers.count" in said


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_memory_as_other_libraries_miss_it() -> None:
    """What was seen under limits of memory; and a worker that the system has killed."""
    with pytest.raises(Exception, match="terminated") as ended:
        Parallel(n_jobs=2, backend="loky")(delayed(_killed)() for _ in range(2))
    for error in (
        RuntimeError("unable to mmap 6 bytes from file <a>: Cannot allocate memory (12)"),
        RuntimeError("could not create a primitive"),
        RuntimeError("std::bad_alloc"),
        ended.value,
    ):
        said = user_message(error)
        assert said is not None
        assert said.startswith("not enough memory (")
        for parameter in ("workers.count", "attack.batch", "attack.excerpt", "evaluate.batch"):
            assert parameter in said
        assert "\n" not in said
    # A convolution that oneDNN does not know is no lack of memory.
    assert user_message(RuntimeError("could not create a primitive descriptor for x")) is None


LIMITED = """
import resource, runpy, sys
import lightning_fabric, pandas, scipy.signal, torch
from stemproof.separators.registry import find_kind
[find_kind(kind) for kind in ("rsvm", "stft")]
torch.set_num_threads(1)
with open("/proc/self/status") as status:
    used = 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
limit = used + int(sys.argv.pop(1)) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
del sys.argv[0]
sys.path.insert(0, str(__import__("pathlib").Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits and sizes as Linux has them")
def test_a_stage_that_has_too_little_memory_says_what_to_lower(project: Path) -> None:
    """A batch of 4,000 segments under a limit that a batch of one keeps."""
    tree = yaml.safe_load((project / "params.yaml").read_text())
    tree = merged(tree, {"attack": {"batch": 4000}, "rsvm": {"training": {"epochs": 1}}})
    for name in ("test 0", "test 1"):
        for file in (Path(tree["data"]["root"]) / "test" / name).glob("*.wav"):
            audio, rate = soundfile.read(file, dtype="int16")
            soundfile.write(file, np.tile(audio, (150, 1)), rate, subtype="PCM_16")
    (project / "params.yaml").write_text(yaml.safe_dump(tree))
    model = ("--system", "baseline", "--seed", "218")
    for stage, *arguments in (("prepare",), ("train", *model)):
        stage_by_hand(project, stage, *arguments, code=0)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "100", str(ROOT / "stages/generate.py"), *model],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (said,) = re.findall(r"error: .*", done.stderr)  # a bar may stand before and behind it
    assert "not enough memory (" in said
    assert "attack.batch" in said


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError("x"), ValueError("x"), KeyError("x")])
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception) -> None:
    assert user_message(error) is None


def test_texts_that_are_no_text() -> None:
    with pytest.raises(UnicodeEncodeError) as error:
        "\udcff".encode()
    assert str(explained(error.value, Path("a.csv"), "written")).startswith(
        "a.csv: cannot be written as UTF-8 ("
    )
    assert str(explained(EOFError(), Path("a"), "read")).startswith("a: ends too early; restore")


@pytest.fixture
def project(songs: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    tree = merged(merged(default_tree(), SMALL), {"data": {"root": str(songs)}})
    (folder / "params.yaml").write_text(yaml.safe_dump(tree))
    return folder


def stage_by_hand(folder: Path, stage: str, *arguments: str, code: int) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "stages" / f"{stage}.py"), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def refused(folder: Path, stage: str, *arguments: str) -> str:
    """What a stage that is run by hand says, when it fails."""
    said = stage_by_hand(folder, stage, *arguments, code=2)
    assert "Traceback" not in said
    said = said.splitlines()[-1]
    assert said.startswith("error: ")
    return said


@pytest.mark.slow
def test_stages_say_it_in_one_line(project: Path) -> None:
    (project / "checkpoints").write_text("")
    said = refused(project, "prepare")
    assert said.endswith("; checkpoints stands where a folder belongs: move it away")
    (project / "checkpoints").unlink()
    (project / "metrics").write_text("")
    said = refused(project, "prepare")
    assert "metrics/data.json: cannot be written (" in said
    assert said.endswith("; metrics stands where a folder belongs: move it away")
    (project / "tracks").mkdir()
    for name, content, wanted in (
        ("a", b"seed,track\n1,\xff\n", "not UTF-8 text (byte 13 is 0xff)"),
        ("b", b"", "not a table ("),
    ):
        (project / f"tracks/{name}.csv").write_bytes(content)
        said = refused(project, "contrast", name, name, "--tracks", "tracks")
        assert said.startswith(f"error: tracks/{name}.csv: {wanted}")
    assert "name a system of the run" in refused(project, "contrast", "c", "c")
    (project / "params.yaml").write_bytes(b"\xff")
    assert "params.yaml: not UTF-8 text" in refused(project, "prepare")
    (project / "params.yaml").unlink()
    (project / "params.yaml").mkdir()
    assert "params.yaml: cannot be read (Is a directory)" in refused(project, "prepare")
