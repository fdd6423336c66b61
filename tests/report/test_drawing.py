"""Pictures: the same bytes, the right shapes, bitmaps that other programs read."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps, image

from stemproof.report import spectrograms
from stemproof.report.bitmaps import png
from stemproof.report.drawing import COLORS, NAMES, drawn, for_page, look
from stemproof.report.pictures import heat_map, tracks
from stemproof.report.spectrograms import draw, levels
from stemproof.report.sweeps import Point, Sweep, robustness, sweep_of


def plotted(name: str = "x", words: str = "words") -> str:
    with drawn(name, words) as canvas:
        canvas.axes.plot([1, 2], [3, 4], label=words, **look(0))
        canvas.axes.legend()
    return canvas.svg


def test_a_picture_is_part_of_a_page() -> None:
    assert plotted() == plotted()
    first, second = plotted("first"), plotted("second")
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (first, second)]
    assert ids[0] and not ids[0] & ids[1]
    for svg, own in zip((first, second), ids, strict=True):
        refers = re.findall(r'(?:href="|url\()#([^")]+)', svg)
        assert refers and set(refers) <= own
        assert "<style" not in svg and "xmlns" not in svg and "xlink" not in svg
    assert first.replace("first-", "second-") == second
    assert "var(--system-0)" in first and not any(color in first for color in NAMES)


def test_words_are_left_as_they_are() -> None:
    words = f'id="a" href="#b" {COLORS[0]} <b> & $x$'
    svg = plotted(words=words)
    inside = f'id="a" href="#b" {COLORS[0]} &lt;b&gt; &amp; $x$'
    assert f">{inside}</text>" in svg
    assert 'aria-label="id=&quot;a&quot;' in svg


def test_no_two_systems_look_the_same() -> None:
    looks = {tuple(look(number).values()) for number in range(40)}
    assert len(looks) == 40
    assert for_page('<svg viewBox="0 0 1 1" id="a"><g id="b"/></svg>', "n", "s").count("n-b") == 1


def test_a_bitmap_is_what_another_program_reads() -> None:
    indices = np.arange(256 * 300, dtype=np.int64).reshape(256, 300).astype(np.uint8)
    read = image.imread(io.BytesIO(png(indices)), format="png")  # larger than one stored block
    expected = (colormaps["magma"](np.arange(256))[:, :3] * 255).round()[indices]
    assert np.array_equal((read[..., :3] * 255).round(), expected)


@pytest.mark.parametrize("hertz", [100.0, 440.0, 3000.0, 12_000.0])
def test_a_tone_lies_in_its_band(hertz: float) -> None:
    rate = 44_100
    tone = 0.5 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)[None]
    found = levels(tone, rate)
    edges = np.geomspace(60, 16_000, len(found) + 1)
    middle = found[:, found.shape[1] // 2]
    loudest = int(middle.argmax())
    bin_width = rate / spectrograms.WINDOW
    assert edges[loudest] - bin_width <= hertz <= edges[loudest + 1] + bin_width
    # Its amplitude squared, as full scale 1 has 0 dB, but for a leak between two bins.
    assert middle.max() == pytest.approx(20 * np.log10(0.5), abs=1.5)
    # Two channels have twice the energy.
    both = levels(np.concatenate([tone, tone]), rate)
    assert both.max() == pytest.approx(found.max() + 10 * np.log10(2), abs=1e-6)


def test_clips_of_a_segment_share_their_colours() -> None:
    rate, noise = 8000, np.random.default_rng(0).uniform(-1, 1, (1, 8000))
    reference = float(levels(noise, rate).max())

    def brightest(audio: np.ndarray) -> int:
        svg = draw(audio, rate, reference, "a <b>")
        assert 'aria-label="a &lt;b&gt;"' in svg and ">10k<" not in svg and ">1k<" in svg
        found = re.search(r"base64,([^\"]+)", svg)
        assert found is not None
        bitmap = image.imread(io.BytesIO(base64.b64decode(found[1])), format="png")
        colors = (colormaps["magma"](np.arange(256))[:, :3] * 255).round()
        flat = (bitmap[..., :3] * 255).round().reshape(-1, 3)
        return int(max(np.abs(colors - pixel).sum(1).argmin() for pixel in np.unique(flat, axis=0)))

    assert brightest(noise) == 255
    # 20 dB of 80 below: a quarter less.
    assert brightest(noise / 10) == pytest.approx(255 * 0.75, abs=2)
    assert brightest(noise * 0) == 0


def test_a_sweep_is_read_from_metrics() -> None:
    system = {"drop": 0.6, "drop_low": 0.5, "drop_high": 0.7, "perturbation_snr": 33.0}
    system |= {"bs": 6.0, "mixture_si_sdr": -7.0, "break_3db": 22.0}
    audit = {"eps_drop": {"1": 0.5, "10": 4.0, "100": 14.0}, "eps_snr": {"1": 34, "10": 14}}
    found = sweep_of(system, audit)
    assert found.points == [Point(34, 0.5), Point(14, 4.0)]
    assert found.default == Point(33.0, 0.6, (0.5, 0.7))
    assert list(found.breaks) == [Point(22.0, 3)] and found.everything == 13.0
    # What was silenced has no figure, and an attack of which nothing is known no picture.
    assert sweep_of({}, {"eps_drop": {}, "eps_snr": {"1": 3}}) == Sweep([], None, [], None)
    assert robustness("r", {"a": Sweep([])}, {"a": 0}, 0.1) is None
    drawn_one = robustness("r", {"a": found}, {"a": 0}, 0.003)
    assert drawn_one is not None
    for word in ("this run, eps 0.003", "0.03", "eps, about", "loss of SI-SDR in dB"):
        assert f">{word}" in drawn_one.svg
    without = robustness("r", {"a": found}, {"a": 0}, None)
    assert without is not None and ">this run<" in without.svg and "eps" not in without.svg


def test_tracks_stand_by_what_they_lose_and_seeds_are_averaged() -> None:
    rows = [(s, t, 6.0, 6.0 - d * s) for s in (1, 3) for t, d in (("low", 0.1), ("high", 1.0))]
    table = pd.DataFrame(rows, columns=["seed", "track", "bs", "at_bs"])
    table["drop"] = table["bs"] - table["at_bs"]
    gone = pd.DataFrame([(1, "gone", np.nan, np.nan, np.nan)], columns=table.columns)
    found = tracks("t", {"a": pd.concat([table, gone])}, {"a": 0}, "dB")
    said = re.search('aria-label="([^"]*)"', found.svg)
    assert said is not None
    assert "high: a 6.0 to 4.0 dB. low: a 6.0 to 5.8 dB. gone: a silence." in said[1]
    assert ">a: silence<" in found.svg
    shown = re.findall(r">(high|low|gone)</text>", found.svg)
    assert sorted(shown) == ["gone", "high", "low"]


def test_a_heat_map_says_its_numbers_and_gaps() -> None:
    values = pd.DataFrame([[1.0, np.nan], [0.25, 2.0]], ["a", "b"], ["a", "b"])
    found = heat_map("h", values, [1, 1], "caption")
    assert found is not None and found.caption == "caption"
    for word in ("1.00", "0.25", "2.00", "-"):
        assert f">{word}</text>" in found.svg
    assert "Crafted on a: 1.00 played to a. Crafted on b: 0.25 played to a" in found.svg
    assert heat_map("h", pd.DataFrame(), [], "") is None
