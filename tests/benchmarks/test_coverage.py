"""Coverage of intervals: what is put into a simulated study comes out of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import ROOT


@pytest.fixture
def coverage(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import coverage_of_intervals

    return coverage_of_intervals


def test_the_truth_is_near_what_is_stored(coverage: Any) -> None:
    """Songs that are set apart a little have nearly the medians of those that they are like."""
    stored = coverage.stored_songs()
    found = coverage.truth(stored)
    medians = np.median(stored, axis=1)
    assert found[0] == pytest.approx(medians[0] - medians[2], abs=0.3)
    assert found[1] == pytest.approx(np.median(stored[0] - stored[2]), abs=0.1)
    assert found[2] == pytest.approx(medians[0] - medians[1] - medians[2] + medians[3], abs=0.3)


def test_luck_is_of_a_training_and_not_of_a_figure(coverage: Any) -> None:
    stored = coverage.stored_songs()
    bs_1, at_1, bs_0, _ = coverage.study(np.random.default_rng(0), stored, 400, 3.0, 40)
    assert np.std((bs_1 - at_1).mean(axis=1)) < 0.05  # the same for both figures
    assert np.std(bs_1.mean(axis=1)) == pytest.approx(3.0, rel=0.15)
    assert np.std((bs_1 - bs_0).mean(axis=1)) == pytest.approx(3.0 * 2**0.5, rel=0.15)


def test_luck_of_training_that_is_left_out_is_not_covered(coverage: Any) -> None:
    """One seed a system says nothing of seeds: intervals over songs alone miss the truth."""
    calm, lucky = (coverage.covered(1, between, 60, 30, 200) for between in (0.0, 5.0))
    assert min(calm) > 0.8
    assert lucky[1] < 0.4


def test_the_table_has_a_row_a_case(
    coverage: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(coverage, "STUDIES", ((1, 0.0), (3, 0.3)))
    coverage.main(studies=2, songs=5, resamples=100)
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.count("|") == 6
    assert [row.split("|")[1:3] for row in rows] == [[" 1 ", " 0 "], [" 3 ", " 0.3 "]]
    assert all("%" in row for row in rows)
