"""No process reaches for a network: not a command, not a worker; and who does is seen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemproof.cli import EXAMPLES

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(__file__).resolve().parent / "site"
RATE = 4000


def watched(folder: Path, code: str, *arguments: str) -> tuple[str, dict[str, list[str]]]:
    """What a program prints, and what each of its processes was refused, by its command."""
    record = folder / "network"
    record.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": f"{SITE}{os.pathsep}{ROOT}",
            "FAULTS_NETWORK": str(record),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = {}
    for file in record.iterdir():
        command, *refused = file.read_text().splitlines()
        found.setdefault(" ".join(json.loads(command)), []).extend(refused)
    return done.stdout, found


REACHING = """
import socket
from joblib import Parallel, delayed
from stemproof.core.workers import worker_pool

def reach(address):
    said = []
    for kind, does in (
        (socket.SOCK_STREAM, lambda s: s.connect(address)),
        (socket.SOCK_DGRAM, lambda s: s.sendto(b"x", address)),
        (socket.SOCK_STREAM, lambda s: s.bind(("127.0.0.1", 0))),
    ):
        with socket.socket(socket.AF_INET, kind) as own:
            try:
                does(own)
            except OSError as error:
                said.append(str(error))
    try:
        socket.getaddrinfo("example.invalid", 80)
    except OSError as error:
        said.append(str(error))
    ours, theirs = socket.socketpair()
    ours.sendall(b"x")
    assert theirs.recv(1) == b"x"
    return said

with worker_pool("none"):
    found = Parallel(n_jobs=2)(delayed(reach)(("127.0.0.1", 9)) for _ in range(2))
for said in (reach(("127.0.0.1", 9)), *found):
    print(len(said), all(text.startswith("no network: socket.") for text in said))
"""


def test_who_reaches_for_the_network_is_seen_and_refused(tmp_path: Path) -> None:
    printed, found = watched(tmp_path, REACHING)
    assert printed.splitlines() == ["4 True"] * 3
    workers = {command for command in found if "popen_loky" in command}
    assert workers
    assert sum(len(found[command]) for command in workers) == 8
    (own,) = (refused for command, refused in found.items() if "def reach" in command)
    assert [line.split()[0].removeprefix("socket.") for line in own] == [
        "connect",
        "sendto",
        "bind",
        "getaddrinfo",
    ]


SYSTEMS = f"""
separators:
  mine: {{kind: callable, function: "somebody:mine", sample_rate: {RATE}, channels: 2}}
  theirs:
    kind: command
    command: [{sys.executable}, copying.py, "{{input}}", "{{output}}"]
    sample_rate: {RATE}
    channels: 2
"""
COMMANDS = """
import sys
from stemproof.cli import main
from stemproof.protecting import run

run.SURVIVAL, run.UNDOING = ("none", "mp3-128"), ("low-pass-11k",)  # of many
song, vocals = "songs/one/mixture.wav", "songs/one/vocals.wav"
audited = ["songs", "--with", "mine", "--with", "theirs", "--steps", "2", "--queries", "2"]
claim = sys.argv[1]
for words in (
    ["separate", song, "--with", "mine"],
    ["attack", song, "--with", "mine", "--vocals", vocals],
    ["audit", *audited, "--out", "figures.json"],
    ["protect", song, "protected.wav", "--against", "mine", "--steps", "2", "--for", "file"],
    ["kinds"],
    ["attacks"],
    ["figures"],
    ["claim", claim],
    ["board", claim, "--out", "board"],
):
    sys.argv = ["stemproof", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
    print("ended:", words[0])
"""


@pytest.mark.slow
def test_no_command_reaches_for_the_network(tmp_path: Path) -> None:
    """Also none that starts a program, which is watched as well where it is one of Python."""
    (tmp_path / "params.yaml").write_text(SYSTEMS)
    (tmp_path / "somebody.py").write_text("def mine(mixture):\n    return (2 * mixture).tanh()\n")
    (tmp_path / "copying.py").write_text("import shutil, sys\nshutil.copyfile(*sys.argv[1:])\n")
    draw, time = np.random.default_rng(0), np.arange(2 * RATE) / RATE
    for number, name in enumerate(("one", "two")):
        folder = tmp_path / "songs" / name
        folder.mkdir(parents=True)
        vocals = 0.2 * np.sin(2 * np.pi * (200 + 50 * number) * time + [[0.0], [0.7]])
        mixture = vocals + 0.1 * draw.standard_normal(vocals.shape)
        for stem, signal in (("mixture", mixture), ("vocals", vocals)):
            soundfile.write(folder / f"{stem}.wav", signal.T, RATE, subtype="PCM_16")
    claim = ROOT / "results/musdb18-7/baseline.json"
    printed, found = watched(tmp_path, COMMANDS, str(claim))
    ended = re.findall("^ended: (.*)$", printed, re.MULTILINE)
    assert sorted(ended) == sorted(EXAMPLES)  # all that there are
    assert (tmp_path / "figures.json").is_file() and (tmp_path / "protected.wav").is_file()
    assert any("copying.py" in command for command in found)
    assert [refused for refused in found.values() if refused] == []
