"""The page in a real browser: from disk, without a request, for eyes, ears and keyboards.

Skipped where there is no Chromium; the rules of axe-core are asked where `AXE_CORE` names its
file ``axe.min.js`` (`npm install axe-core`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import Tab, browsing, find_browser
from conftest import AllParams
from pages import COUNT, whole_page

pytestmark = pytest.mark.slow
SIZES = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
by_size = pytest.mark.parametrize(("width", "scheme"), SIZES)
OPEN_ALL = "document.querySelectorAll('details').forEach(found => { found.open = true })"
PLAY = """(async () => {
  const found = [];
  for (const player of document.querySelectorAll('audio')) {
    player.muted = true;
    await player.play();
    await new Promise(done => player.addEventListener('ended', done, { once: true }));
    found.push([player.duration, player.currentTime]);
  }
  return found;
})()"""
AXE = "axe.run(document).then(found => found.violations.map(v => [v.id, v.nodes[0].html]))"
# Where a table begins, and where its column RB ends.
IN_SIGHT = """[...document.querySelectorAll('table')].slice(0, 1).map(table => {
  const place = [...table.querySelectorAll('thead th')].findIndex(th => th.innerText == 'RB');
  return table.querySelectorAll('tbody td')[place - 1].getBoundingClientRect().right;
})[0]"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    program = find_browser()
    if program is None:
        pytest.skip("there is no Chromium; install one, or name it in BROWSER_FOR_TESTS")
    with browsing(program, tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page") / "index.html"


@pytest.fixture
def url(written: Path, make_params: Callable[..., AllParams]) -> str:
    if not written.exists():
        params = make_params(data={"source": "demo"})
        text = whole_page(written.parent / "run", params)["index.html"]
        written.write_text(text, encoding="utf-8")
    return written.as_uri()


@by_size
def test_it_opens_from_disk_and_asks_for_nothing(
    tab: Tab, url: str, width: int, scheme: str
) -> None:
    tab.open(url, width, scheme)
    tab.run(OPEN_ALL)
    assert tab.requests() == [url]
    assert tab.complaints() == []
    # Nothing is wider than the window, and both schemes are there.
    root = "document.documentElement"
    assert tab.run(f"{root}.scrollWidth <= {root}.clientWidth")
    paper = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 600) == (scheme == "light")
    assert tab.run(IN_SIGHT) < width
    # Every track is a word in the plot that is really there.
    seen = tab.run(
        "[...document.querySelectorAll('[id=\"informed-tracks-figure_1\"] text')].filter(t => "
        "t.getBoundingClientRect().width > 0 && t.getBoundingClientRect().left >= 0).length"
    )
    assert seen >= COUNT


def test_every_player_plays_to_its_end(tab: Tab, url: str) -> None:
    tab.open(url, 1280, "light")
    played = tab.run(PLAY)
    assert len(played) == 16
    for duration, reached in played:
        assert duration == pytest.approx(0.2, abs=0.02)
        assert reached == pytest.approx(duration, abs=0.02)


def test_the_keyboard_reaches_all(tab: Tab, url: str) -> None:
    tab.open(url, 1280, "light")
    reached = set()
    for _ in range(60):
        tab.press("Tab")
        reached.add(tab.run("document.activeElement.tagName"))
    assert {"A", "SUMMARY", "DIV"} <= reached
    tab.run("document.querySelector('details summary').focus()")
    tab.press("Enter")
    assert tab.run("document.querySelector('details').open")
    # What has the focus is marked.
    tab.press("Tab")
    assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_it_prints_with_what_is_folded(tab: Tab, url: str) -> None:
    tab.open(url, 1280, "light")
    pages = [len(tab.ask("Page.printToPDF")["data"])]
    tab.run(OPEN_ALL)
    pages.append(len(tab.ask("Page.printToPDF")["data"]))
    # The same whether it is unfolded or not, but for what is drawn beside the summary.
    assert pages[0] == pytest.approx(pages[1], rel=0.02) and pages[0] > 10_000


@by_size
def test_axe_finds_nothing(tab: Tab, url: str, width: int, scheme: str) -> None:
    if not os.environ.get("AXE_CORE"):
        pytest.skip("AXE_CORE does not name an axe.min.js; npm install axe-core has one")
    tab.open(url, width, scheme)
    tab.run(OPEN_ALL)
    tab.run(Path(os.environ["AXE_CORE"]).read_text(encoding="utf-8"))
    assert tab.run(AXE) == []
