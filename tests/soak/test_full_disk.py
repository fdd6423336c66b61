"""No space, or no right to write: one sentence that names the path, and nothing is lost."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from soak import Soak
from soaked import Stage, hashes, new_project

pytestmark = pytest.mark.slow

# The system's answer; or that of a stage that knows beforehand how much it writes.
FULL = (
    r"No space left on device\); free some space and run again"
    r"|its file system has [\d.]+ \w+ left; free some space, or work in another folder"
)
READ_ONLY = r"Read-only file system\); its file system is read-only"
# Songs are written in their place, from which the former ones are removed first; who reads them
# next takes no part of them for the whole.
IN_PLACE = {"render-demo": "prepare-musdb18"}


def mount(folder: Path, *options: str) -> bool:
    command = ["mount", *options, "-t", "tmpfs", "tmpfs", str(folder)]
    return bool(shutil.which("mount")) and not subprocess.run(command).returncode


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, "-o", "size=96m"):
        pytest.skip("this user may not mount a file system")
    yield folder
    # Lazily: a worker of the last stage may take a moment to end.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def soak(tmp_path: Path) -> Iterator[Soak]:
    soak = Soak.prepared(tmp_path / "soak")
    yield soak
    soak.zygote.close()


def fill(disk: Path, room: int) -> Path:
    """Fill a file system up to some bytes."""
    file = disk / "filler"
    file.write_bytes(bytes(room))
    with (disk / "more").open("wb", buffering=0) as stream:
        size = 2**20
        while size:
            try:
                if stream.write(bytes(size)) < size:
                    size //= 2
            except OSError as error:
                assert error.errno == errno.ENOSPC
                size //= 2
    file.unlink()
    return disk / "more"


def refused(soak: Soak, folder: Path, stage: Stage, said: str) -> bool:
    """A stage says in one sentence what is refused where; whether all stands that stood there."""
    before = hashes(folder, stage.outs)
    ran = soak.zygote.run(folder, stage)
    assert ran.code == 2, f"{stage.name}: {ran.said}"
    assert "Traceback" not in ran.said
    # A progress bar may stand before it.
    errors = re.findall(r"error: .*", ran.said)
    assert len(errors) == 1, ran.said
    assert re.search(said, errors[0]), errors[0]
    path = errors[0].split(": ")[1].removeprefix("data.root = ")
    assert path.split("/")[0] in ("checkpoints", "data", "metrics", "models", "plots", "report")
    return hashes(folder, stage.outs) == before


def test_every_stage_on_a_disk_that_is_full_or_read_only(soak: Soak, disk: Path) -> None:
    folder = new_project(disk / "project", soak.params)
    for stage in soak.stages:
        expected = soak.expected[stage.name]
        assert soak.zygote.run(folder, stage).code == 0
        size = sum((folder / name).stat().st_size for name in expected)
        # From nothing to almost enough; not with work that needs no more space.
        for room in (0, 8192, size // 2):
            shutil.rmtree(folder / "checkpoints")
            shutil.rmtree(folder / "data/prepared.part", ignore_errors=True)
            if stage.name in IN_PLACE:
                shutil.rmtree(folder / stage.outs[0])
            more = fill(disk, room)
            kept = refused(soak, folder, stage, FULL)
            assert kept or stage.name in IN_PLACE, stage.name
            more.unlink()
            if stage.name in IN_PLACE:
                reader = next(s for s in soak.stages if s.name == IN_PLACE[stage.name])
                assert refused(soak, folder, reader, "data/demo")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert refused(soak, folder, stage, READ_ONLY), stage.name
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        ran = soak.zygote.run(folder, stage)
        assert ran.code == 0, ran.said
        assert hashes(folder, stage.outs) == expected, stage.name
