"""Programs of their own: what they write is what is heard, and what goes wrong is one sentence."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
import torch
from own_systems import RATE, SAMPLES, loaded, made, recordings, refusal, stored
from safetensors.torch import load_file
from torch.nn.functional import conv1d, pad

from stemproof.core.errors import InputError
from stemproof.separators import checkpoint
from stemproof.separators.kind import described
from stemproof.separators.protocol import BlackBox, Precise, Separator
from stemproof.separators.wrappers import with_channels, with_sample_rate

FILTER = """
import sys
import numpy as np, soundfile
audio, rate = soundfile.read(sys.argv[1], dtype="float64", always_2d=True)
taps = [0.5, -0.25, 0.125]
found = np.stack([np.convolve(channel, taps)[:len(channel)] for channel in audio.T], axis=1)
soundfile.write(sys.argv[2], found, rate, subtype=sys.argv[3])
"""
WRITE = """
import sys
import numpy as np, soundfile
audio, rate = soundfile.read(sys.argv[1], dtype="float32", always_2d=True)
what = sys.argv[3]
if what == "rate": rate = 8000
if what == "channels": audio = audio[:, :1]
if what == "length": audio = audio[:-1]
if what == "nan": audio[7, 1] = np.nan
if what == "infinite": audio[7, 1] = np.inf
soundfile.write(sys.argv[2], audio, rate, subtype="FLOAT")
"""
COPY = ["cp", "{input}", "{output}"]


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project's root, and a folder for temporary files in which nothing is left."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "filter.py").write_text(FILTER)
    (tmp_path / "write.py").write_text(WRITE)
    yield
    assert not list((tmp_path / "temporary").iterdir())


def entry(*command: str, **more: Any) -> dict[str, Any]:
    return {"kind": "command", "command": list(command), **more}


def shell(script: str, **more: Any) -> dict[str, Any]:
    return entry("sh", "-c", script, **more)


def python(script: str, *more: str, **settings: Any) -> dict[str, Any]:
    return entry(sys.executable, script, "{input}", "{output}", *more, **settings)


def test_what_it_writes_is_what_is_heard(tmp_path: Path) -> None:
    system = loaded(tmp_path / "m.safetensors", entry(*COPY))
    assert isinstance(system, Separator)
    assert (system.sample_rate, system.channels) == (RATE, 2)
    mixture = recordings()
    assert torch.equal(system.separate(mixture), mixture)  # every bit of float32


def test_no_gradient_comes_back(tmp_path: Path) -> None:
    system = loaded(tmp_path / "m.safetensors", entry(*COPY))
    assert isinstance(system, BlackBox) and not isinstance(system, Precise)
    assert system.why_no_gradient == "a program of its own computes the vocals"
    heard = recordings().requires_grad_()
    output = system.separate(heard)
    assert not output.requires_grad
    with pytest.raises(ValueError, match="side information for a system that takes none"):
        system.separate(heard, heard)


@pytest.mark.parametrize(
    ("subtype", "error"), [("FLOAT", 1e-7), ("DOUBLE", 1e-7), ("PCM_24", 2e-7), ("PCM_16", 4e-5)]
)
def test_a_filter_in_a_program_is_the_filter(tmp_path: Path, subtype: str, error: float) -> None:
    system = loaded(tmp_path / "m.safetensors", python("filter.py", subtype))
    mixture = recordings(2)
    taps = torch.tensor([0.125, -0.25, 0.5]).expand(2, 1, 3)
    expected = conv1d(pad(mixture, (2, 0)), taps, groups=2)
    assert (system.separate(mixture) - expected).abs().max() < error


def test_it_reads_float_at_the_rate_that_was_named(tmp_path: Path) -> None:
    system = loaded(tmp_path / "m.safetensors", shell("cp {input} kept.wav && cp {input} {output}"))
    mixture = recordings(1, samples=123) * 5  # beyond full scale
    system.separate(mixture)
    first = (tmp_path / "kept.wav").read_bytes()
    found = soundfile.info(tmp_path / "kept.wav")
    assert (found.samplerate, found.channels, found.frames) == (RATE, 2, 123)
    assert (found.format, found.subtype) == ("WAV", "FLOAT")
    audio, _ = soundfile.read(tmp_path / "kept.wav", dtype="float32")
    assert np.array_equal(audio, mixture[0].T.numpy())
    time.sleep(1.1)  # a time of the day in the file would have changed
    system.separate(mixture)
    assert (tmp_path / "kept.wav").read_bytes() == first


@pytest.mark.parametrize(
    "command",
    [
        ["dd", "if={input}", "of={output}", "status=none"],
        ["sh", "-c", "cp {input} {folder}/x.wav; mv {folder}/x.wav {output}"],
        ["sh", "-c", 'test -z "$(ls -A {folder})" && cp "$1" "$2"', "x", "{input}", "{output}"],
    ],
)
def test_placeholders_stand_anywhere(tmp_path: Path, command: list[str]) -> None:
    system = loaded(tmp_path / "m.safetensors", entry(*command))
    assert torch.equal(system.separate(recordings()), recordings())


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    odd = "; touch harm; $HOME `id` * {other}"
    script = 'printf %s "$3" > said; cp $1 $2'
    loaded(tmp_path / "m.safetensors", entry("sh", "-c", script, "x", "{input}", "{output}", odd))
    assert (tmp_path / "said").read_text() == odd
    assert not (tmp_path / "harm").exists()


def test_it_is_called_once_an_item(tmp_path: Path) -> None:
    system = loaded(tmp_path / "m.safetensors", shell("echo >> calls; cp {input} {output}"))
    (tmp_path / "calls").unlink()
    system.separate(recordings(3))
    assert len((tmp_path / "calls").read_text().splitlines()) == 3


def test_other_recordings_are_wrapped(tmp_path: Path) -> None:
    """A mono program of one rate on stereo recordings of another."""
    mono = loaded(tmp_path / "m.safetensors", entry(*COPY, channels=1))
    stereo = with_channels(mono, 2)
    assert isinstance(stereo, BlackBox)
    assert torch.equal(stereo.separate(recordings(2)), recordings(2))
    resampled = with_sample_rate(mono, 2 * RATE)
    assert resampled.separate(recordings(1, 1, 2 * SAMPLES)).shape == (1, 1, 2 * SAMPLES)


def test_files_of_the_program_are_looked_at(tmp_path: Path) -> None:
    """Those that the command line names, and those of the entry; not an interpreter elsewhere."""
    (tmp_path / "weights.bin").write_bytes(b"1")
    (tmp_path / "program").write_text('#!/bin/sh\ncp "$1" "$2"\n')
    (tmp_path / "program").chmod(0o700)
    entries = {
        "filter.py": python("filter.py", "FLOAT", files=["weights.bin"]),
        "weights.bin": python("filter.py", "FLOAT", files=["weights.bin"]),
        "program": entry("./program", "{input}", "{output}"),
    }
    for changed, about in entries.items():
        path = stored(tmp_path / "m.safetensors", about)
        hashes = checkpoint.read_header(path).settings["hashes"]
        expected = {"program"} if changed == "program" else {"filter.py", "weights.bin"}
        assert set(hashes) == expected
        content = (tmp_path / changed).read_bytes()
        (tmp_path / changed).write_bytes(content + b"\n")
        with pytest.raises(InputError, match=f"{changed} is not what this model was made of"):
            checkpoint.load(path)
        (tmp_path / changed).write_bytes(content)
        checkpoint.load(path)
    with pytest.raises(InputError, match=r"absent\.bin: no such file"):
        stored(tmp_path / "n.safetensors", python("filter.py", "FLOAT", files=["absent.bin"]))


def test_the_model_file_holds_the_command_and_no_weights(tmp_path: Path) -> None:
    path = stored(tmp_path / "m.safetensors", entry(*COPY, timeout=30))
    assert load_file(path) == {}
    header = checkpoint.read_header(path)
    assert not header.trained
    assert header.settings == {
        "command": COPY,
        "sample_rate": RATE,
        "channels": 2,
        "timeout": 30.0,
        "files": [],
        "hashes": {},
    }
    again = stored(tmp_path / "n.safetensors", entry(*COPY, timeout=30))
    assert again.read_bytes() == path.read_bytes()
    assert described(made(entry(*COPY))[1]) == {"epoch": 0}  # nobody knows its weights
    assert torch.equal(checkpoint.load(path).separate(recordings()), recordings())


FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {"kind": "command", "command": []},
        "command = [] is not allowed: list should have at least 1 item after validation, not 0",
    ),
    (
        entry("cp", "{input}"),
        "command: {output} must stand in its arguments, in the place of the wav files that it "
        "reads and writes",
    ),
    (
        entry("{input}", "{outptu}"),
        "command: {input} and {output} must stand in its arguments, in the place of the wav files "
        "that it reads and writes",
    ),
    (
        entry("", "{input}", "{output}"),
        "command: it must begin with a program, and have no zero bytes",
    ),
    (
        entry("a-program-that-is-not-there", "{input}", "{output}"),
        "command `a-program-that-is-not-there '{input}' '{output}'` cannot be started (No such "
        "file or directory: a-program-that-is-not-there); install the program, or correct its name",
    ),
    (
        entry("./filter.py", "{input}", "{output}"),
        "command `./filter.py '{input}' '{output}'` cannot be started (Permission denied: "
        "./filter.py); install the program, or correct its name",
    ),
    (
        shell(
            "echo first >&2; printf 'no \\033[1msuch\\000 luck\\n\\n' >&2; exit 3 {input}{output}"
        ),
        "COMMAND ends with exit code 3 (no [1msuch luck); run it by hand and correct it",
    ),
    (
        shell("exit 4 {input}{output}"),
        "COMMAND ends with exit code 4 (it says nothing); run it by hand and correct it",
    ),
    (
        shell("kill -TERM $$ {input}{output}"),
        "COMMAND ends with signal SIGTERM (it says nothing); run it by hand and correct it",
    ),
    (
        shell("true {input} {output}"),
        "COMMAND ends well and writes nothing to {output}; let it write the vocals there, as wav",
    ),
    (
        shell("mkdir {output} {input}x"),
        "COMMAND ends well and writes nothing to {output}; let it write the vocals there, as wav",
    ),
    (
        shell(": {input} > {output}"),
        "COMMAND ends well and writes an empty file to {output}; let it write the vocals there, as "
        "wav",
    ),
    (
        python("write.py", "rate"),
        "COMMAND writes 8000 Hz, 2 channel(s), 200 samples for a recording of 4000 Hz, 2 "
        "channel(s), 200 samples; let it write the vocals of the whole recording, as they were "
        "given",
    ),
    (
        python("write.py", "channels"),
        "COMMAND writes 4000 Hz, 1 channel(s), 200 samples for a recording of 4000 Hz, 2 "
        "channel(s), 200 samples; let it write the vocals of the whole recording, as they were "
        "given",
    ),
    (
        python("write.py", "length"),
        "COMMAND writes 4000 Hz, 2 channel(s), 199 samples for a recording of 4000 Hz, 2 "
        "channel(s), 200 samples; let it write the vocals of the whole recording, as they were "
        "given",
    ),
    (
        python("write.py", "nan"),
        "COMMAND gives what is not a number; train it again, or correct it",
    ),
    (
        python("write.py", "infinite"),
        "COMMAND gives what is not a number; train it again, or correct it",
    ),
]


@pytest.mark.parametrize(("about", "said"), FAULTS)
def test_what_goes_wrong_is_one_sentence(about: dict[str, Any], said: str) -> None:
    command = f"command `{shlex.join(about['command'])}`"
    assert refusal(about) == f"separators.mine: {said.replace('COMMAND', command)}"


def test_what_is_no_audio_is_one_sentence() -> None:
    said = refusal(shell("echo nonsense > {output} {input}"))
    assert "\n" not in said
    assert " writes what cannot be read as audio (Error opening " in said
    assert said.endswith("; let it write wav")


def test_a_long_last_line_is_cut() -> None:
    said = refusal(shell("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1 {input}{output}"))
    assert f"({'x' * 300})" in said


def test_what_it_says_does_not_stop_it(tmp_path: Path) -> None:
    """More than a pipe holds, on both outputs, and it waits for no input."""
    loud = "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; cat; cp {input} {output}"
    system = loaded(tmp_path / "m.safetensors", shell(loud, timeout=60))
    assert torch.equal(system.separate(recordings(1)), recordings(1))


def ended(process: int) -> bool:
    """Whether a process is gone; it may take the system a moment."""
    for _ in range(500):
        if not psutil.pid_exists(process):
            return True
        try:
            if psutil.Process(process).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


HANG = "sleep 300 & echo $! > child; echo $$ > own; wait {input} {output}; sleep 300"


@pytest.mark.slow
def test_what_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    said = refusal(shell(HANG, timeout=2))
    assert said.endswith(
        " takes longer than timeout = 2 seconds; raise timeout, or correct the program"
    )
    for name in ("own", "child"):
        assert ended(int((tmp_path / name).read_text()))


def test_an_interrupted_run_leaves_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: Callable[..., int] = subprocess.Popen.wait
    calls: list[Any] = []

    def interrupted(process: Any, timeout: float | None = None) -> int:
        calls.append(process)
        if len(calls) > 1:
            return own(process, timeout)
        while not (tmp_path / "own").exists() or not (tmp_path / "own").read_text():
            time.sleep(0.02)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        made(shell(HANG))
    for name in ("own", "child"):
        assert ended(int((tmp_path / name).read_text()))


def test_a_program_that_fails_later_is_one_sentence(tmp_path: Path) -> None:
    system = loaded(tmp_path / "n.safetensors", shell("test ! -e stop && cp {input} {output}"))
    (tmp_path / "stop").touch()
    with pytest.raises(InputError) as error:
        system.separate(recordings())
    assert str(error.value) == (
        "command `sh -c 'test ! -e stop && cp {input} {output}'` ends with exit code 1 (it says "
        "nothing); run it by hand and correct it"
    )


def test_a_header_that_was_changed_is_refused(tmp_path: Path) -> None:
    kind, model = made(entry(*COPY))
    settings = {**model.settings, "command": ["cp", "{input}"]}
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, kind, model.model, "mine", 218, settings, model.trained)
    with pytest.raises(InputError, match="m.safetensors: its weights do not fit its header"):
        checkpoint.load(path)
