"""What is said of the time that work will take."""

from __future__ import annotations

import pytest
import torch

from stemproof.core import forecast
from stemproof.core.forecast import TIMED, WARM, Forecast, quickest
from stemproof.core.progress import Progress
from stemproof.core.room import in_time, in_words, peak_memory

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes where a test says so."""
    now = [0.0]
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: now[0])
    return now


def test_the_first_steps_tell_for_all(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    made = Forecast("train x", 1000, CPU)
    for number in range(1000):
        clock[0] += 100.0 if number < WARM else 3.0  # what is slow at first does not count
        made.step()
        said = capsys.readouterr().err
        if number + 1 != WARM + TIMED:
            assert said == ""
            continue
        assert said.startswith("train x: 1000 steps, about 50 minutes without validation; ")
        assert said.endswith(" of memory so far\n")
        assert said.count("\n") == 1


def test_a_run_that_goes_on_tells_of_what_is_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    bar = Progress(total=100, initial=40, desc="train y, seed 1", unit="step")
    capsys.readouterr()
    made = Forecast.of(bar, CPU)
    for _ in range(WARM + TIMED):
        clock[0] += 180.0
        made.step()
    assert "train y, seed 1: 60 steps, about 3.0 hours without" in capsys.readouterr().err
    bar.close()


def test_other_processes_say_nothing(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    made = Forecast.of(Progress(total=100, desc="train z", disable=True), CPU)
    for _ in range(WARM + TIMED):
        made.step()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "less than two minutes"),
        (89.0, "less than two minutes"),
        (90.0, "about 2 minutes"),
        (420.0, "about 7 minutes"),
        (5400.0, "about 1.5 hours"),
    ],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_time(seconds) == words


def test_the_memory_is_that_of_the_process(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    made = Forecast("train x", 10, CPU)
    for _ in range(WARM + TIMED):
        made.step()
    peak = peak_memory()
    if peak is not None:
        assert f"; {in_words(peak)} of memory so far" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("takes", "found"),
    [
        ([0.2, 0.1, 0.1, 0.1], 0.1),  # the first of a process takes longer
        ([0.1, 0.4], 0.1),  # something else went on beside
        ([0.01] * 5, 0.01),
        ([70.0], 70.0),  # once
    ],
)
def test_the_quickest_of_some_trials(clock: list[float], takes: list[float], found: float) -> None:
    left = list(takes)

    def work() -> None:
        clock[0] += left.pop(0)

    assert quickest(work) == pytest.approx(found)
    assert not left
