"""What DVC shows: the figures of the metrics, and plots that it draws for any systems."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT, SMALL, AllParams, default_tree, merged
from scored_cases import Told, evaluated, mute_systems
from test_mixed import NAMES, mixed, reported

from stemproof.core.files import write_json, write_text
from stemproof.core.params import load_params
from stemproof.report.build import Sources
from stemproof.report.shown import curves, figures

MakeParams = Callable[..., AllParams]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
PLOTS = {name: plot for entry in PIPELINE["plots"] for name, plot in entry.items()}
TEMPLATES = ROOT / ".dvc/plots"


def sources(folder: Path, names: Any) -> Sources:
    metrics = folder / "metrics"
    found = {name: metrics / f"{name}.json" for name in ("data", "comparison", "audit")}
    systems = {name: metrics / f"{name}.json" for name in names}
    return Sources(
        systems=systems,
        environment=metrics / "environment.json",
        plots=folder / "plots",
        **found,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run: an informed system of two seeds and a blind one."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(default_tree(), SMALL)))
    params = load_params(AllParams, folder / "params.yaml")
    reported(folder, params, mixed(folder), NAMES)
    return folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Sources:
    """A copy of it, to be changed."""
    for part in ("metrics", "plots"):
        shutil.copytree(whole / part, tmp_path / part)
    return sources(tmp_path, NAMES)


def test_figures_are_those_of_the_systems(run: Sources) -> None:
    audit = json.loads(run.audit.read_text())
    audit["toy"] |= {"flags_raised": 2, "reasons": [[n, "RAISED", "so"] for n in ("a", "b")]}
    audit["rsvm"] |= {"reasons": [[name, "clear", "so"] for name in ("a", "b")]}
    write_json(run.audit, audit)
    shown = figures(run)
    assert list(shown) == ["rb", "drop", "attacked", "clean", "flags"]
    assert all(list(of) == ["rsvm", "toy"] for of in shown.values())
    for system, file in run.systems.items():
        metrics = json.loads(file.read_text())
        for name, key in (("rb", "rb"), ("drop", "drop"), ("attacked", "at_bs"), ("clean", "bs")):
            found = shown[name][system]
            assert found == round(metrics[key], 3), (system, name)
    assert shown["flags"] == {"rsvm": 0, "toy": 2}
    # Rounded one by one, they agree to the last digit but one.
    for system in run.systems:
        clean, attacked, rb = (shown[name][system] for name in ("clean", "attacked", "rb"))
        assert rb == pytest.approx(clean - attacked, abs=0.0016)


def test_a_figure_that_rounds_to_nothing_has_no_sign(run: Sources) -> None:
    file = run.systems["toy"]
    write_json(file, json.loads(file.read_text()) | {"drop": -0.0004})
    assert str(figures(run)["drop"]["toy"]) == "0.0"


def test_what_collapsed_has_no_figure(tmp_path: Path, make_params: MakeParams) -> None:
    silent = mute_systems(tmp_path)
    systems = {
        name: {1: evaluated(tmp_path, of)}
        for name, of in (("sound", Told()), ("always", silent["always"]))
    }
    reported(tmp_path, make_params(), systems, dict.fromkeys(systems, True))
    shown = figures(sources(tmp_path, systems))
    for name in ("rb", "drop", "attacked", "clean"):
        assert shown[name]["always"] is None
        assert shown[name]["sound"] is not None
        write_json(tmp_path / "shown.json", shown[name])
        assert "NaN" not in (tmp_path / "shown.json").read_text()


def tables(run: Sources, folder: Path) -> dict[str, pd.DataFrame]:
    found = {}
    for name, text in curves(run).items():
        write_text(folder / f"{name}.csv", text)
        found[name] = pd.read_csv(folder / f"{name}.csv", keep_default_na=False, dtype=str)
    return found


def test_curves_hold_every_system_with_its_threat_model(run: Sources, tmp_path: Path) -> None:
    found = tables(run, tmp_path)
    for table in found.values():
        rows = {tuple(row) for row in table[["system", "threat"]].to_numpy()}
        assert rows == {("rsvm", "informed"), ("toy", "blind")}
    training = found["training"].set_index("system")
    assert training.loc["rsvm", ["epoch", "valid_si_sdr", "valid_bs"]].tolist() == ["1", "9", "5"]
    # It does not reconstruct, and has no loss here; the columns are there.
    assert training.loc["toy", ["epoch", "loss", "valid_si_sdr"]].tolist() == ["1", "", ""]
    tracks = pd.read_csv(run.plots / "tracks/rsvm.csv")
    own = found["tracks"][found["tracks"]["system"] == "rsvm"]
    assert own["track"].tolist() == tracks["track"].tolist()
    assert own["at_bs"].astype(float).tolist() == pytest.approx(tracks["at_bs"].tolist())
    assert found["budget"]["factor"].tolist() == found["steps"]["steps"].tolist() == ["1", "1"]


def test_a_system_without_a_curve_has_an_empty_row(run: Sources, tmp_path: Path) -> None:
    """Nobody was trained, and no gradient was of use: DVC finds its columns none the less."""
    for name in run.systems:
        write_text(run.plots / "curves" / f"{name}.csv", "epoch\n0\n")
    write_text(run.plots / "audit/steps.csv", "steps,rsvm,toy\n")
    write_text(run.plots / "audit/eps.csv", "factor,rsvm,toy\n1,5,\n3,4,\n")
    found = tables(run, tmp_path)
    assert found["training"].to_numpy().tolist() == [
        ["rsvm", "informed", "", "", "", ""],
        ["toy", "blind", "", "", "", ""],
    ]
    assert found["steps"].to_numpy().tolist() == [
        ["rsvm", "informed", "", ""],
        ["toy", "blind", "", ""],
    ]
    assert found["budget"].to_numpy().tolist() == [
        ["rsvm", "informed", "1", "5"],
        ["rsvm", "informed", "3", "4"],
        ["toy", "blind", "", ""],
    ]


def test_dvc_yaml_shows_what_is_written(run: Sources) -> None:
    outs = {next(iter(out)) for out in PIPELINE["stages"]["report"]["outs"]}
    metrics = [f"metrics/{name}.json" for name in figures(run)]
    assert PIPELINE["metrics"] == metrics
    plots = {f"plots/all/{name}.csv": text for name, text in curves(run).items()}
    assert outs == {*metrics, *plots, "report/index.html", "report/report.md"}
    drawn = set()
    for plot in PLOTS.values():
        ((file, column),) = plot["y"].items()
        drawn.add(file)
        assert {plot["x"], column, "system", "threat"} <= set(plots[file].split("\n")[0].split(","))
        assert (TEMPLATES / f"{plot['template']}.json").is_file()
        assert {"title", "x_label", "y_label"} <= set(plot)
    assert drawn == set(plots)


@pytest.mark.parametrize("name", sorted(file.stem for file in TEMPLATES.glob("*.json")))
def test_templates_tell_systems_revisions_and_threat_models_apart(name: str) -> None:
    template = json.loads((TEMPLATES / f"{name}.json").read_text())
    assert any(plot["template"] == name for plot in PLOTS.values())
    assert template["data"] == {"values": "<DVC_METRIC_DATA>"}
    assert template["facet"]["row"]["field"] == "threat"
    encoding = template["spec"]["encoding"]
    assert encoding["color"]["field"] == "system"
    assert "rev" in {of["field"] for key, of in encoding.items() if key != "tooltip"}
    assert (encoding["x"]["scale"].get("type") == "log") == name.endswith("_log")
