"""What more steps find, of two tables whose differences are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from stemproof.core.errors import InputError

COLUMNS = "track,excerpt_at_bs,break_1db,break_3db,break_6db"


@pytest.fixture
def more_steps(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import more_steps

    return more_steps


def written(path: Path, *rows: str) -> Path:
    path.write_text("\n".join((COLUMNS, *rows)) + "\n")
    return path


def test_differences_are_paired_by_track(
    more_steps: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = written(
        tmp_path / "a.csv", "x,1.0,50,40,30", "y,2.0,51,41,31", "z,,52,42,32", "only here,9,9,9,9"
    )
    more = written(tmp_path / "b.csv", "z,0,52,42,32", "y,0.0,51.2,42,30", "x,-1.0,50.2,41,29")
    more_steps.main(fewer, more)
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.endswith("| more minus fewer | stronger by 0.5 dB: more, fewer |")
    # A song without a figure on one side is left out there; a lower SI-SDR is the stronger attack,
    # a higher break point the smaller perturbation.
    assert rows[0].startswith("| attacked SI-SDR | 2 | 1.50 ")
    assert rows[0].endswith("| -2.00 [-2.00, -2.00] | 2, 0 |")
    assert rows[1].endswith("| 0.20 [0.00, 0.20] | 0, 0 |")
    assert rows[2].endswith("| 1.00 [0.00, 1.00] | 2, 0 |")
    assert rows[3].endswith("| -1.00 [-1.00, 0.00] | 0, 2 |")


def test_what_cannot_be_compared_is_one_sentence(more_steps: Any, tmp_path: Path) -> None:
    first, other = (
        written(tmp_path / "a.csv", "x,1,2,3,4"),
        written(tmp_path / "b.csv", "y,1,2,3,4"),
    )
    with pytest.raises(InputError, match="have no track in common"):
        more_steps.main(first, other)
    other.write_text("track,break_1db\nx,1\n")
    with pytest.raises(InputError, match=r"b\.csv: it has no column break_3db, break_6db"):
        more_steps.main(first, other)


def test_the_page_shows_what_is_printed_of_the_published_runs(
    more_steps: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    results = ROOT / "results"
    more_steps.main(
        results / "systems-musdb18-7/run/plots/tracks/spleeter.csv",
        results / "spleeter-more-steps-musdb18-7/run/tracks.csv",
    )
    assert capsys.readouterr().out in (ROOT / "docs/attack-budget.md").read_text(encoding="utf-8")
