"""docs/parameters.md: all that there is, once; ranges of the models, stages of dvc.yaml."""

from __future__ import annotations

import re
import shutil
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from conftest import ROOT, AllParams
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from pydantic import BaseModel, Field, ValidationError

from stemproof.attacks.objectives import OBJECTIVES
from stemproof.attacks.registry import METHODS
from stemproof.attacks.steps import STEP_RULES
from stemproof.core.errors import InputError
from stemproof.core.params import Section
from stemproof.data.params import SegmentParams
from stemproof.report import fields, parameters
from stemproof.report.ranges import range_of
from stemproof.separators.registry import find_kind, kinds

TEXT = (ROOT / "tests/params.yaml").read_text()
TREE = yaml.safe_load(TEXT)
Page = dict[str, list[list[str]]]  # rows of the table under each heading
CELLS = re.compile(r"(?<!\\)\|")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pipeline, and parameters that no user changes."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "dvc.yaml", folder)
    (folder / "params.yaml").write_text(TEXT)
    return folder


@pytest.fixture(autouse=True)
def _in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


def tables(page: str) -> Page:
    """Rows of the table under each heading."""
    found: Page = {}
    for line in page.splitlines():
        if line.startswith("#"):
            found[line.strip("# ").replace("`", "")] = rows = []
        elif line.startswith("| `"):
            rows.append([cell.strip() for cell in CELLS.split(line)[1:-1]])
    return found


@pytest.fixture(scope="module")
def page(project: Path) -> Page:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return tables(parameters.sections())


def row(page: Page, key: str) -> list[str]:
    (found,) = [cells for rows in page.values() for cells in rows if cells[0] == f"`{key}`"]
    return found


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict) and tree:
        for name, value in tree.items():
            yield from leaves(value, f"{path}.{name}" if path else name)
    else:
        yield path, tree


def in_models(annotation: Any, path: str) -> Iterator[str]:
    """The keys of a model and of what it is made of, read from the annotations alone."""
    yield path
    for own in (annotation, *typing.get_args(annotation)):
        if isinstance(own, type) and issubclass(own, BaseModel):
            for name, field in own.model_fields.items():
                yield from in_models(field.annotation, f"{path}.{name}".lstrip("."))


def test_the_sections_stand_in_the_order_of_the_file(page: Page) -> None:
    assert [heading for heading in page if not heading.startswith("Kind ")] == list(TREE)


def test_every_leaf_of_the_file_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text(TEXT)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    page, tree = tables(parameters.sections()), yaml.safe_load(TEXT)
    shown = Counter(cells[0].strip("`") for name in tree for cells in page[name])
    for key, value in leaves({name: tree[name] for name in tree if name != "separators"}):
        assert shown[key] == 1, key
        assert yaml.safe_load(row(page, key)[2].strip("`")) == value
    for name, own in tree["separators"].items():
        assert shown[f"separators.{name}"] == 1, name
        cells = row(page, f"separators.{name}")
        said = {"kind": cells[1].strip("`")}
        for key, value in re.findall(r"(\S+) `(.*?)`(?:, |$)", cells[2]):
            said[key] = yaml.safe_load(value)
        assert said == dict(leaves(own))


def test_every_field_of_every_model_is_there_once(page: Page) -> None:
    for name, field in AllParams.model_fields.items():
        if name != "separators":
            shown = [cells[0].strip("`") for cells in page[name]]
            single = not isinstance(TREE[name], dict)
            wanted = list(in_models(field.annotation, name))[0 if single else 1 :]
            assert sorted(shown) == sorted(wanted)
    for kind in kinds():
        shown = [cells[0].strip("`") for cells in page[f"Kind {kind}"]]
        assert sorted(shown) == sorted(in_models(find_kind(kind).settings, ""))[1:]


def test_the_models_are_those_that_the_stages_load() -> None:
    found = fields.whole(TREE).model_fields
    for name, field in AllParams.model_fields.items():
        assert found[name].annotation == field.annotation
        assert [str(own) for own in found[name].metadata] == [str(own) for own in field.metadata]


def test_everything_says_what_it_means(page: Page) -> None:
    entries = {f"`separators.{name}`" for name in TREE["separators"]}  # words are optional there
    empty = {
        (heading, cells[0])
        for heading, rows in page.items()
        for cells in rows
        if cells[0] not in entries and not cells[3]
    }
    assert empty == set()


def test_every_comment_of_the_file_is_there(page: Page) -> None:
    text = parameters.sections().replace("\\|", "|").lower()
    before, after = TEXT.split("\nseparators:")
    _, rest = after.split("\nrsvm:")
    found = re.findall(r"^ *[a-z_]+:.* # ?(.+)$", f"{before}\nrsvm:{rest}", re.MULTILINE)
    assert len(found) > 90
    assert [said for said in found if said.lower() not in text] == []
    # Settings of entries, and a comment that stands above what it is of.
    assert row(page, "attention.heads")[3] == "heads; they share `width`"
    assert row(page, "systems")[3] == row(page, "ablations")[3]
    assert row(page, "systems")[3].startswith("What is attacked and compared: names under ")


def test_bars_of_comments_are_no_cells(page: Page) -> None:
    assert row(page, "attack.norm")[3] == r"linf (eps) \| l2 (snr) \| l0 (samples, amplitude)"
    for heading, rows in page.items():
        assert {len(cells) for cells in rows} == {4 if heading.startswith("Kind ") else 5}


def test_what_no_comment_tells_is_in_the_docstrings(page: Page) -> None:
    assert row(page, "network.n_fft")[3] == "samples of a frame"
    assert row(page, "attack.fgsm")[2:4] == ["`{}`", "FGSM has no settings of its own"]
    # Of a model that another one extends.
    for kind in ("callable", "command", "onnx"):
        rate = next(cells for cells in page[f"Kind {kind}"] if cells[0] == "`sample_rate`")
        assert rate[2:] == ["required", "of the recordings that it takes, in Hz"]


def bounds(said: str) -> Iterator[tuple[float, bool, int]]:
    """The bounds that words name: where, whether inside, and which way leads out."""
    if both := re.search(r"(\S+) to ([^\s,]+)", said):
        yield from ((float(both[1]), True, -1), (float(both[2]), True, 1))
    for word, inside, out in (
        ("at least", True, -1),
        ("above", False, -1),
        ("below", False, 1),
        ("at most", True, 1),
    ):
        if found := re.search(rf"{word} ([^\s,]+)", said):
            yield float(found[1]), inside, out


def refuses(own: fields.Parameter, value: float, many: bool) -> bool:
    """Whether the model says of a number that it is out of range."""
    number = int(value) if float(value).is_integer() else value
    try:
        own.model.model_validate({**own.siblings, own.name: [number] if many else number})
    except ValidationError as error:
        about = {own.name, own.key}
        return any(
            set(map(str, problem["loc"])) & about
            and problem["type"].startswith(("greater_than", "less_than"))
            for problem in error.errors()
        )
    return False


def test_the_ranges_are_those_that_the_models_check() -> None:
    models = [(fields.whole(TREE), TREE)] + [(find_kind(name).settings, {}) for name in kinds()]
    tried = 0
    for model, tree in models:
        for own in fields.walk(model, tree):
            if own.key == "separators":
                continue
            said = range_of(own.model, own.name, own.siblings)
            many, _, items = said.rpartition(": ")
            if not items.startswith(("integer", "number")):
                continue
            named = list(bounds(items))
            step = 1 if items.startswith("integer") else 1e-3
            for bound, inside, out in named:
                assert refuses(own, bound, bool(many)) is not inside, (own.key, said)
                assert refuses(own, bound + out * max(step, step * abs(bound)), bool(many))
                assert not refuses(own, bound - out * step, bool(many)), (own.key, said)
                tried += 1
            for way in {-1, 1} - {out for _, _, out in named}:
                assert not refuses(own, way * 10**9, bool(many)), (own.key, said)
    assert tried > 150


def test_another_range_is_another_page(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(SegmentParams):
        seconds: float = Field(default=1.0, ge=0.5, lt=7)
        loud_db: Literal[-10, "none"] = "none"
        fade: int | None = Field(default=4, ge=2, multiple_of=2)

    monkeypatch.setitem(fields.SECTIONS, "segments", Other)
    changed = tables(parameters.sections())
    assert row(page, "segments.seconds")[1] == "number, 0.01 to 60"
    assert row(changed, "segments.seconds")[1] == "number, at least 0.5, below 7"
    assert row(changed, "segments.loud_db")[1:3] == ["`-10`, `none`", "`-10.0`"]
    fade = row(changed, "segments.fade")
    assert fade[1:4] == ["integer, at least 2, a multiple of 2, or `null`", "`4`", ""]
    assert row(changed, "segments.train_overlap") == row(page, "segments.train_overlap")
    assert changed["demo"] == page["demo"]


def test_names_that_a_registry_allows_are_named(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def codes(names: Any) -> str:
        return ", ".join(f"`{name}`" for name in names)

    able = [name for name, method in METHODS.items() if "gradient" not in method.needs]
    for key, names in (
        ("attack.method", METHODS),
        ("attack.loss", OBJECTIVES),
        ("attack.pgd.step_rule", STEP_RULES),
    ):
        assert row(page, key)[1] == codes(names)
    for key, names in (
        ("attack.without_gradient", able),
        ("audit.rules", STEP_RULES),
        ("audit.excerpts.losses", OBJECTIVES),
    ):
        assert row(page, key)[1] == f"list of 1 or more: {codes(names)}"
    monkeypatch.setitem(METHODS, "tone", METHODS["pgd"])
    assert row(tables(parameters.sections()), "attack.method")[1].endswith("`sparse`, `tone`")


@pytest.mark.parametrize(
    ("key", "stages"),
    [
        ("attack.eps", "generate-pgd-adversarials evaluate compare audit listen report"),
        ("attack.seed", "generate-pgd-adversarials find-break-points evaluate compare audit listen "
         "report"),
        ("rsvm.training.epochs", "train-baseline train-improved train-ablation take-own report"),
        ("evaluate.bsseval", "evaluate compare listen report"),
        ("data.root", "prepare-musdb18 report"),
    ],
)  # fmt: skip
def test_the_stages_are_right(page: Page, key: str, stages: str) -> None:
    assert row(page, key)[-1] == ", ".join(f"`{name}`" for name in stages.split())


def test_stages_of_a_matrix_run_for_what_is_added(page: Page) -> None:
    assert row(page, "workers.count")[-1] == "none"
    assert row(page, "train.seeds")[-1] == (
        "`compare`, `audit`, `protect`, `listen`, `report`; for what is added: `train-baseline`, "
        "`train-improved`, `train-ablation`, `take-own`, `generate-pgd-adversarials`, "
        "`find-break-points`, `evaluate`"
    )
    assert row(page, "ablations")[-1] == "`report`; for what is added: `train-ablation`"
    assert row(page, "separators.improved")[-1] == (
        "`train-improved`, `train-ablation` (where `ablations` names it), "
        "`take-own` (where `own` names it), `evaluate` (where `evaluate.oracle` names it), `report`"
    )


def test_dvc_finds_the_same_stages(page: Page, tmp_path: Path) -> None:
    # Of a matrix with no item DVC has no stage.
    tree = {**TREE, "ablations": ["robust"], "own": ["stft"]}
    tree["protect"] = {**TREE["protect"], "against": ["baseline"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    listed: dict[str, set[str]] = {}
    for stage in Repo.init(str(tmp_path), no_scm=True).index.stages:
        for dependency in stage.deps:
            if isinstance(dependency, ParamsDependency):
                listed.setdefault(stage.name.split("@")[0], set()).update(dependency.params)
    assert len(listed) > 10
    named = {f"`{name}`": tree[name] for name in ("ablations", "own")}
    named["`evaluate.oracle`"] = [TREE["evaluate"]["oracle"]]
    for cells in [cells for name in TREE for cells in page[name]]:
        key, said = cells[0].strip("`"), cells[-1].split("for what is added")[0]
        shown = {
            name
            for name, where in re.findall(r"`([a-z0-9-]+)`(?: \(where (\S+) names it\))?", said)
            if not where or key.split(".")[1] in named[where]
        }
        assert shown == {
            stage
            for stage, names in listed.items()
            for name in names
            if f"{key}.".startswith(f"{name}.") or name.startswith(f"{key}.")
        }, key


def test_a_section_that_no_model_checks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    for tree, said in (
        ({"extra": {"a": 1}}, "params.yaml: unknown section extra; remove it, or name its model"),
        ({"stft": {}}, "unknown section stft: entries of that kind share none; remove it"),
        ({"workers": {"count": 0}}, "params.yaml: workers.count = 0 is not allowed"),
        ({"workers": {"cuont": 1}}, "unknown parameter workers.cuont, did you mean `count`"),
        ({"separators": {"own": {"kind": "stft", "hop": 0}}}, "separators.own: hop = 0 is not all"),
    ):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(tree))
        with pytest.raises(InputError, match=re.escape(said)):
            parameters.sections()
    (tmp_path / "dvc.yaml").unlink()
    with pytest.raises(InputError, match=r"dvc.yaml: no such file; run from the project's root"):
        parameters.sections()


def test_a_section_with_nothing_set_has_the_defaults_of_its_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Own(Section):
        """A section."""

        path: str = "a|b"
        number: float | None = None
        inner: SegmentParams | None = None

    monkeypatch.setitem(fields.SECTIONS, "own", Own)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text("own: {}\n")
    monkeypatch.chdir(tmp_path)
    found = tables(parameters.sections())["own"]
    assert [cells[:4] for cells in found[:3]] == [
        ["`own.path`", "text", "<code>a&#124;b</code>", ""],
        ["`own.number`", "number, or `null`", "`null`", ""],
        ["`own.inner`", "section, or `null`", "`null`", "How tracks are cut"],
    ]
    assert [cells[0] for cells in found[3:]] == [
        f"`own.inner.{name}`" for name in SegmentParams.model_fields
    ]
    assert {cells[4] for cells in found} == {"none"}
