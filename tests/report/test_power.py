"""How small a difference could have been shown: the tables, and the sentences that quote them."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats
from tables import rows_of

from stemproof.core.files import read_json
from stemproof.figures.statistics import detectable
from stemproof.report.docs import AGAINST_BASELINE, IN_L2, IN_LINF, LONGER
from stemproof.report.power import power, read_power
from stemproof.report.stored_runs import COMPARED_BREAKS, FLOAT32, LONG, SHORT

Sizes = dict[str, dict[str, tuple[float, float]]]
KEYS = ("paired_bs", "paired_at_bs", "paired_drop", *COMPARED_BREAKS)


def pair(run: Path) -> dict[str, tuple[Path, Path]]:
    of = ROOT / run / "plots/tracks"
    return {"improved minus baseline": (of / "improved.csv", of / "baseline.csv")}


def stored(run: Path, key: str) -> dict[str, float]:
    found: dict[str, float] = read_json(ROOT / run / "metrics/comparison.json")["improved"][key]
    return found


def test_one_training_asks_for_what_songs_ask_for() -> None:
    differs = stored(FLOAT32, "paired_bs")
    low, high = differs["low"], differs["high"]
    before, after = read_power(pair(FLOAT32), ["paired_bs"])["improved minus baseline"]["paired_bs"]
    assert before == pytest.approx(detectable(low, high))
    # Eleven figures are compared: the normal quantile of a level that is as much smaller.
    rise = stats.norm.ppf(1 - 0.025 / 11) + stats.norm.ppf(0.8)
    assert after == pytest.approx(rise * (high - low) / (2 * stats.norm.ppf(0.975)), rel=1e-6)


@pytest.mark.slow
def test_several_seeds_ask_for_what_they_differ_by() -> None:
    own, base = (pd.read_csv(file) for file in pair(LONG)["improved minus baseline"])
    own, base = (table.set_index(["seed", "track"])["break_6db"] for table in (own, base))
    of_seeds = list((own - base).groupby("seed").median())
    differs = stored(LONG, "paired_break_6db")
    head, _, (words, cell) = rows_of(power(pair(LONG), ["paired_break_6db"]))
    assert head == ["difference", "paired break point 6 dB"] and words == "improved minus baseline"
    before = detectable(differs["low"], differs["high"])
    after = detectable(differs["low"], differs["high"], comparisons=11, of_seeds=of_seeds)
    assert after > 2 * before and cell == f"{before:.2f} ({after:.2f})"


@pytest.fixture(scope="module")
def sizes() -> Sizes:
    """By rows of the tables: of the main run, and of two trainings that went on."""
    return read_power(AGAINST_BASELINE, KEYS) | read_power(LONGER, KEYS)


@pytest.mark.slow
def test_sentences_quote_the_tables(sizes: Sizes) -> None:
    improved, dropout = (sizes[f"{name} minus baseline"] for name in ("improved", "dropout-only"))
    later = sizes["improved minus baseline, 100 epochs"]
    (bs, bs_after), (at_bs, at_bs_after) = improved["paired_bs"], improved["paired_at_bs"]
    of_breaks = max(dropout[key][0] for key in COMPARED_BREAKS)
    whole = {key: detectable(*ends(LONG, key)) for key in ("bs", "at_bs", "rb", "si_sdr")}
    comparisons = 11 * len(AGAINST_BASELINE)
    times = stats.t.ppf(1 - 0.025 / comparisons, 2) / math.sqrt(3)
    said = [
        f"needs true differences of {whole['bs']:.2f} and {whole['at_bs']:.2f} dB",
        f"which {bs:.2f} and {at_bs:.2f} dB would mostly have had",
        f"all {comparisons}, where it takes [{bs_after:.2f} and {at_bs_after:.2f} dB]",
        f"where {later['paired_bs'][0]:.2f} and {later['paired_at_bs'][0]:.2f} dB could have",
        f"can no longer tell ({whole['rb']:.2f} dB)",
        f"where {improved['paired_drop'][0]:.2f} could have been shown",
        f"where {whole['si_sdr']:.2f} could have been",
        f"would show {dropout['paired_drop'][0]:.2f} and {of_breaks:.2f} dB",
        f"could show ({improved['paired_break_6db'][0]:.1f}), and far from the "
        f"{improved['paired_break_6db'][1]:.0f} dB",
        f"asks for a mean of {times:.0f} times their standard deviation",
    ]
    text = " ".join((ROOT / "docs/results.md").read_text(encoding="utf-8").split())
    assert [words for words in said if words not in text] == []
    assert (
        detectable(*ends(SHORT, "rb")) < 0.26
    )  # "a fall of the paper's size would have been seen"


def ends(run: Path, key: str) -> tuple[float, float]:
    return stored(run, key)["low"], stored(run, key)["high"]


@pytest.mark.slow
def test_sentences_on_single_trainings_quote_theirs() -> None:
    at_bs = read_power(IN_LINF, ["paired_at_bs"])["sinkhorn minus baseline"]["paired_at_bs"]
    drop = read_power(IN_L2, ["paired_drop"])["improved minus baseline"]["paired_drop"]
    text = " ".join((ROOT / "docs/more-results.md").read_text(encoding="utf-8").split())
    shown = "{:.2f} dB could have been by an interval, {:.2f} after correction".format(*at_bs)
    assert shown in text
    assert f"where an interval could have shown {drop[0]:.2f}" in text
