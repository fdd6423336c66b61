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


def test_the_truth_is_what_was_put_in(coverage: Any) -> None:
    """Of very many songs and seeds the estimates are the truth."""
    bs_1, at_1, bs_0, at_0 = coverage.study(np.random.default_rng(0), 40, 0.0, 40_000)
    medians = [np.median(figure, axis=1).mean() for figure in (bs_1, at_1, bs_0, at_0)]
    assert medians[0] - medians[2] == pytest.approx(coverage.GAIN, abs=0.03)
    rises = medians[0] - medians[1] - (medians[2] - medians[3])
    assert rises == pytest.approx(coverage.LOSS, abs=0.03)
    paired = np.median(bs_1 - bs_0, axis=1).mean()
    assert paired == pytest.approx(coverage.GAIN, abs=0.02)


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
