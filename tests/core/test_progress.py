"""What is said of progress: a bar in a terminal, lines in a log, and no error behind either."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.core import progress
from stemproof.core.progress import Progress, close_bars

STAGE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from stemproof.core.errors import InputError
from stemproof.core.progress import Progress
from stemproof.core.stage import run_stage

def main() -> None:
    bar = Progress(total=4, desc="work", unit="song", mininterval=0)
    bar.update(2)
    bar.kept = bar  # as by what it counts: it does not end with its function
    raise {error}("a.wav: broken; mend it")

run_stage(main, None)
"""
UP = "\x1b[A"  # tqdm goes back to the line of an outer bar


def in_terminal(command: list[str], folder: Path) -> list[str]:
    """The lines that a terminal shows of a command in the end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 90, 0, 0))
    process = subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            said += os.read(ours, 4096)
        except OSError:  # nobody is there any more
            break
    os.close(ours)
    assert process.wait() != 0
    shown = [line.rpartition("\r")[2] for line in said.decode().replace("\r\n", "\n").split("\n")]
    return [line for line in shown if line.replace(UP, "").strip()]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("error", ["InputError", "ZeroDivisionError"])
def test_an_error_has_a_line_of_its_own(tmp_path: Path, terminal: bool, error: str) -> None:
    script = tmp_path / "stage.py"
    script.write_text(STAGE.replace("{error}", error))
    command = [sys.executable, str(script), str(ROOT)]
    if terminal:
        lines = in_terminal(command, tmp_path)
        assert re.match(r"work:  50%\|.*\| 2/4 \[", lines[0]), lines
    else:
        lines = subprocess.run(command, capture_output=True, text=True).stderr.splitlines()
        assert lines[0] == "work: 0 of 4 (song), 00:00 passed, ? left"
        assert lines[1].startswith("work: 2 of 4 (song), 00:00 passed, ")
    said = [line for line in lines if "a.wav: broken" in line]
    if error == "InputError":
        assert said == lines[-1:] == ["error: a.wav: broken; mend it"]
    else:  # a fault of ours keeps its traceback
        assert any("Traceback" in line for line in lines)
        assert not any("work:" in line for line in said)


def test_a_log_has_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(progress.time, "time", lambda: now)
    bar = Progress(total=20, desc="attack a-1", unit="segment")
    monkeypatch.setattr(bar, "_time", lambda: now)
    bar.start_t = bar.last_print_t = now
    for _ in range(10):
        now += 25
        bar.set_postfix(loss="1.5")
        bar.update()
    bar.close()
    close_bars()
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "attack a-1: 0 of 20 (segment), 00:00 passed, ? left"
    form = r"attack a-1: (\d+) of 20 \(segment\), (.+) passed, (\d\d):\d\d left, loss=1.5"
    said = [re.fullmatch(form, line) for line in lines]
    assert [found and found.groups()[:2] for found in said] == [
        ("2", "01:15"),
        ("5", "02:30"),
        ("8", "03:45"),
        ("10", "04:10"),
    ]
    # Minutes; the last line is of the mean.
    assert [found and 4 <= int(found[3]) <= 11 for found in said] == [True] * 4


def test_a_total_that_was_too_small_grows(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(total=2, desc="audit a-1", unit="pass") as bar:
        for _ in range(5):
            bar.update()
    assert "audit a-1: 5 of 5 (pass)" in capsys.readouterr().err


def test_nothing_to_do_has_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(total=0, desc="render demo", unit="song").close()
    assert capsys.readouterr().err == ""


def test_a_bar_that_is_not_shown_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(range(3), desc="evaluate", disable=True)
    assert list(bar) == [0, 1, 2]
    bar.close()
    close_bars()
    assert capsys.readouterr().err == ""


def test_bars_that_are_left_open_are_ended(capsys: pytest.CaptureFixture[str]) -> None:
    outer = iter(Progress(range(3), desc="outer"))
    assert [next(outer), next(outer)] == [0, 1]
    inner = Progress(total=5, desc="inner")
    inner.update(2)
    close_bars()
    lines = capsys.readouterr().err.splitlines()
    assert {line.split(",")[0] for line in lines[-2:]} == {
        "outer: 1 of 3 (it)",
        "inner: 2 of 5 (it)",
    }
    close_bars()
    assert capsys.readouterr().err == ""
