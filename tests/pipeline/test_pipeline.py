"""The real pipeline through real DVC, in a temporary copy, at a small size."""

from __future__ import annotations

import json
import os
import re
import shlex
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

from stemproof.separators.rsvm.published import sha256_of_pair

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "demo": {"train_songs": 2, "valid_songs": 1, "test_songs": 2, "seconds": 3.0},
    "rsvm": {
        "sizes": {"channels": 32, "kernel": 512},
        "training": {"epochs": 3, "batch_size": 2, "learning_rate": 1e-3},
    },
    "attack": {"eps": 0.003, "pgd": {"steps": 3}},
    "evaluate": {"noise_draws": 1},
    "statistics": {"bootstrap": 200},
    "audit": {"segments": 2, "steps": [1], "queries": 5, "noise_draws": 1},
    "runtime": {"threads": 1},
}


AFTER_TRAINING = [
    "generate-pgd-adversarials@baseline-218",
    "generate-pgd-adversarials@improved-218",
    "evaluate@baseline-218",
    "evaluate@improved-218",
    "compare",
    "audit",
    "listen",
    "report",
]


class LikeDVC(yaml.SafeDumper):
    """Writes null as DVC does when it sets a parameter: as nothing."""


LikeDVC.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "")
)


def dumped(tree: dict[str, Any]) -> str:
    """The text of params.yaml; what DVC changes and changes back is this text again."""
    return yaml.dump(tree, Dumper=LikeDVC, sort_keys=False)


class Clone:
    """A copy of the project under git, in which commands run."""

    def __init__(self, folder: Path, changes: dict[str, Any]) -> None:
        self.folder = folder
        # Reports name the commit, whose hash depends on its date.
        date = "1767225600 +0000"  # as git and DVC understand it
        self.environment: dict[str, str] = {
            "DVC_NO_ANALYTICS": "1",
            "COLUMNS": "120",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
        }
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
        (folder / "params.yaml").write_text(dumped(merged(default_tree(), changes)))
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

    def system(self, name: str) -> dict[str, Any]:
        return self.metrics(f"systems/{name}")

    def change(self, **changes: Any) -> None:
        """Change params.yaml as an editor would."""
        path = self.folder / "params.yaml"
        tree = merged(yaml.safe_load(path.read_text()), changes)
        path.write_text(dumped(tree))

    def stages_run(self, output: str) -> list[str]:
        return [
            line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")
        ]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which `dvc repro` has run once."""
    clone = Clone(tmp_path_factory.mktemp("clone"), SMALL)
    ran = clone.stages_run(clone.dvc("repro"))
    expected = [
        "render-demo",
        "prepare-musdb18",
        "train-baseline@218",
        "train-improved@218",
        "find-break-points@baseline-218",
        "find-break-points@improved-218",
        *AFTER_TRAINING,
        "board",
    ]
    assert sorted(ran) == sorted(expected)
    clone.commit("results")
    return clone


def test_repro_leaves_a_clean_pipeline_and_a_true_report(clone: Clone) -> None:
    assert "up to date" in clone.dvc("status")
    assert clone.git("status", "--short") == ""
    figures = clone.system("baseline")
    assert {"si_sdr", "bs", "at_bs", "rb", "rb_low", "rb_high"} <= set(figures)
    page = (clone.folder / "report/index.html").read_text()
    text = (clone.folder / "report/report.md").read_text()
    for report in (page, text):
        assert "rendered demo songs" in report
        assert f"{figures['bs']:.2f}" in report
        assert "29.88" in report  # the paper's table stands beside ours
    assert page.count('class="plot"') == 8
    assert "data:audio/wav" in page  # of rendered songs
    flags = clone.metrics("audit")["baseline"]["flags"]
    assert flags["budget violated"] == "clear"
    assert all(name in page for name in flags)
    assert "http" not in page.replace("http://www.w3.org", "")


WIDTH = 120  # columns of a terminal
SHOWN = ("rb", "drop", "attacked", "clean", "flags")
RB_OF_ALL = next(
    shlex.split(line, comments=True)[1:]
    for line in (ROOT / "README.md").read_text().splitlines()
    if line.startswith("dvc exp show")
)


def rows(output: str) -> list[list[str]]:
    """Cells of a table that fits a terminal."""
    lines = output.strip("\n").splitlines()
    assert max(map(len, lines)) <= WIDTH
    return [line.split() for line in lines]


def test_metrics_show_has_a_row_a_figure(clone: Clone) -> None:
    header, *shown = rows(clone.dvc("metrics", "show"))
    assert header == ["Path", "baseline", "improved"]
    assert [file for file, *_ in shown] == [f"metrics/{name}.json" for name in SHOWN]
    keys = {"rb": "rb", "drop": "drop", "attacked": "at_bs", "clean": "bs"}
    for place, system in enumerate(("baseline", "improved"), 1):
        figures = clone.system(system)
        for name, row in zip(keys, shown, strict=False):
            assert float(row[place]) == round(figures[keys[name]], 3)
        assert int(shown[-1][place]) == clone.metrics("audit")[system]["flags_raised"]


def test_plots_are_drawn_of_all_systems(clone: Clone) -> None:
    said = clone.dvc("plots", "show")
    assert "fail" not in said.lower() and "error" not in said.lower()
    assert clone.git("status", "--short") == ""  # where DVC writes it by itself, git looks away
    page = (clone.folder / "dvc_plots/index.html").read_text()
    drawn = [json.loads(spec) for spec in re.findall(r"var spec = (\{.*\});", page)]
    named = [
        plot
        for entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
        for plot in entry.values()
    ]
    assert [spec["title"]["text"] for spec in drawn] == [plot["title"] for plot in named]
    for spec, plot in zip(drawn, named, strict=True):
        assert "DVC_METRIC" not in json.dumps(spec)
        assert {row["system"] for row in spec["data"]["values"]} == {"baseline", "improved"}
        x = spec["spec"]["encoding"]["x"]
        assert x["title"] == plot["x_label"]
        assert (x["scale"].get("type") == "log") == ("log scale" in plot["x_label"])
        assert f"datum['{plot['x']}']" in json.dumps(spec["transform"])
    shutil.rmtree(clone.folder / "dvc_plots")


def test_another_eps_recomputes_only_what_it_touches(clone: Clone) -> None:
    before = clone.system("baseline")["rb"]
    output = clone.dvc("exp", "run", "-n", "small-eps", "-S", "attack.eps=1e-5")
    assert sorted(clone.stages_run(output)) == sorted(AFTER_TRAINING)
    # RB first; figures of the clean mixture do not move.
    header, *moved = rows(clone.dvc("metrics", "diff"))
    assert header == ["Path", "Metric", "HEAD", "workspace", "Change"]
    figures = [(file, system) for file, system, *_ in moved if file != "metrics/flags.json"]
    assert sorted(figures) == [
        (f"metrics/{name}.json", system)
        for name in ("attacked", "drop", "rb")
        for system in ("baseline", "improved")
    ]
    assert all(float(row[-1]) != 0 for row in moved)
    assert abs(clone.system("baseline")["rb"]) < abs(before)
    changed = json.loads(clone.dvc("params", "diff", "--json"))
    assert float(changed["params.yaml"]["attack.eps"]["new"]) == 1e-5
    files = [clone.folder / f"metrics/{name}.json" for name in SHOWN]
    of_two = {file: file.read_bytes() for file in files}
    # A third system, as in the demo, takes no parameter out of sight.
    for file, figures_of_two in of_two.items():
        file.write_text(json.dumps({**json.loads(figures_of_two), "spleeter": 29.27}))
    table = rows(clone.dvc(*RB_OF_ALL))
    for file, figures_of_two in of_two.items():
        file.write_bytes(figures_of_two)
    keys = ["metrics/rb.json:baseline", "metrics/rb.json:improved", "attack.eps"]
    assert table[1] == ["Experiment", "Created", *keys]
    named = next(row for row in table if "[small-eps]" in row)
    shown = [round(clone.system(name)["rb"], 3) for name in ("baseline", "improved")]
    assert [float(cell) for cell in named[-3:]] == [*shown, 1e-5]
    # Back to the first value: attack and figures come from the run cache.
    back = clone.dvc("exp", "run", "-S", "attack.eps=0.003")
    assert clone.stages_run(back) == ["compare", "audit", "report"]
    assert clone.system("baseline")["rb"] == before
    assert clone.git("status", "--short") == ""


def results(clone: Clone) -> set[str]:
    """Files of results, and those of DVC's cache."""
    rooms = [clone.folder / room for room in ("metrics", "plots", "report", "data", "models")]
    return {str(file) for room in rooms for file in room.rglob("*") if file.is_file()}


def test_an_experiment_with_other_systems_is_applied(clone: Clone) -> None:
    before = results(clone)
    clone.dvc("exp", "run", "-n", "alone", "-S", "systems=[baseline]")
    alone = results(clone)
    assert {file for file in alone if "improved" in file} == {
        file for file in before if "improved" in file and ("/train/" in file or "/models/" in file)
        and "/metrics/models/" not in file
    }  # fmt: skip
    assert rows(clone.dvc("metrics", "show"))[0] == ["Path", "baseline"]
    clone.reset()
    assert results(clone) == before
    clone.dvc("exp", "apply", "alone")
    assert results(clone) == alone
    assert "up to date" in clone.dvc("status")
    clone.reset()


def test_a_stage_that_is_run_again_gives_the_same_bytes(clone: Clone) -> None:
    before = (clone.folder / "dvc.lock").read_text()
    # `--force` runs what did not change; the run cache is not consulted.
    clone.dvc("repro", "--force", "--no-run-cache")
    assert (clone.folder / "dvc.lock").read_text() == before
    assert clone.git("status", "--short") == ""


def test_another_seed_and_system_run_only_what_they_add_and_make_claims(clone: Clone) -> None:
    clone.change(
        train={"seeds": [218, 219]}, ablations=["stft"], systems=["baseline", "improved", "stft"]
    )
    ran = clone.stages_run(clone.dvc("repro"))
    assert sorted(ran) == sorted(
        [
            "train-ablation@stft-218",
            "train-ablation@stft-219",
            "train-baseline@219",
            "train-improved@219",
            *(
                f"{stage}@{model}"
                for stage in ("generate-pgd-adversarials", "find-break-points", "evaluate")
                for model in ("baseline-219", "improved-219", "stft-218", "stft-219")
            ),
            "compare",
            "audit",
            "listen",
            "report",
        ]
    )
    figures = clone.system("improved")
    assert list(figures["seeds"]) == ["218", "219"]
    assert figures["bs"] == pytest.approx(np.mean([s["bs"] for s in figures["seeds"].values()]))
    assert clone.metrics("comparison")["improved"]["rb"]["p_holm"] <= 1
    assert "mean over 2 training seeds" in (clone.folder / "report/report.md").read_text()
    # The oracle of every table is the system of that name, which is one model for all seeds.
    stft = clone.system("stft")
    assert stft["bs"] == pytest.approx(figures["stft_bs"], abs=1e-6)
    assert list(stft["seeds"]) == ["218"]
    said = clone.run("python", "stages/claim.py", "--name", "small")
    names = ("baseline", "improved", "stft")
    assert said.split() == [f"results/small/{name}.json" for name in names]
    clone.dvc("repro", "board")
    assert "(../results/small/improved.json)" in (clone.folder / "report/board.md").read_text()
    claim = json.loads((clone.folder / "results/small/improved.json").read_text())
    assert claim["git_commit"] == clone.git("rev-parse", "HEAD").strip()
    assert claim["attacked"]["rb"]["value"] == figures["rb"]
    clone.change(attack={"eps": 0.004})
    said = clone.run("python", "stages/claim.py", "--name", "small", fails=True)
    assert "is not up to date (attack" in said and "run dvc repro" in said
    # By hand, old figures are not shown under new parameters.
    for stage in ("compare", "audit", "report"):
        said = clone.run("python", f"stages/{stage}.py", fails=True)
        assert "attack.eps = 0.003, but params.yaml says 0.004" in said, said
    clone.change(attack={"eps": 0.003})
    # Figures that were changed, and figures of other code, are no claims either.
    file = clone.folder / "metrics/systems/stft.json"
    whole = file.read_text()
    file.write_text(whole.replace('"rb":', '"rb": 0, "was":'))
    said = clone.run("python", "stages/claim.py", "--name", "small", fails=True)
    assert "is not up to date (metrics/systems" in said
    file.write_text(whole)
    clone.run("python", "stages/claim.py", "--name", "small")
    with (clone.folder / "stemproof/figures/medians.py").open("a") as code:
        code.write("# changed\n")
    clone.git("commit", "--quiet", "--message", "other code", "stemproof/figures/medians.py")
    said = clone.run("python", "stages/claim.py", "--name", "small", fails=True)
    # Stages depend on the module or on its room; which of them DVC names first varies.
    assert "is not up to date (stemproof/figures" in said
    clone.git("reset", "--quiet", "--hard", "HEAD~1")
    shutil.rmtree(clone.folder / "results/small")
    clone.reset()


def test_a_system_and_a_seed_that_are_taken_away_leave_no_trace(
    clone: Clone, tmp_path: Path
) -> None:
    before = (clone.folder / "dvc.lock").read_text()
    clone.change(
        train={"seeds": [218, 219]}, ablations=["stft"], systems=["baseline", "improved", "stft"]
    )
    clone.dvc("repro")  # from the run cache, or anew
    clone.git("checkout", "--quiet", "params.yaml")
    clone.dvc("repro")
    lock = yaml.safe_load((clone.folder / "dvc.lock").read_text())["stages"]
    for stage, own in yaml.safe_load(before)["stages"].items():
        assert lock[stage] == own, stage
    assert clone.git("status", "--short", "--", "metrics", "plots", "report") == ""
    clone.git("checkout", "--quiet", "dvc.lock")
    assert "up to date" in clone.dvc("status")
    fetched = fetch(clone, tmp_path)
    assert fetched.stages_run(fetched.dvc("repro")) == ["render-demo"]
    assert "up to date" in fetched.dvc("status")
    clone.reset()


def test_code_that_is_added_makes_nothing_run_that_does_not_use_it(clone: Clone) -> None:
    package = clone.folder / "stemproof"

    def out_of_date() -> set[str]:
        found = json.loads(clone.dvc("status", "--json"))
        return {stage.partition("@")[0] for stage in found}

    # An attack with parameters of its own, and a column of the figures: no training.
    fgsm = (package / "attacks/fgsm.py").read_text()
    (package / "attacks/toy.py").write_text(fgsm.replace('name="fgsm"', 'name="toy"'))
    registry = package / "attacks/registry.py"
    registry.write_text(
        registry.read_text()
        .replace("import fgsm,", "import fgsm, toy,")
        .replace("(pgd, fgsm,", "(pgd, toy, fgsm,")
    )
    table = package / "figures/table.py"
    added = 'Figure("twice", "BS twice", "dB", "BS twice", lambda p: 2 * p.sdr(p.clean))'
    text = table.read_text()
    place = text.index("FIGURES: tuple[Figure, ...] = (\n") + len(
        "FIGURES: tuple[Figure, ...] = (\n"
    )
    table.write_text(f"{text[:place]}    {added},\n{text[place:]}")
    clone.change(attack={"toy": {}})
    stale = out_of_date()
    assert not {"render-demo", "prepare-musdb18", "train-baseline", "train-improved"} & stale
    assert {"generate-pgd-adversarials", "evaluate", "compare", "audit"} <= stale
    clone.dvc("exp", "run", "-S", "attack.method=toy")
    assert clone.system("baseline")["twice"] == pytest.approx(2 * clone.system("baseline")["bs"])
    assert "FGSM, one full step" in (clone.folder / "report/index.html").read_text()
    clone.reset()
    (package / "attacks/toy.py").unlink()
    # A word of the report: the report, and the board, which is of the same room.
    page = package / "report/templates/report.md"
    page.write_text(page.read_text().replace("## Flags", "## What to mind"))
    assert out_of_date() == {"report", "board"}
    clone.reset()
    # A kind of separator: only what may be of that kind, the further systems.
    (package / "separators/toy.py").write_text((package / "separators/stft.py").read_text())
    assert out_of_date() <= {"train-ablation"}
    (package / "separators/toy.py").unlink()
    # A file among the published checkpoints: nothing.
    (clone.folder / "published/analysis_x.pytorch").write_bytes(b"")
    assert out_of_date() == set()
    (clone.folder / "published/analysis_x.pytorch").unlink()


def test_a_stage_that_was_started_by_hand_is_committed(clone: Clone) -> None:
    """As docs/scale.md says of torchrun and SLURM."""
    clone.change(rsvm={"training": {"epochs": 2}})
    clone.run("python", "stages/train.py", "--system", "improved", "--seed", "218")
    assert "up to date" not in clone.dvc("status", "train-improved@218")
    clone.dvc("commit", "--force", "train-improved@218")
    assert "up to date" in clone.dvc("status", "train-improved@218")
    clone.reset()


def test_an_ablation_goes_through_everything(clone: Clone) -> None:
    lists = ("-S", "ablations=[dropout-only]", "-S", "systems=[baseline,improved,dropout-only]")
    ran = clone.stages_run(clone.dvc("exp", "run", *lists))
    expected = [
        "train-ablation@dropout-only-218",
        "generate-pgd-adversarials@dropout-only-218",
        "find-break-points@dropout-only-218",
        "evaluate@dropout-only-218",
        "compare",
        "audit",
        "listen",
        "report",
    ]
    assert sorted(ran) == sorted(expected)
    assert "rb" in clone.system("dropout-only")
    assert "dropout-only" in (clone.folder / "report/report.md").read_text()
    clone.reset()


def test_a_published_checkpoint_is_a_system_like_any_other(clone: Clone) -> None:
    """Our trained baseline, stored as its authors store theirs, gets the baseline's figures."""
    weights = load_file(clone.folder / "models/baseline/218.safetensors")
    files = []
    for kind, part in (("analysis", "encoder."), ("synthesis", "decoder.")):
        state = {k.removeprefix(part): v for k, v in weights.items() if k.startswith(part)}
        files.append(clone.folder / f"published/{kind}_ours.pytorch")
        torch.save(state, files[-1])
    entry = {"kind": "rsvm", "published": {"identity": "ours", "sha256": 64 * "0"}}
    tree = yaml.safe_load((clone.folder / "params.yaml").read_text())
    clone.change(
        separators={**tree["separators"], "theirs": entry},
        ablations=["theirs"],
        systems=["baseline", "improved", "theirs"],
    )
    # The hash of the files is a parameter: it is asked for, and said.
    said = clone.dvc("repro", fails=True)
    entry["published"]["sha256"] = sha256_of_pair(*files)
    assert f"have {entry['published']['sha256']}; write that" in said
    clone.change(separators={**tree["separators"], "theirs": entry})
    clone.dvc("repro")
    ours, theirs = clone.system("baseline"), clone.system("theirs")
    for figure in ("si_sdr", "bs", "at_bs", "rb", "drop"):
        assert theirs[figure] == ours[figure]
    assert "| theirs |" in (clone.folder / "report/report.md").read_text()
    for file in files:
        file.unlink()
    clone.reset()


def fetch(clone: Clone, folder: Path) -> Clone:
    """A clone of the clone, with what `dvc pull` brings."""
    clone.dvc("remote", "add", "--local", "--default", "--force", "store", str(folder / "store"))
    clone.dvc("push")
    other = folder / "other"
    clone.git("clone", "--quiet", str(clone.folder), str(other))
    shutil.copy(clone.folder / ".dvc/config.local", other / ".dvc/config.local")
    fetched = Clone.__new__(Clone)
    fetched.folder, fetched.environment = other, clone.environment
    assert not (other / "models/baseline/218.safetensors").exists()
    fetched.dvc("pull")
    return fetched


def test_push_and_pull_through_a_local_remote(clone: Clone, tmp_path: Path) -> None:
    fetched = fetch(clone, tmp_path)
    model = fetched.folder / "models/baseline/218.safetensors"
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
        (["train.seeds=[010]"], "--seed = '010' is not allowed"),
        (["train.seeds=[4611686018427387904]"], "--seed = 4611686018427387904 is not allowed"),
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
    said = clone.run("python", "stages/train.py", "--system=nothing", "--seed=1", fails=True)
    assert said.strip().splitlines()[-1].startswith("error: unknown separator `nothing`")
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
    clone = Clone(
        tmp_path / "clone", merged(merged(SMALL, data), {"rsvm": {"sizes": {"channels": 100}}})
    )
    clone.dvc("repro")
    described = clone.metrics("data")
    assert [described[split]["tracks"] for split in ("train", "valid", "test")] == [3, 2, 2]
    assert 5 < described["test"]["stems_sum_snr_db_min"] < 10  # PR - Oh No
    for name in ("baseline", "improved"):
        figures = clone.system(name)
        assert figures["n_tracks"] >= 1
        assert figures["drop"] > 10 * abs(figures["noise_drop"])
        assert 0.9 < figures["budget_used"] <= 1
        assert figures["bsseval"]["clean"]["sdr"] > figures["bsseval"]["attacked"]["sdr"]
    assert "MUSDB18 (.stem.mp4)" in (clone.folder / "report/report.md").read_text()
    assert "rendered demo songs" not in (clone.folder / "report/report.md").read_text()
    # A song that is damaged afterwards is noticed, named, and nothing computed is lost.
    before = clone.system("baseline")
    broken = tmp_path / "songs/test/PR - Oh No.stem.mp4"
    whole = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(whole[: len(whole) // 2])
    said = clone.dvc("repro", fails=True)
    assert "PR - Oh No.stem.mp4: truncated; " in said
    assert clone.system("baseline") == before
