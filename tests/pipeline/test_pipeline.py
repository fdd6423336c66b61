"""The real pipeline through real DVC, in a temporary copy, at a small size."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT, default_tree, merged
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "demo": {"train_songs": 2, "valid_songs": 1, "test_songs": 2, "seconds": 3.0},
    "model": {"channels": 32, "kernel": 512},
    "train": {"epochs": 3, "batch_size": 2, "learning_rate": 1e-3},
    "attack": {"steps": 3, "eps": 0.003},
    "evaluate": {"bootstrap": 200, "noise_draws": 1},
    "audit": {"segments": 2, "steps": [1], "queries": 5, "noise_draws": 1},
    "runtime": {"threads": 1, "workers": 2},
}


class Clone:
    """A copy of the project under git, in which commands run."""

    def __init__(self, folder: Path, changes: dict[str, Any]) -> None:
        self.folder = folder
        self.environment: dict[str, str] = {"DVC_NO_ANALYTICS": "1"}
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        for name in listed:
            generated = name.startswith(("metrics/", "plots/", "report/")) or name == "dvc.lock"
            if (ROOT / name).is_file() and not generated:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        (folder / "params.yaml").write_text(
            yaml.safe_dump(merged(default_tree(), changes), sort_keys=False)
        )
        self.git("init", "--quiet")
        self.commit("start")

    def run(self, *command: str, fails: bool = False) -> str:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "PATH": path, **self.environment},
            capture_output=True,
            text=True,
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output[-5000:]
        return output

    def git(self, *arguments: str) -> str:
        return self.run("git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        return self.run("dvc", *arguments, fails=fails)

    def reset(self) -> None:
        """Back to the committed parameters and results."""
        self.git("checkout", "--quiet", ".")
        self.git("clean", "--force", "--quiet", "metrics", "plots", "report")
        self.dvc("checkout")

    def metrics(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / "metrics" / f"{name}.json").read_text())

    def stages_run(self, output: str) -> list[str]:
        return [
            line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")
        ]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which `dvc repro` has run once."""
    clone = Clone(tmp_path_factory.mktemp("clone"), SMALL)
    ran = clone.stages_run(clone.dvc("repro"))
    assert ran == [
        "render-demo",
        "prepare-musdb18",
        "train-baseline@218",
        "train-improved@218",
        "generate-pgd-adversarials",
        "evaluate",
        "audit",
        "report",
    ]
    clone.commit("results")
    return clone


def test_repro_leaves_a_clean_pipeline_and_a_true_report(clone: Clone) -> None:
    assert "up to date" in clone.dvc("status")
    assert clone.git("status", "--short") == ""
    figures = clone.metrics("baseline")
    assert {"si_sdr", "bs", "at_bs", "rb", "rb_low", "rb_high"} <= set(figures)
    page = (clone.folder / "report/index.html").read_text()
    text = (clone.folder / "report/report.md").read_text()
    for report in (page, text):
        assert "rendered demo songs" in report
        assert f"{figures['bs']:.2f}" in report
        assert "29.88" in report  # the paper's table stands beside ours
    assert page.count("<svg") == 6
    flags = clone.metrics("audit")["baseline"]["flags"]
    assert flags["budget violated"] == "clear"
    assert all(name in page for name in flags)
    assert "http" not in page.replace("http://www.w3.org", "")


def test_metrics_show_and_plots_work(clone: Clone) -> None:
    shown = json.loads(clone.dvc("metrics", "show", "--json"))[""]["data"]
    assert "rb" in shown["metrics/baseline.json"]["data"]
    assert "gate" in shown["metrics/improved.json"]["data"]["training"]["218"]
    clone.dvc("plots", "show", "--out", "plots-page")
    page = (clone.folder / "plots-page/index.html").read_text()
    assert "valid_bs" in page
    shutil.rmtree(clone.folder / "plots-page")


def test_another_eps_recomputes_only_what_it_touches(clone: Clone) -> None:
    before = clone.metrics("baseline")["rb"]
    output = clone.dvc("exp", "run", "-S", "attack.eps=1e-5")
    touched = ["generate-pgd-adversarials", "evaluate", "audit", "report"]
    assert clone.stages_run(output) == touched
    difference = json.loads(clone.dvc("metrics", "diff", "--json"))
    for name in ("baseline", "improved"):
        assert difference[f"metrics/{name}.json"]["rb"]["diff"] != 0
    assert abs(clone.metrics("baseline")["rb"]) < abs(before)
    changed = json.loads(clone.dvc("params", "diff", "--json"))
    assert float(changed["params.yaml"]["attack.eps"]["new"]) == 1e-5
    # Back to the first value: the attack comes from the run cache.
    back = clone.dvc("exp", "run", "-S", "attack.eps=0.003")
    assert "generate-pgd-adversarials" not in clone.stages_run(back)
    assert clone.metrics("baseline")["rb"] == before
    assert clone.git("status", "--short") == ""
    assert "attack.eps" in clone.dvc("exp", "show", "--csv")


def test_a_stage_that_is_run_again_gives_the_same_bytes(clone: Clone) -> None:
    before = (clone.folder / "dvc.lock").read_text()
    shutil.rmtree(clone.folder / "checkpoints")  # else what is known is not computed again
    # `--force` runs what did not change; the run cache is not consulted.
    clone.dvc("repro", "--force", "--no-run-cache")
    assert (clone.folder / "dvc.lock").read_text() == before
    assert clone.git("status", "--short") == ""


def test_another_seed_trains_only_what_it_adds_and_makes_claims(clone: Clone) -> None:
    tree = yaml.safe_load((clone.folder / "params.yaml").read_text())
    tree["train"]["seeds"] = [218, 219]
    tree["ablations"] = ["stft"]
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    output = clone.dvc("repro")
    ran = clone.stages_run(output)
    assert sorted(ran[:4]) == [
        "train-ablation@stft-218",
        "train-ablation@stft-219",
        "train-baseline@219",
        "train-improved@219",
    ]
    assert ran[4:] == ["generate-pgd-adversarials", "evaluate", "audit", "report"]
    for model in ("baseline-218", "improved-218"):  # only the new models are attacked
        assert f"attack {model}: stored already" in output
        assert f"evaluate {model}: known already" in output
    figures = clone.metrics("improved")
    assert list(figures["seeds"]) == ["218", "219"]
    assert figures["bs"] == pytest.approx(np.mean([s["bs"] for s in figures["seeds"].values()]))
    assert clone.metrics("comparison")["improved"]["rb"]["p_holm"] <= 1
    assert "mean over 2 training seeds" in (clone.folder / "report/report.md").read_text()
    # The oracle of every table is the variant of that name.
    assert clone.metrics("ablation/stft")["bs"] == pytest.approx(figures["stft_bs"], abs=1e-6)
    said = clone.run("python", "stages/claim.py", "--name", "small")
    names = ("baseline", "improved", "stft")
    assert said.split() == [f"results/small/{name}.json" for name in names]
    claim = json.loads((clone.folder / "results/small/improved.json").read_text())
    assert claim["git_commit"] == clone.git("rev-parse", "HEAD").strip()
    assert claim["attacked"]["rb"]["value"] == figures["rb"]
    tree["attack"]["eps"] = 0.004
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    said = clone.run("python", "stages/claim.py", "--name", "small", fails=True)
    assert "generate-pgd-adversarials is not up to date (attack); run dvc repro" in said
    tree["attack"]["eps"] = 0.003
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    # Figures that were changed, and figures of other code, are no claims either.
    stft = clone.folder / "metrics/ablation/stft.json"
    whole = stft.read_text()
    stft.write_text(whole.replace('"rb":', '"rb": 0, "was":'))
    said = clone.run("python", "stages/claim.py", "--name", "small", fails=True)
    assert "evaluate is not up to date (metrics/ablation); run dvc repro" in said
    stft.write_text(whole)
    clone.run("python", "stages/claim.py", "--name", "small")
    with (clone.folder / "stemproof/figures/medians.py").open("a") as code:
        code.write("# changed\n")
    clone.git("commit", "--quiet", "--message", "other code", "stemproof/figures/medians.py")
    said = clone.run("python", "stages/claim.py", "--name", "small", fails=True)
    assert "is not up to date (stemproof/figures/medians.py); run dvc repro" in said
    clone.git("reset", "--quiet", "--hard", "HEAD~1")
    shutil.rmtree(clone.folder / "results/small")
    clone.reset()


def test_a_stage_that_was_started_by_hand_is_committed(clone: Clone) -> None:
    """As docs/scale.md says of torchrun and SLURM."""
    tree = yaml.safe_load((clone.folder / "params.yaml").read_text())
    tree["train"]["epochs"] = 2
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    clone.run("python", "stages/train.py", "--variant", "improved", "--seed", "218")
    assert "up to date" not in clone.dvc("status", "train-improved@218")
    clone.dvc("commit", "--force", "train-improved@218")
    assert "up to date" in clone.dvc("status", "train-improved@218")
    clone.reset()


def test_an_ablation_goes_through_everything(clone: Clone) -> None:
    ran = clone.stages_run(clone.dvc("exp", "run", "-S", "ablations=[dropout-only]"))
    assert ran == [
        "train-ablation@dropout-only-218",
        "generate-pgd-adversarials",
        "evaluate",
        "audit",
        "report",
    ]
    assert "rb" in clone.metrics("ablation/dropout-only")
    assert "dropout-only" in (clone.folder / "report/report.md").read_text()
    clone.reset()


def test_a_published_checkpoint_is_a_variant_like_any_other(clone: Clone) -> None:
    """Our trained baseline, stored as its authors store theirs, gets the baseline's figures."""
    weights = load_file(clone.folder / "models/baseline/218.safetensors")
    for kind, part in (("analysis", "encoder."), ("synthesis", "decoder.")):
        state = {k.removeprefix(part): v for k, v in weights.items() if k.startswith(part)}
        torch.save(state, clone.folder / f"published/{kind}_ours.pytorch")
    tree = yaml.safe_load((clone.folder / "params.yaml").read_text())
    tree["variants"]["theirs"] = {"published": "ours"}
    tree["ablations"] = ["theirs"]
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    clone.dvc("repro")
    ours, theirs = clone.metrics("baseline"), clone.metrics("ablation/theirs")
    for figure in ("si_sdr", "bs", "at_bs", "rb", "drop"):
        assert theirs[figure] == ours[figure]
    assert "| theirs |" in (clone.folder / "report/report.md").read_text()
    for file in (clone.folder / "published").glob("*.pytorch"):
        file.unlink()
    clone.reset()


def test_push_and_pull_through_a_local_remote(clone: Clone, tmp_path: Path) -> None:
    clone.dvc("remote", "add", "--local", "--default", "--force", "store", str(tmp_path / "store"))
    clone.dvc("push")
    other = tmp_path / "other"
    clone.git("clone", "--quiet", str(clone.folder), str(other))
    shutil.copy(clone.folder / ".dvc/config.local", other / ".dvc/config.local")
    model = other / "models/baseline/218.safetensors"
    assert not model.exists()
    fetched = Clone.__new__(Clone)
    fetched.folder, fetched.environment = other, clone.environment
    fetched.dvc("pull")
    assert model.read_bytes() == (clone.folder / "models/baseline/218.safetensors").read_bytes()
    # The demo songs are not kept but rendered, and then nothing else is out of date.
    assert fetched.stages_run(fetched.dvc("repro")) == ["render-demo"]
    assert "up to date" in fetched.dvc("status")
    assert fetched.git("status", "--short") == ""


def test_queued_experiments(clone: Clone) -> None:
    clone.dvc("exp", "run", "--queue", "-S", "attack.eps=0.001,0.002")
    # One (pretended) GPU for two workers: the stages of both experiments take turns.
    clone.environment["STEMPROOF_GPUS"] = "GPU-pretended"
    clone.dvc("queue", "start", "--jobs", "2")
    del clone.environment["STEMPROOF_GPUS"]
    said = clone.dvc("queue", "logs", "--follow", _first_task(clone))
    assert "GPU GPU-pretended of GPU-pretended" in said
    for _ in range(120):
        status = clone.dvc("queue", "status")
        if status.count("Success") == 2 or "Failed" in status:
            break
        subprocess.run(["sleep", "1"], check=True)
    assert status.count("Success") == 2, status
    table = clone.dvc("exp", "show", "--csv")
    assert all(eps in table for eps in ("0.001", "0.002"))


def _first_task(clone: Clone) -> str:
    rows = clone.dvc("queue", "status").splitlines()
    return rows[1].split()[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["attack.eps=-1"], "attack.eps = -1 is not allowed"),
        (["+attack.epz=1"], "unknown parameter attack.epz, did you mean `eps`?"),
        (["data.root=nowhere"], "nowhere"),
    ],
)
def test_bad_parameters_stop_the_run_in_one_line(
    clone: Clone, arguments: list[str], said: str
) -> None:
    before = (clone.folder / "models/baseline/218.safetensors").read_bytes()
    sets = [part for argument in arguments for part in ("-S", argument)]
    output = clone.dvc("exp", "run", *sets, fails=True)
    assert said in output
    assert "Traceback" not in output
    clone.reset()
    assert (clone.folder / "models/baseline/218.safetensors").read_bytes() == before
    assert "up to date" in clone.dvc("status")


def test_stages_run_by_hand_and_refuse_in_one_line(clone: Clone) -> None:
    clone.run("python", "stages/report.py")
    said = clone.run("python", "stages/train.py", "--variant=nothing", "--seed=1", fails=True)
    assert said.strip().splitlines()[-1].startswith("error: unknown variant `nothing`")
    assert "Traceback" not in said


def test_real_previews_from_decoding_to_figures(previews: Path, tmp_path: Path) -> None:
    """Seven real songs through every stage, by changing two parameters (and the size)."""
    chosen = {
        "train": [
            "Actions - Devil's Words",
            "Music Delta - Britpop",
            "Fergessen - The Wind",
            "Skelpolu - Human Mistakes",  # in the official validation split, like the next
            "Actions - One Minute Smile",
        ],
        "test": ["Al James - Schoolboy Facination", "PR - Oh No"],
    }
    for subset, names in chosen.items():
        (tmp_path / "songs" / subset).mkdir(parents=True)
        for name in names:
            file = f"{name}.stem.mp4"
            (tmp_path / "songs" / subset / file).symlink_to(previews / subset / file)
    data = {"data": {"source": "musdb18", "root": str(tmp_path / "songs")}}
    clone = Clone(tmp_path / "clone", merged(merged(SMALL, data), {"model": {"channels": 100}}))
    clone.dvc("repro")
    described = clone.metrics("data")
    assert [described[split]["tracks"] for split in ("train", "valid", "test")] == [3, 2, 2]
    assert 5 < described["test"]["stems_sum_snr_db_min"] < 10  # PR - Oh No
    for name in ("baseline", "improved"):
        figures = clone.metrics(name)
        assert figures["n_tracks"] >= 1
        assert figures["drop"] > 10 * abs(figures["noise_drop"])
        assert 0.9 < figures["budget_used"] <= 1
        assert figures["bsseval"]["clean"]["sdr"] > figures["bsseval"]["attacked"]["sdr"]
    assert "MUSDB18 (.stem.mp4)" in (clone.folder / "report/report.md").read_text()
    assert "rendered demo songs" not in (clone.folder / "report/report.md").read_text()
    # A song that is damaged afterwards is noticed, named, and nothing computed is lost.
    before = clone.metrics("baseline")
    broken = tmp_path / "songs/test/PR - Oh No.stem.mp4"
    whole = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(whole[: len(whole) // 2])
    said = clone.dvc("repro", fails=True)
    assert "PR - Oh No.stem.mp4: truncated; " in said
    assert clone.metrics("baseline") == before
