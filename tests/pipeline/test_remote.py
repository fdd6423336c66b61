"""A remote (S3) that dies half-way: nothing cut short is taken for whole, and the rest goes on.

Skipped where `moto[server]` and `dvc-s3` are not installed; docs/reliability.md says how.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytestmark = pytest.mark.slow

pytest.importorskip("dvc_s3")
pytest.importorskip("moto.server")

SIZES = [10, 1000, 70_000, 300_000, 2_000_000]  # bytes
STORED = 2 * len(SIZES) + 1  # the files of a folder, others, and what the folder holds


class Store:
    """An S3 server in this process, whose connections can break."""

    def __init__(self, bucket: str) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.app = DomainDispatcherApplication(create_backend_app)
        self.left: int | None = None  # transfers until it dies; None for a server that lives
        self.asked: list[str] = []
        self.lock = threading.Lock()
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.folder = f"s3://{bucket}/store"
        made = urllib.request.Request(f"{self.url}/{bucket}", method="PUT")
        urllib.request.urlopen(made).close()

    def answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """Of a server that dies, the last transfer ends in the middle, and no other begins."""
        transfer = environ["REQUEST_METHOD"] == "PUT" or (
            environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].count("/") > 2
        )
        with self.lock:
            if self.left is not None and transfer:
                self.left -= 1
            left = self.left
            self.asked += [environ["REQUEST_METHOD"]] * transfer
        if left is None or left > 0:
            return self.app(environ, start)
        connection = environ["werkzeug.socket"]
        if left == 0 and environ["REQUEST_METHOD"] == "GET":
            return self.half(self.app(environ, start), connection)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
        connection.shutdown(socket.SHUT_RDWR)
        start("500 nobody hears it", [])
        return []

    def half(self, body: Iterable[bytes], connection: socket.socket) -> Iterator[bytes]:
        """The headers, and half of what they promise."""
        whole = b"".join(body)
        yield whole[: len(whole) // 2]
        connection.shutdown(socket.SHUT_RDWR)

    def lives(self, left: int | None = None) -> None:
        """For so many transfers, or for good."""
        self.left, self.asked = left, []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path.name.replace("_", "-"))
    yield store
    store.server.shutdown()


class Project:
    """A folder under git and DVC with a stage that has made a folder and some files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def made(cls, folder: Path, store: Store) -> Project:
        folder.mkdir()
        project = cls(folder)
        project.run("git", "init", "--quiet")
        project.run("dvc", "init", "--quiet")
        project.run("dvc", "remote", "add", "--default", "store", store.folder)
        project.run("dvc", "remote", "modify", "store", "endpointurl", store.url)
        rng = np.random.default_rng(4)
        (folder / "many").mkdir()
        for number, size in enumerate(SIZES):
            (folder / "many" / f"{number}.npy").write_bytes(rng.bytes(size))
            (folder / f"{number}.safetensors").write_bytes(rng.bytes(size))
        outs = ["many", *(f"{number}.safetensors" for number in range(len(SIZES)))]
        stages = {"make": {"cmd": "exit 7", "outs": outs}}
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        project.run("dvc", "commit", "--force")
        project.run("git", "add", "--all")
        project.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "made")
        return project

    def cloned(self, folder: Path) -> Project:
        self.run("git", "clone", "--quiet", str(self.folder), str(folder))
        return Project(folder)

    def run(self, *command: str, fails: bool = False) -> str:
        own = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.folder.parent / "site"),
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
        if command[0] == "dvc":
            command = (sys.executable, "-m", *command)
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def files(self) -> dict[str, bytes]:
        found = [*self.folder.glob("*.safetensors"), *self.folder.glob("many/*")]
        return {file.relative_to(self.folder).as_posix(): file.read_bytes() for file in found}


@pytest.mark.parametrize("transfers", [1, 8])
def test_a_remote_that_dies_half_way(tmp_path: Path, store: Store, transfers: int) -> None:
    project = Project.made(tmp_path / "project", store)
    made = project.files()
    store.lives(transfers)
    said = project.run("dvc", "push", "--jobs", "4", fails=True)
    assert "ERROR: failed to push data to the cloud" in said, said
    assert store.left is not None and store.left <= 0
    # What has arrived does not go again; all of it is there then.
    store.lives()
    project.run("dvc", "push", "--jobs", "4")
    assert store.asked.count("PUT") == STORED - (transfers - 1)
    fetched = project.cloned(tmp_path / "fetched")
    store.lives(transfers)
    said = fetched.run("dvc", "pull", "--jobs", "4", fails=True)
    assert "ERROR: failed to pull data from the cloud" in said, said
    assert store.left <= 0
    some = fetched.files()
    assert some.items() < made.items()
    for file in (fetched.folder / ".dvc/cache/files/md5").glob("*/*"):
        name = file.parent.name + file.name.removesuffix(".dir")
        assert hashlib.md5(file.read_bytes()).hexdigest() == name
    store.lives()
    fetched.run("dvc", "pull", "--jobs", "4")
    assert fetched.files() == made
    assert "up to date" in fetched.run("dvc", "status")
    assert "up to date" in fetched.run("dvc", "repro")
