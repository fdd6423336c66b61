"""The page: whole, by itself, for everyone, whatever songs are called."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import AllParams
from page_parts import Element, cells, parsed
from pages import COUNT, HOSTILE, INFORMED, clips, many_tracks, names, whole_page
from test_mixed import reported

from stemproof.core.errors import InputError
from stemproof.report import listening
from stemproof.report.pictures import LONGEST_NAME

MakeParams = Callable[..., AllParams]
DEMO = {"data": {"source": "demo"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page")


@pytest.fixture
def page(folder: Path, make_params: MakeParams) -> str:
    """The same page for all tests: made once."""
    file = folder / "index.html"
    if not file.exists():
        for name, text in whole_page(folder / "run", make_params(**DEMO)).items():
            (folder / name).write_text(text, encoding="utf-8")
    return file.read_text(encoding="utf-8")


def picture(page: str, name: str) -> Element:
    """The picture whose parts have ids that begin with a name."""
    (found,) = (
        svg
        for svg in parsed(page).all("svg")
        if any(e.attributes.get("id", "").startswith(f"{name}-figure") for e in svg.all("g"))
    )
    return found


def test_ids_are_unique_and_what_refers_to_them_finds_them(page: str) -> None:
    elements = parsed(page).all()
    ids = Counter(e.attributes["id"] for e in elements if "id" in e.attributes)
    assert len(ids) > 100 and set(ids.values()) == {1}
    for element in elements:
        for value in element.attributes.values():
            for name in re.findall(r"^#(.+)|url\(#([^)]+)\)", value):
                assert (name[0] or name[1]) in ids


def test_it_stands_by_itself(page: str) -> None:
    tree = parsed(page)
    for element in tree.all():
        for key in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            value = element.attributes.get(key, "")
            assert value.startswith(("data:", "#")) or not value, value
    assert not tree.all("script", "iframe", "object", "embed", "form", "base")
    style = "".join(e.text for e in tree.all("style"))
    assert "@import" not in style and "url(" not in style
    assert not any(e.attributes.get(key) for e in tree.all() for key in ("onload", "onclick"))
    assert "http" not in page
    assert len(page) < 6_000_000


def test_it_can_be_read_without_seeing_it(page: str) -> None:
    tree = parsed(page)
    (html,), (main,) = tree.all("html"), tree.all("main")
    assert html.attributes["lang"] == "en" and main.all("h1")
    assert tree.all("title")[0].text
    for table in tree.all("table"):
        assert table.all("caption")[0].text
        headings = table.all("th")
        assert {th.attributes.get("scope") for th in headings} == {"col", "row"}
        rows = table.all("tbody")[0].all("tr")
        assert len(table.all("thead")[0].all("th")) == len(rows[0].all("th", "td"))
        assert all(row.all("th") for row in rows)
    svgs = tree.all("svg")
    learned = 2 + 1
    assert len(svgs) == 2 * 2 + 2 * 2 + 3 + 1 + learned + len(tree.all("audio"))
    for svg in svgs:
        assert svg.attributes["role"] == "img"
        assert len(svg.attributes["aria-label"]) > 10
    for audio in tree.all("audio"):
        assert "controls" in audio.attributes and audio.attributes["aria-label"]
    levels = [int(heading.tag[1]) for heading in tree.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    # What scrolls is reached by keyboard.
    for element in tree.all("div", "pre"):
        if element.tag == "pre" or element.attributes.get("class") == "scroll":
            assert element.attributes["tabindex"] == "0"


def test_every_axis_has_its_unit(page: str) -> None:
    for svg in parsed(page).all("svg"):
        if svg.attributes["class"] != "plot":
            continue
        words = [text.text for text in svg.all("text")]
        assert sum(word.endswith((" dB", "in dB)")) or " in dB" in word for word in words) >= 1, (
            words
        )
    units = [t.text for svg in parsed(page).all("svg") for t in svg.all("text")]
    assert units.count("Hz") == len(parsed(page).all("audio"))
    assert units.count("time in s") == units.count("Hz") + 2  # of maps


@pytest.mark.parametrize("key", ["informed", "blind"])
def test_every_track_of_the_table_is_in_the_plot(page: str, key: str) -> None:
    svg = picture(page, f"{key}-tracks")
    drawn = [text.text for text in svg.all("text")]
    for name in names():
        shown = " ".join(name.split())
        short = shown if len(shown) <= LONGEST_NAME else shown[: LONGEST_NAME - 1] + "\u2026"
        assert drawn.count(short) == 1, name
        assert shown in svg.attributes["aria-label"]
    # Two markers a track and system, none on another.
    systems = [name for name, informed in INFORMED.items() if informed == (key == "informed")]
    places = Counter((e.attributes["x"], e.attributes["y"]) for e in svg.all("use"))
    rows = Counter(y for (_, y) in places)
    assert sum(count >= 2 for count in rows.values()) >= COUNT * len(systems)


def test_names_are_words_and_nothing_else(page: str, folder: Path) -> None:
    assert "<script" not in page and "</text><b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    # As text in SVG, and not as mathematics or as a colour of the style sheet.
    assert HOSTILE[2] in [text.text for text in picture(page, "blind-tracks").all("text")]
    assert "<script" not in (folder / "report.md").read_text()


def test_what_a_reader_looks_for_stands_first(page: str) -> None:
    tree = parsed(page)
    verdicts = [e.text for e in tree.all("div") if e.attributes.get("class") == "verdict"]
    assert len(verdicts) == 2
    assert re.search(r"costs baseline \d\.\d\d dB \[\d\.\d\d, \d\.\d\d\] and improved", verdicts[0])
    assert "95% intervals over 40 tracks, 1 training seed" in verdicts[0]
    assert "flags: none of 1 raised" in verdicts[0]
    assert "of the" in verdicts[0] and "that its separation gains over the mixture" in verdicts[0]
    header = list(cells(page, "RB | paired drop | BS | AT-BS")["baseline"])
    assert header[:3] == ["system", "RB", "paired drop"]  # in sight on a phone
    assert page.index('class="verdict"') < page.index('id="words"') < page.index('id="result"')
    for word in ("RSVM, Li (2022), MUSDB18", "Why SI-SDR differs from the paper"):
        assert page.index(word) > page.index('id="result"')


def test_the_paper_is_compared_by_what_was_measured(page: str) -> None:
    (said,) = (p.text for p in parsed(page).all("p") if "Why SI-SDR" in p.text)
    assert "the paper has 29.88 dB" in said and "this run trained 1 epoch on 3 segments" in said
    assert "Not known: how long the paper's own systems were trained" in said
    assert "still raised" not in said  # of one epoch there is no rise


def test_it_says_how_much_was_audited(page: str) -> None:
    flags = page.split('id="flags"')[1].split("<h2")[0]
    said = " ".join(re.sub("<[^>]*>", "", flags).split())
    assert "baseline, improved: 4 of 12 segments; toy: 4 of 12 excerpts, scored as a whole" in said
    # What no system was asked for has no column.
    assert ", 0 samples changed" not in page


def test_clips_are_what_the_stage_wrote(page: str, folder: Path) -> None:
    players = parsed(page).all("audio")
    assert len(players) == (2 + 2 * 4) + (2 + 4)
    embedded = []
    for player in players:
        head, _, data = player.attributes["src"].partition(",")
        assert head == "data:audio/wav;base64"
        embedded.append(base64.b64decode(data))
        audio, rate = soundfile.read(io.BytesIO(embedded[-1]), always_2d=True)
        assert rate == 4000 and len(audio) == 800
    files = {file.read_bytes() for file in (folder / "run/clips").glob("*.wav")}
    assert set(embedded) == files and len(files) == len(players)
    # In the order of the tables, whatever the order of the index.
    labels = [player.attributes["aria-label"] for player in players]
    assert labels[2].endswith("baseline") and labels[6].endswith("improved")


@pytest.mark.parametrize(
    ("source", "rendered", "audio", "said"),
    [
        ("demo", True, "demo", ""),
        ("demo", False, "demo", "may not be handed on freely"),
        ("musdb18", False, "demo", "may not be handed on freely"),
        ("musdb18hq", True, "demo", "may not be handed on freely"),
        ("musdb18", False, True, ""),
        ("demo", True, False, "report.audio is false"),
    ],
)
def test_only_what_may_be_is_handed_on(
    tmp_path: Path, make_params: MakeParams, source: str, rendered: bool, audio: Any, said: str
) -> None:
    params = make_params(data={"source": source}, report={"audio": audio})
    folder = clips(tmp_path / "clips", rendered)
    heard = listening.read_listening(
        folder, params.model_dump(mode="json"), params.report.audio, list(INFORMED)
    )
    assert len(heard.parts) == 2
    for part in heard.parts:
        assert said in part.why_silent and bool(said) == bool(part.why_silent)
        clips_of = [*part.shared, *(clip for _, _, own in part.systems for clip in own)]
        assert all(bool(clip.audio) == (not said) for clip in clips_of)
        assert all(clip.picture.startswith("<svg") for clip in clips_of)


def test_a_page_does_not_grow_without_end(
    tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params(data={"source": "demo"})
    folder = clips(tmp_path / "clips")
    # Enough for the first part only.
    monkeypatch.setattr(listening, "LIMIT", 25_000)
    heard = listening.read_listening(folder, params.model_dump(mode="json"), "demo", list(INFORMED))
    silent = [part.why_silent for part in heard.parts]
    assert silent == ["", "No audio: the page would be too large."]
    played = [clip for _, _, own in heard.parts[0].systems for clip in own]
    assert sum(len(clip.audio) for clip in [*played, *heard.parts[0].shared]) <= 25_000


def test_clips_that_are_not_there(tmp_path: Path, make_params: MakeParams) -> None:
    shown = make_params().model_dump(mode="json")
    with pytest.raises(InputError, match="no such file; run listen"):
        listening.read_listening(tmp_path, shown, "demo", list(INFORMED))


def test_the_same_run_gives_the_same_page(
    page: str, folder: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    again = whole_page(tmp_path, make_params(**DEMO))
    assert again["index.html"] == page
    assert again["report.md"] == (folder / "report.md").read_text(encoding="utf-8")


def test_the_summary_is_small(page: str, folder: Path) -> None:
    text = (folder / "report.md").read_text()
    assert len(text) < 5000
    for said in ("Informed systems: a perturbation", "flags: none", "| system | RB |", "## Flags"):
        assert said in text


def test_an_aim_is_no_result(tmp_path: Path, make_params: MakeParams) -> None:
    """Of `minimal` the verdict is how small the perturbation is, and there is none on RB."""
    params = make_params(attack={"method": "minimal", "norm": "l2"})
    pages = reported(tmp_path, params, many_tracks(), INFORMED)
    for text in (parsed(pages["index.html"]).text, pages["report.md"]):
        assert re.search(
            r"the smallest perturbation found that costs 3 dB of SI-SDR lies \d\.\d dB "
            r"\\?\[\d\.\d, \d\.\d\] below the mixture for baseline and",
            text,
        )
        assert "shows no difference" not in text and "improved minus baseline is" not in text


def lines_of(svg: Element) -> Iterator[str]:
    for path in svg.all("path"):
        yield path.attributes.get("style", "")


def test_pictures_follow_the_page(page: str) -> None:
    """Every colour of ink, lines and systems is one of the style sheet."""
    style = parsed(page).all("style")[0].text
    for svg in parsed(page).all("svg"):
        if svg.attributes["class"] != "plot":
            continue
        used = {c for e in svg.all() for c in re.findall(r"var\((--[\w-]+)\)", str(e.attributes))}
        assert used and all(f"{name}:" in style for name in used)
        fixed = {c for said in lines_of(svg) for c in re.findall(r"#[0-9a-f]{6}", said)}
        is_map = any(e.attributes.get("id", "").startswith("transfer") for e in svg.all("g"))
        assert is_map or not fixed, fixed
    # In both schemes, and each with one value.
    for name in ("--ink", "--system-0", "--system-5"):
        assert len(re.findall(rf"{name}: ", style)) == 2
    assert np.all([f"@media {kind}" in style for kind in ("print", "(max-width")])
