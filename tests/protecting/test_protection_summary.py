"""Medians of protected songs: intervals over songs, silence, and what is said at the end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stemproof.core.errors import InputError
from stemproof.figures.params import StatisticsParams
from stemproof.protecting.summary import Estimate, Measured, closing, summarized
from stemproof.report import protection_tables as tables

STATISTICS = StatisticsParams(bootstrap=300, confidence=0.9, seed=5)
SONGS = 7


def effect(draw: np.random.Generator, strength: float) -> dict[str, Any]:
    noise = 20 + draw.normal()
    return {
        "output": {"protected": noise - strength + draw.normal(), "noise": noise},
        "true": {
            "clean": 5 + draw.normal(),
            "protected": 5 - strength / 3 + draw.normal(),
            "noise": 4.9 + draw.normal(),
        },
    }


def rows(songs: int = SONGS) -> list[dict[str, Any]]:
    draw = np.random.default_rng(1)
    return [
        {
            "track": f"song {n}",
            "costs": {
                "snr": 26 + draw.normal(),
                "lufs": {"perturbation": -40 + draw.normal()},
                "below": 0.9,
            },
            "effects": {"own": effect(draw, 9), "other": effect(draw, 0)},
            "changes": {"mp3-128": effect(draw, 5), "low-pass-11k": effect(draw, 1)},
            "fine_tuned": effect(draw, 3),
        }
        for n in range(songs)
    ]


def resampled(figures: NDArray[np.float64]) -> tuple[float, float, float]:
    """Median with its percentile interval, one resample after the other."""
    draw = np.random.default_rng(STATISTICS.seed)
    places = [draw.integers(0, len(figures), size=len(figures)) for _ in range(300)]
    found = sorted(float(np.median(figures[place])) for place in places)
    low, high = np.percentile(found, [5, 95])
    return float(np.median(figures)), float(low), float(high)


def ends(one: Estimate) -> tuple[float | None, float | None, float | None]:
    return one.value, one.low, one.high


def test_intervals_are_those_of_an_independent_bootstrap() -> None:
    own = rows()
    found = summarized(own, ["own"], STATISTICS)

    def column(*path: str) -> NDArray[np.float64]:
        values = []
        for row in own:
            value: Any = row
            for key in path:
                value = value[key]
            values.append(value)
        return np.array(values)

    aimed = [column("effects", "own", "output", way) for way in ("protected", "noise")]
    true = {way: column("effects", "own", "true", way) for way in ("clean", "protected")}
    after = {way: column("fine_tuned", "true", way) for way in ("clean", "protected")}
    taught = found.fine_tuning
    assert taught is not None
    for estimate, figures in (
        (found.costs.snr, column("costs", "snr")),
        (found.costs.lufs, column("costs", "lufs", "perturbation")),
        (found.systems["own"].output.protected, aimed[0]),
        # Paired: song by song, and not a difference of medians.
        (found.systems["own"].output.difference, aimed[1] - aimed[0]),
        (found.systems["own"].true.lost, true["clean"] - true["protected"]),
        (found.changes["mp3-128"].noise, column("changes", "mp3-128", "output", "noise")),
        (taught.regained, after["protected"] - true["protected"]),
        (taught.price, after["clean"] - true["clean"]),
    ):
        assert ends(estimate) == pytest.approx(resampled(figures))
    assert found.systems["own"].aimed and not found.systems["other"].aimed


def test_songs_of_silence_are_left_out_and_one_has_no_interval() -> None:
    own = rows()
    own[0]["effects"]["own"]["output"]["protected"] = None
    found = summarized(own, ["own"], STATISTICS).systems["own"].output
    left = np.array([row["effects"]["own"]["output"]["protected"] for row in own[1:]])
    assert found.protected.value == pytest.approx(float(np.median(left)))
    single = summarized(rows(1), ["own"], STATISTICS).costs.snr
    assert single.value is not None and single.low is single.high is None
    for row in own:
        row["costs"]["lufs"]["perturbation"] = None
    assert ends(summarized(own, ["own"], STATISTICS).costs.lufs) == (None, None, None)


def document(changes: int = 2, taught: bool = True) -> dict[str, Any]:
    own = rows()
    for row in own:
        row["changes"] = dict(list(row["changes"].items())[:changes])
        if not taught:
            del row["fine_tuned"]
    return {
        "format": 1,
        "system": "own",
        "budget": "3 dB below the masking threshold of the song",
        "n_tracks": len(own),
        "params": {
            "mix": "streaming",
            "diverse": False,
            "fine_tuning": {"songs": 4, "steps": 9},
        },
        "left_out": {"informed": "it is told something"},
        "medians": summarized(own, ["own"], STATISTICS).model_dump(mode="json"),
        "tracks": own,
    }


def test_what_is_said_at_the_end_is_short() -> None:
    many = document()
    change = many["medians"]["changes"]["mp3-128"]
    many["medians"]["changes"] = dict.fromkeys(
        ("mp3-128", "mp3-320", "aac-128", "aac-256", "opus-128", "16-bit", "gain", "shift"), change
    )
    lines = closing(Measured.model_validate(many))
    assert len(lines) == 10 and lines[-1] == "... and 3 more"
    own = Measured.model_validate(document()).medians.systems["own"].output
    assert lines[1] == (
        f"own (protected against): protected {own.protected} dB, noise {own.noise} dB, "
        f"aiming buys {own.difference} dB"
    )
    assert lines[2].startswith("other (not made for): ")
    assert lines[3].startswith("after fine-tuning: ")
    few = closing(Measured.model_validate(document()))
    assert [line.partition(":")[0] for line in few[4:]] == [
        "after low-pass at 11 kHz",
        "after MP3 at 128 kbit/s",
    ]


def test_tables_show_what_documents_say(tmp_path: Path) -> None:
    for name, own in (("a", document()), ("b", document(changes=0, taught=False))):
        (tmp_path / f"{name}.json").write_text(json.dumps(own))
    found = tables.published(tmp_path)
    medians = found[0].medians
    own = medians.systems["own"].output
    shown = tables.budgets(found).splitlines()
    assert len(shown) == 4
    assert shown[2].endswith(f"| 90.0% | {own.protected} | {own.noise} | {own.difference} |")
    survival = tables.survival(found).splitlines()[2:]
    assert [line.split(" | ")[2:4] for line in survival] == [
        ["the file as it is", "yes"],
        ["MP3 at 128 kbit/s", "no"],
        ["low-pass at 11 kHz", "no"],
    ]
    other = medians.systems["other"].output
    assert (
        tables.transfers(found)
        .splitlines()[2]
        .endswith(
            f"| {own.protected} | {own.difference} | {other.protected} | {other.difference} |"
        )
    )
    taught = medians.fine_tuning
    assert taught is not None
    lines = tables.taught(found).splitlines()[2:]
    assert len(lines) == 3 and "9 steps on 4 protected songs" in lines[0]
    assert lines[0].endswith(
        f"| {taught.before.protected} | {taught.after.protected} | {taught.regained} |"
    )
    assert lines[1].endswith(f"| {taught.price} |")
    assert lines[2].endswith(f"| {own.difference} | {taught.output.difference} |  |")
    page = tables.page(found[0])
    assert "informed is left out: it is told something." in page
    assert all(table in page for table in (tables.budgets(found[:1]), tables.taught(found[:1])))
    assert "trains" not in tables.page(found[1]) and "after a change" not in tables.page(found[1])


def test_documents_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no document of the stage protect in it"):
        tables.published(tmp_path)
    for changes, said in (
        ({"format": 2}, "format 2 of a newer release"),
        ({"n_tracks": "7"}, "n_tracks = '7' is not allowed"),
        ({"medians": {"costs": {}}}, "medians.costs.snr is missing"),
    ):
        (tmp_path / "a.json").write_text(json.dumps({**document(), **changes}))
        with pytest.raises(InputError, match=said):
            tables.published(tmp_path)


def test_a_figure_in_a_table() -> None:
    assert str(Estimate(value=1.26, low=-0.04, high=math.pi)) == "1.3 [-0.0, 3.1]"
    assert str(Estimate(value=1.26, low=None, high=None)) == "1.3"
    assert str(Estimate(value=None, low=None, high=None)) == "-"
