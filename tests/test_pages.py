"""What the documentation names is there: parameters, files, commands and links."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, default_tree

from stemproof.attacks.params import AttackSection

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += [ROOT / "published/README.md", *sorted(ROOT.glob("results/*/README.md"))]
PAGES += [ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
by_page = pytest.mark.parametrize(
    "text", [page.read_text() for page in PAGES], ids=[str(p.relative_to(ROOT)) for p in PAGES]
)
# Sections of the parameters, of which pages name single keys.
SECTIONS = "|".join(key for key, value in default_tree().items() if isinstance(value, dict))


def parameter(name: str) -> Any:
    # With the defaults of methods that were added.
    tree = default_tree()
    tree["attack"] = {**AttackSection().model_dump(mode="json"), **tree["attack"]}
    found: Any = tree
    for key in name.split("."):
        found = found[key]
    return found


@by_page
def test_parameters_on_command_lines_exist(text: str) -> None:
    for setting in re.findall(r"-S '?([a-z0-9_.-]+)=(\S+)", text):
        default = parameter(setting[0])
        # A list is given in brackets; else DVC's error says little.
        wrong = setting == ("ablations", "stft`;")
        assert isinstance(default, list) == setting[1].startswith("[") or wrong, setting


@by_page
def test_parameters_in_the_text_exist(text: str) -> None:
    for name in re.findall(rf"`((?:{SECTIONS})\.[a-z0-9_.]+)`", text):
        is_example = name.startswith("attack.tone")
        is_file = Path(name).suffix in (".csv", ".json")
        if not (is_example or is_file):
            parameter(name)  # which may be null; what is not there is an error


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


def test_stages_that_dvc_shall_record_exist() -> None:
    known = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    named = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        for command in re.findall(r"dvc commit (?:-f|--force) ([^\n#`]+)", text):
            named += [stage.partition("@")[0] for stage in command.split()]
    assert set(named) <= set(known)
    # All that side_by_side runs, and what they need.
    assert set(known) - set(named) == {"render-demo", "board", "protect"}


@by_page
def test_files_of_the_project_exist(text: str) -> None:
    added = set(re.findall(r"^(?:# |--- )(\S+\.py)$", text, re.MULTILINE))
    for name in re.findall(r"(?:stemproof|stages|tests|benchmarks)/[\w/]+\.\w+", text):
        assert (ROOT / name).exists() or name in added, name


@by_page
def test_stages_have_the_options_that_are_shown(text: str) -> None:
    for script, rest in re.findall(r"python (stages/\w+\.py)([^`\n]*)", text):
        options = re.findall(r"--[a-z]+", rest)
        if options:
            source = (ROOT / script).read_text()
            for option in options:
                assert re.search(rf"\b{option[2:]}: Annotated", source), (script, option)


@pytest.mark.slow
def test_the_python_of_the_front_page_can_be_imported() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if " import " in line]
    assert lines
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_every_page_is_in_the_site_and_on_its_first_page() -> None:
    listed = re.findall(r"([\w-]+\.md)", (ROOT / "mkdocs.yml").read_text())
    first = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs/index.md").read_text())
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert sorted(listed) == sorted(pages)
    assert sorted(first) == sorted(pages - {"index.md"})
    # The definitions, which it names, lead to the parameters.
    assert pages - {"index.md", "parameters.md"} <= set(re.findall(r"docs/([\w-]+\.md)", README))


@pytest.mark.parametrize(
    ("file", "page"),
    [("reconstruction.md", "docs/more-results.md"), ("gpu-speed.md", "docs/scale.md")],
)
def test_tables_that_were_printed_once_are_those_that_are_kept(file: str, page: str) -> None:
    """Of what no command makes again here: a training's last state, and a GPU."""
    kept = (ROOT / "results/musdb18-7" / file).read_text(encoding="utf-8")
    assert kept.startswith("| ") and kept in (ROOT / page).read_text(encoding="utf-8")


def test_the_site_links_nothing_that_it_has_not() -> None:
    """What lies outside of docs/ is no page of the site: it is named there."""
    on_site = runpy.run_path(str(ROOT / "docs/site.py"))["on_page_markdown"]
    for page in (ROOT / "docs").glob("*.md"):
        assert "](../" not in on_site(page.read_text()), page
    said = on_site("of [one run](../results/systems#x), [`params.yaml`](../params.yaml), [a](b.md)")
    assert said == "of one run (`results/systems` in the repository), `params.yaml`, [a](b.md)"
