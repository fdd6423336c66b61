"""Training, attack and evaluation on small data: results, resuming, repeating, refusing."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SMALL, AllParams, default_tree
from small import attack, figures_of, make, new_model, opened, score, store_model

from stemproof.attacks import store as storing
from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.stored import UNIVERSAL, budget_used
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.auditing.material import choose_material
from stemproof.core.errors import InputError
from stemproof.core.files import write_json, written_aside
from stemproof.core.resume import drop, finished
from stemproof.core.runtime import make_fabric
from stemproof.data.excerpts import Excerpts
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.figures.compare import compare
from stemproof.figures.summary import summarize
from stemproof.separators.checkpoint import load
from stemproof.separators.kind import described
from stemproof.separators.protocol import Side
from stemproof.separators.rsvm import objective
from stemproof.separators.rsvm import train as training
from stemproof.separators.rsvm.separator import InformedRSVM, as_separator

MakeParams = Callable[..., AllParams]


@pytest.fixture
def prepared(songs: Path, tmp_path: Path, make_params: MakeParams) -> PreparedData:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, params.workers.count, tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


@pytest.mark.parametrize("name", ["baseline", "improved"])
def test_training_learns_and_repeats(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams, name: str
) -> None:
    params = make_params(rsvm={"training": {"epochs": 6}})
    first = make(params, prepared, tmp_path / "a.ckpt", name)
    second = make(params, prepared, tmp_path / "b.ckpt", name)
    assert first.curves[-1]["snr"] > first.curves[0]["snr"] + 1
    assert first.curves == second.curves
    weights = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    assert ("gate" in first.curves[-1]) == (name == "improved")


def test_a_killed_training_goes_on_to_the_same_result(
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = make_params(rsvm={"training": {"epochs": 4}})
    whole = make(params, prepared, tmp_path / "whole.ckpt", "improved")
    epochs = 0
    batches = training.training_batches

    def killed(*arguments: Any) -> Iterator[Any]:
        nonlocal epochs
        epochs += 1
        for step, batch in enumerate(batches(*arguments)):
            if epochs == 3 and step == 2:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(training, "training_batches", killed)
    with pytest.raises(KeyboardInterrupt):
        make(params, prepared, tmp_path / "killed.ckpt", "improved")
    assert epochs == 3
    monkeypatch.setattr(training, "training_batches", batches)
    curves = tmp_path / "killed.csv"
    shown = pd.read_csv(curves)  # of the epochs that ended
    assert list(shown["valid_bs"]) == pytest.approx([row["valid_bs"] for row in whole.curves[:2]])
    resumed = make(params, prepared, tmp_path / "killed.ckpt", "improved")
    assert list(pd.read_csv(curves)["epoch"]) == [1, 2, 3, 4]
    finished(tmp_path / "killed.ckpt")
    drop(tmp_path, "killed")
    assert not curves.exists() and not (tmp_path / "killed.ckpt").exists()
    assert resumed.curves == whole.curves
    weights = zip(resumed.model.parameters(), whole.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


@pytest.mark.parametrize(
    "name",
    [
        "attention-only",
        "dropout-only",
        "conv-control",
        "elementwise-dropout",
        "mc-dropout",
        "sinkhorn",
        "robust",
    ],
)
def test_every_named_variant_trains_and_is_attacked(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams, name: str
) -> None:
    # The small oracle of the tests in place of the full-sized one.
    entries = {**default_tree()["separators"], "stft": SMALL["separators"]["stft"]}
    params = make_params(separators=entries, attack={"eot_samples": 2})
    trained = make(params, prepared, tmp_path / "a.ckpt", name)
    assert trained.curves[1]["snr"] > trained.curves[0]["snr"]
    separator = as_separator(trained.model)
    attack(params, separator, prepared, tmp_path)
    first, second = (figures_of(params, separator, prepared, tmp_path) for _ in range(2))
    assert first == second  # also for the variant that is random at test time
    assert first["budget_used"] <= 1


def test_a_checkpoint_of_other_parameters_is_not_used(
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = tmp_path / "a.ckpt"
    make(make_params(train={"seeds": [1]}), prepared, checkpoint, "baseline")
    trained = make(make_params(train={"seeds": [2]}), prepared, checkpoint, "baseline")
    assert "checkpoint of other parameters, data or code, starting over" in capsys.readouterr().out
    assert len(trained.curves) == 2


@pytest.mark.slow
def test_a_damaged_checkpoint_is_not_used(
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is wrong with it, the training gives what it gives from the start."""
    checkpoint = tmp_path / "a.ckpt"
    params = make_params()
    first = make(params, prepared, checkpoint, "improved")
    capsys.readouterr()
    whole = checkpoint.read_bytes()
    damaged: dict[str, bytes] = {f"cut to {n}": whole[:n] for n in (0, 1, 30, 1000, len(whole) - 1)}
    for n in (30, 1000, len(whole) // 2):  # as a file system leaves what it had not written
        damaged[f"zeros from {n}"] = whole[:n] + bytes(len(whole) - n)
    weights = whole.index(next(first.model.parameters()).detach().numpy().tobytes())
    damaged["a hole in the weights"] = whole[:weights] + bytes(64) + whole[weights + 64 :]
    damaged["words"] = b"not a checkpoint"
    damaged["a pickle"] = b"\x80\x02" + bytes(range(60))
    for name, other in OTHER_STATES.items():
        state = torch.load(io.BytesIO(whole), weights_only=True)
        stream = io.BytesIO()
        torch.save(other(state), stream)
        damaged[name] = stream.getvalue()
    with io.BytesIO() as stream:
        np.savez(stream, a=np.zeros(3))
        damaged["an archive of another kind"] = stream.getvalue()
    for name, content in damaged.items():
        checkpoint.write_bytes(content)
        again = make(params, prepared, checkpoint, "improved")
        said = capsys.readouterr().out.splitlines()
        assert said == [f"{checkpoint}: damaged checkpoint, starting over"], name
        assert again.curves == first.curves, name
    make(params, prepared, checkpoint, "improved")
    assert "going on after epoch 2" in capsys.readouterr().out


def _with(*path: Any) -> Callable[[Any], Any]:
    """Change one place of a tree."""

    def change(tree: Any) -> Any:
        *keys, last, value = path
        part = tree
        for key in keys:
            part = part[key]
        part[last] = value
        return tree

    return change


OTHER_STATES: dict[str, Callable[[Any], Any]] = {
    "a list": lambda state: [state],
    "a number": lambda state: 3,
    "nothing": lambda state: {},
    "no model": lambda state: {key: value for key, value in state.items() if key != "model"},
    "a weight of another shape": _with("model", "decoder.freq_mat", torch.zeros(1)),
    "a weight too many": _with("model", "more", torch.zeros(1)),
    "other groups": _with("optimizer", "param_groups", []),
    "moments of another shape": _with("optimizer", "state", 0, "exp_avg", torch.zeros(1)),
    "no moments": _with("optimizer", 3),
    "curves that are none": _with("curves", "ab"),
    "curves of words": _with("curves", 0, {"epoch": "1"}),
    "curves with a gap": _with("curves", [{"epoch": 2}]),
    "curves that differ": _with("curves", 1, {"epoch": 2}),
    "other precision": _with("precision", {"scale": 1.0}),
}


def test_cuda_that_is_not_there_is_an_error(make_params: MakeParams) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    params = make_params(runtime={"accelerator": "cuda"})
    with pytest.raises(InputError, match="PyTorch sees no CUDA device"):
        make_fabric(params.runtime, params.processes)


def test_too_few_segments(prepared: PreparedData, tmp_path: Path, make_params: MakeParams) -> None:
    params = make_params(rsvm={"training": {"batch_size": 500}})
    with pytest.raises(InputError, match="rsvm.training.batch_size = 500, but there are only 28"):
        make(params, prepared, tmp_path / "a.ckpt", "baseline")


def test_a_loss_that_is_not_a_number(
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finite = objective.neg_snr
    monkeypatch.setattr(objective, "neg_snr", lambda *signals: finite(*signals) * math.nan)
    with pytest.raises(
        InputError, match="the loss of step 1 is not a number in epoch 1; .*; nothing is kept"
    ):
        make(make_params(), prepared, tmp_path / "a.ckpt", "baseline")
    assert not (tmp_path / "a.ckpt").exists()


@pytest.fixture
def trained(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> tuple[AllParams, InformedRSVM]:
    params = make_params(rsvm={"training": {"epochs": 8}})
    model = make(params, prepared, tmp_path / "a.ckpt", "baseline").model
    return params, InformedRSVM(model.freeze())


def test_attack_then_evaluation(
    trained: tuple[AllParams, InformedRSVM], prepared: PreparedData, tmp_path: Path
) -> None:
    params, separator = trained
    stored = attack(params, separator, prepared, tmp_path)
    curve = pd.read_csv(stored.folder / "curve.csv")
    assert list(curve["step"]) == list(range(5))
    result = score(params, separator, prepared, stored)
    figures = summarize({1: result}, params.statistics)
    assert figures["rb"] == pytest.approx(figures["bs"] - figures["at_bs"], abs=1e-12)
    assert figures["rb"] > 10 * abs(figures["noise_drop"])
    assert figures["rb_low"] <= figures["rb"] <= figures["rb_high"]
    assert figures["drop"] > 0
    assert figures["n_tracks"] == 2
    assert figures["n_segments"] + figures["n_skipped"] == 8
    assert 0.9 < figures["budget_used"] <= 1
    # The attack's own curve ends where the evaluation of what was stored begins.
    assert -curve["loss"].iloc[-1] == pytest.approx(figures["at_bs"], abs=1e-4)
    write_json(tmp_path / "metrics.json", figures)  # no NaN
    assert figures["rb_net"] == pytest.approx(figures["rb"], abs=0.1 * figures["rb"])
    assert figures["stft_bs"] > figures["mixture_si_sdr"]
    same = compare({"a": {1: result}, "b": {1: result, 2: result}}, "a", params.statistics)
    for key in ("bs", "rb", "paired_drop"):
        assert same["b"][key]["difference"] == 0
        assert same["b"][key]["p_holm"] == 1


@pytest.mark.slow
def test_compiled_training_and_attack(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    """torch.compile gives the figures of eager mode, up to rounding."""
    figures = []
    torch._dynamo.utils.counters.clear()
    for number, compiled in enumerate((False, True)):
        assert not torch._dynamo.utils.counters["stats"]
        folder = tmp_path / str(number)
        params = make_params(
            # Without dropout: compiled code draws other random numbers.
            separators={
                **SMALL["separators"],
                "improved": {"kind": "rsvm", "attention": {"heads": 2, "width": 8}},
            },
            rsvm={"training": {"epochs": 1}},
            runtime={"compile": compiled},
        )
        trained = make(params, prepared, folder / "a.ckpt", "improved")
        path = store_model(folder / "model.safetensors", trained, "improved", 218)
        separator = load(path, compiled=compiled, identity=("improved", 218))
        attack(params, separator, prepared, folder)
        figures.append({**trained.curves[-1], **figures_of(params, separator, prepared, folder)})
    for key in ("loss", "valid_bs", "bs", "at_bs", "drop"):
        assert figures[1][key] == pytest.approx(figures[0][key], rel=1e-2, abs=0.02), key
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2


@pytest.mark.parametrize("adversarial", [None, {"eps": 0.01, "weight": 1.0}])
def test_training_in_bfloat16(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams, adversarial: Any
) -> None:
    """Products of the training are rounded to eight bits; figures hardly move, and do move."""
    rows = []
    for precision in ("32-true", "bf16-mixed"):
        variant = {"adversarial": adversarial} if adversarial else {}
        params = make_params(
            separators={**SMALL["separators"], "improved": {"kind": "rsvm", **variant}},
            rsvm={"training": {"epochs": 2}},
            runtime={"precision": precision},
        )
        resume = tmp_path / f"{precision}.ckpt"
        rows.append(make(params, prepared, resume, "improved").curves[-1])
    for key in ("loss", "snr", "valid_bs", "valid_si_sdr"):
        assert rows[1][key] == pytest.approx(rows[0][key], rel=0.02, abs=0.05), key
        assert rows[1][key] != rows[0][key], key


def test_the_stft_goes_through_everything_untrained(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params(train={"seeds": [3, 4]})
    made = make(params, prepared, tmp_path / "a.ckpt", "stft")
    assert not made.trained
    assert described(made)["parameters"] == 0
    assert made.curves[0]["valid_si_sdr"] > 60  # there and back
    path = store_model(tmp_path / "stft.safetensors", made, "stft", 3, kind="stft")
    with pytest.raises(InputError, match="holds stft of seed 3, not stft of seed 4"):
        load(path, identity=("stft", 4))
    separator = load(path, identity=("stft", 3))
    attack(params, separator, prepared, tmp_path)
    figures = figures_of(params, separator, prepared, tmp_path)
    # The system is the oracle that stands beside every system.
    assert figures["bs"] == figures["stft_bs"]
    assert figures["drop"] > 0


@pytest.mark.slow
def test_adversarial_training_costs_the_attack_more(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    """Against the control with the same loss and no attack, on the segments it was trained on."""
    eps = 0.05
    drops = {}
    for name, budget in (("robust", eps), ("control", 0.0)):
        params = make_params(
            rsvm={"training": {"epochs": 12}},
            attack={"eps": eps, "pgd": {"steps": 10}},
            separators={
                **SMALL["separators"],
                "baseline": {
                    "kind": "rsvm",
                    "adversarial": {"eps": budget, "steps": 3, "step_size": 0.5},
                },
            },
        )
        model = make(params, prepared, tmp_path / f"{name}.ckpt", "baseline").model
        separator = as_separator(model)
        attack(params, separator, prepared, tmp_path / name)
        drops[name] = figures_of(params, separator, prepared, tmp_path / name)["drop"]
    assert drops["robust"] < drops["control"]


@pytest.mark.parametrize(
    ("method", "norm"),
    [
        ("fgsm", "linf"),
        ("search", "l2"),
        ("nes", "linf"),
        ("universal", "linf"),
        ("minimal", "l2"),
        ("sparse", "l0"),
    ],
)
def test_every_method_is_stored_and_evaluated_in_one_format(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    method: str,
    norm: str,
) -> None:
    own = {"search": {"queries": 30}, "nes": {"queries": 60}, "minimal": {"drop": 1.0}}
    budget = {"eps": 0.03, "snr": 20.0, "samples": 50, "amplitude": 0.3}
    params = make_params(attack={"method": method, "norm": norm, **own, **budget})
    stored = attack(params, trained[1], prepared, tmp_path)
    losses = pd.read_csv(stored.folder / "curve.csv")["loss"]
    figures = figures_of(params, trained[1], prepared, tmp_path)
    assert figures["drop"] > 0
    assert figures["drop"] > abs(figures["noise_drop"])
    assert figures["budget_used"] <= 1
    assert losses.iloc[-1] > losses.iloc[0]
    if method == "minimal":
        assert figures["drop"] == pytest.approx(1.0, abs=0.02)
    write_json(tmp_path / "metrics.json", figures)  # no NaN, no infinity


def test_a_universal_perturbation_is_learned_once(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = make_params(attack={"method": "universal", "eps": 0.03})

    def run(folder: Path) -> dict[str, bytes]:
        attack(params, trained[1], prepared, folder)
        return {file.name: file.read_bytes() for file in (folder / "adversarial").iterdir()}

    first = run(tmp_path / "whole")
    played = np.load(tmp_path / "whole/adversarial" / UNIVERSAL)
    assert played.shape == (1, params.segment_samples)
    assert np.abs(played).max() == pytest.approx(0.03)
    # What a killed run leaves is enough, also without a batch.
    with monkeypatch.context() as patch:
        patch.setattr(storing, "craft", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed")
    monkeypatch.setattr(UniversalPerturbation, "learned", None)
    assert run(tmp_path / "killed") == first


def killed(*arguments: Any) -> None:
    raise KeyboardInterrupt


class Broken(InformedRSVM):
    """Gives NaN where the mixture is loud, as a system without a guard does."""

    def separate(self, mixture: torch.Tensor, side: Side = None) -> torch.Tensor:
        loud = mixture.abs().amax(-1, keepdim=True) > 0.3
        return torch.where(loud, torch.nan, 1.0) * super().separate(mixture, side)


def test_nan_is_not_robustness(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
) -> None:
    params, separator = trained
    with pytest.raises(InputError, match=r"not a number on [1-5] of [1-5] parts"):
        attack(params, Broken(separator.model), prepared, tmp_path)


def test_a_random_system_is_compared_under_the_same_draws(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    variant = {"kind": "rsvm", "dropout": 0.3, "dropout_at_test": True}
    entries = {**SMALL["separators"], "improved": variant}
    params = make_params(separators=entries, attack={"eps": 1e-6})
    separator = as_separator(new_model(params, "improved", 1))
    x = torch.from_numpy(prepared.tracks("test")[0].read(0, 0, 1000))[None]
    side = separator.side(x, x)
    assert not torch.equal(separator.separate(x, side), separator.separate(x, side))
    attack(params, separator, prepared, tmp_path)
    figures = figures_of(params, separator, prepared, tmp_path)
    # A perturbation of nearly nothing changes nearly nothing.
    assert abs(figures["drop"]) < 0.01
    assert abs(figures["noise_worst_drop"]) < 0.01
    assert figures["output_gain"] < 100


def test_a_minimal_perturbation_that_is_not_found_is_counted(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = []
    for steps in (1, 30):
        monkeypatch.setattr(MinimalPerturbation.__init__, "__defaults__", ("l2", steps, 8, 0.02))
        params = make_params(attack={"method": "minimal", "norm": "l2", "minimal": {"drop": 6.0}})
        attack(params, trained[1], prepared, tmp_path / str(steps))
        figures = figures_of(params, trained[1], prepared, tmp_path / str(steps))
        counts.append((figures["n_not_reached"], figures["drop"]))
    assert counts[0][0] > 0 and counts[0][1] > 1
    assert counts[1] == (0, pytest.approx(6.0, abs=0.02))


def test_a_recomputed_mask_is_attacked_and_evaluated(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
) -> None:
    fixed = trained[1]
    recomputed = InformedRSVM(fixed.model, "recomputed")
    params = make_params(attack={"mask": "recomputed"})
    attack(params, recomputed, prepared, tmp_path / "own")
    attack(params, fixed, prepared, tmp_path / "twin")
    own, twin = (
        figures_of(params, recomputed, prepared, tmp_path / kind) for kind in ("own", "twin")
    )
    assert own["bs"] == twin["bs"]  # clean, both masks are the same
    assert own["drop"] > twin["drop"] > 0


def test_an_l2_attack_is_stored_within_its_budget(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
) -> None:
    params = make_params(attack={"norm": "l2", "snr": 25.0})
    attack(params, trained[1], prepared, tmp_path)
    figures = figures_of(params, trained[1], prepared, tmp_path)
    assert 0.99 < figures["budget_used"] <= 1
    assert figures["perturbation_snr"] == pytest.approx(25, abs=0.1)
    assert figures["drop"] > 5 * abs(figures["noise_drop"])


def test_a_killed_attack_goes_on_to_the_same_bytes(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = make_params(attack={"batch": 3})  # less than a track: each is attacked by itself
    separator = trained[1]
    attack(params, separator, prepared, tmp_path / "whole")
    done = storing.craft
    calls = 0

    def killed(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return done(*arguments)

    monkeypatch.setattr(storing, "craft", killed)
    with pytest.raises(KeyboardInterrupt):
        attack(params, separator, prepared, tmp_path / "killed")
    attack(params, separator, prepared, tmp_path / "killed")
    assert calls == 3  # the first track was not attacked again
    for file in sorted((tmp_path / "whole/adversarial").iterdir()):
        assert file.read_bytes() == (tmp_path / "killed/adversarial" / file.name).read_bytes()
    drop(tmp_path / "killed/scratch", "x")  # as the evaluation does
    assert not list((tmp_path / "killed/scratch").iterdir())  # no unfinished work is left


def test_adversarials_that_do_not_fit_are_refused(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
) -> None:
    params, separator = trained
    attack(params, separator, prepared, tmp_path)
    folder = tmp_path / "adversarial"
    changed = make_params(attack={"eps": 0.02})
    with pytest.raises(InputError, match=r"attack.eps = 0.01, but params.yaml says 0.02"):
        opened(changed, prepared, tmp_path)
    file = sorted(folder.glob("*.npy"))[0]
    audio = np.load(file)
    audio[0, 0] += 1e-4
    np.save(file, audio)
    with pytest.raises(InputError, match="damaged"):
        opened(params, prepared, tmp_path)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged"):
        opened(params, prepared, tmp_path)
    (folder / "system.safetensors").write_bytes(b"another model")
    with pytest.raises(InputError, match="system.safetensors: damaged"):
        opened(params, prepared, tmp_path)
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="run the stage that writes it first, or name another"):
        opened(params, prepared, tmp_path)


def test_a_violated_budget_is_seen(prepared: PreparedData, make_params: MakeParams) -> None:
    params = make_params(attack={"eps": 0.01})
    tracks, length = prepared.tracks("test"), params.segment_samples
    for excerpts in (
        Excerpts.segments(tracks, length),
        Excerpts.recordings(tracks, length),
        Excerpts.recordings(tracks, length, 2 * length),
    ):
        for number in range(2):
            parts = [excerpts.read([part])[0][0] for part in excerpts.of_track(number)]
            stored = torch.cat(parts, dim=-1).numpy()
            assert budget_used(excerpts, number, stored, params.attack) == 0
            # In any channel, also behind the last whole segment.
            for channel, place in ((-1, length + 3), (0, -1)):
                other = stored.copy()
                other[channel, place] += 0.0101
                used = budget_used(excerpts, number, other, params.attack)
                assert used == pytest.approx(1.01, rel=1e-3)


def test_no_nan_reaches_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rb is nan, and only finite numbers are stored"):
        write_json(tmp_path / "m.json", {"rb": math.nan})
    assert not list(tmp_path.iterdir())
    write_json(tmp_path / "m.json", {"rb": np.float64(1.5), "n": np.int64(3)})
    assert json.loads((tmp_path / "m.json").read_text()) == {"rb": 1.5, "n": 3}


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_aside(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_more_samples_than_a_segment_has_are_refused(
    trained: tuple[AllParams, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
) -> None:
    params = make_params(attack={"method": "sparse", "norm": "l0", "samples": 1001})
    with pytest.raises(InputError, match=r"attack.samples = 1001, but what .* at once has 1000"):
        attack(params, trained[1], prepared, tmp_path)
    params = make_params(audit={"sparse_samples": 1001})
    sections = params.attack, params.segments, prepared
    with pytest.raises(InputError, match=r"audit.sparse_samples = 1001, but what .* has 1000"):
        choose_material(params.audit, *sections, "test", trained[1], torch.device("cpu"))
