"""Training, attack and evaluation on small data: results, resuming, repeating, refusing."""

from __future__ import annotations

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
from conftest import ROOT

from stemproof.attacks import generate as generating
from stemproof.attacks.generate import Victim, budget_used, checked_adversarials, generate
from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.universal import UniversalPerturbation
from stemproof.core.errors import InputError
from stemproof.core.files import write_json, written_aside
from stemproof.core.runtime import make_fabric
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import compare, evaluate, remember, remembered, summarize
from stemproof.params import Params, load_params
from stemproof.separators.checkpoint import save_model
from stemproof.separators.protocol import InformedRSVM, informed
from stemproof.separators.rsvm import train as training
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.train import describe
from stemproof.separators.systems import load_separator

MakeParams = Callable[..., Params]
CPU = torch.device("cpu")


@pytest.fixture
def prepared(songs: Path, tmp_path: Path, make_params: MakeParams) -> PreparedData:
    prepare(make_params(data={"root": str(songs)}), tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


def run_training(params: Params, data: PreparedData, checkpoint: Path, name: str) -> Any:
    seed = params.train.seeds[0]
    return training.train(params, name, seed, data, make_fabric(params.runtime), checkpoint)


def figures_of(
    params: Params,
    separator: Any,
    data: PreparedData,
    folder: Path,
    name: str = "x",
) -> dict[str, Any]:
    """What `metrics/<variant>.json` says of one model under what is stored in a folder."""
    found = checked_adversarials(folder / "adversarial", params, data, "sha")
    model = evaluate(params, name, separator, data, found, CPU)
    return summarize({1: model}, params.evaluate)


@pytest.mark.parametrize("name", ["baseline", "improved"])
def test_training_learns_and_repeats(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams, name: str
) -> None:
    params = make_params(train={"epochs": 6})
    first = run_training(params, prepared, tmp_path / "a.ckpt", name)
    second = run_training(params, prepared, tmp_path / "b.ckpt", name)
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
    params = make_params(train={"epochs": 4})
    whole = run_training(params, prepared, tmp_path / "whole.ckpt", "improved")
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
        run_training(params, prepared, tmp_path / "killed.ckpt", "improved")
    assert epochs == 3
    monkeypatch.setattr(training, "training_batches", batches)
    resumed = run_training(params, prepared, tmp_path / "killed.ckpt", "improved")
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
    named = load_params(ROOT / "params.yaml").variants
    small = {key: value.model_dump(mode="json") for key, value in named.items()}
    params = make_params(variants=small, attack={"eot_samples": 2})
    trained = run_training(params, prepared, tmp_path / "a.ckpt", name)
    assert trained.curves[1]["snr"] > trained.curves[0]["snr"]
    separator = informed(trained.model)
    attack(params, separator, prepared, tmp_path)
    first, second = (figures_of(params, separator, prepared, tmp_path) for _ in range(2))
    assert first == second  # also for the variant that is random at test time
    assert first["budget_used"] <= 1


@pytest.mark.parametrize("damage", ["other parameters", "truncated"])
def test_a_checkpoint_that_does_not_fit_is_not_used(
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    capsys: pytest.CaptureFixture[str],
    damage: str,
) -> None:
    checkpoint = tmp_path / "a.ckpt"
    run_training(make_params(train={"seeds": [1]}), prepared, checkpoint, "baseline")
    if damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    params = make_params(train={"seeds": [2 if damage == "other parameters" else 1]})
    trained = run_training(params, prepared, checkpoint, "baseline")
    assert "starting over" in capsys.readouterr().out
    assert len(trained.curves) == 2


def test_cuda_that_is_not_there_is_an_error(make_params: MakeParams) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    params = make_params(runtime={"accelerator": "cuda"})
    with pytest.raises(InputError, match="PyTorch sees no CUDA device"):
        make_fabric(params.runtime)


def test_too_few_segments(prepared: PreparedData, tmp_path: Path, make_params: MakeParams) -> None:
    params = make_params(train={"batch_size": 500})
    with pytest.raises(InputError, match="train.batch_size = 500, but there are only 28"):
        run_training(params, prepared, tmp_path / "a.ckpt", "baseline")


def test_a_loss_that_is_not_a_number(
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finite = training.neg_snr
    monkeypatch.setattr(training, "neg_snr", lambda *signals: finite(*signals) * math.nan)
    with pytest.raises(InputError, match="the loss is not a number in epoch 1"):
        run_training(make_params(), prepared, tmp_path / "a.ckpt", "baseline")
    assert not (tmp_path / "a.ckpt").exists()


@pytest.fixture
def trained(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> tuple[Params, InformedRSVM]:
    params = make_params(train={"epochs": 8})
    model = run_training(params, prepared, tmp_path / "a.ckpt", "baseline").model
    return params, InformedRSVM(model.freeze())


def attack(
    params: Params, separator: InformedRSVM, data: PreparedData, folder: Path, name: str = "x"
) -> Any:
    victim = Victim(name, separator, "sha")
    return generate(params, victim, data, CPU, folder / "adversarial", folder / "scratch")


def test_attack_then_evaluation(
    trained: tuple[Params, InformedRSVM], prepared: PreparedData, tmp_path: Path
) -> None:
    params, separator = trained
    curve = attack(params, separator, prepared, tmp_path)
    assert [point["step"] for point in curve] == list(range(5))
    found = checked_adversarials(tmp_path / "adversarial", params, prepared, "sha")
    result = evaluate(params, "x", separator, prepared, found, CPU)
    figures = summarize({1: result}, params.evaluate)
    assert figures["rb"] == pytest.approx(figures["bs"] - figures["at_bs"], abs=1e-12)
    assert figures["rb"] > 10 * abs(figures["noise_drop"])
    assert figures["rb_low"] <= figures["rb"] <= figures["rb_high"]
    assert figures["drop"] > 0
    assert figures["n_tracks"] == 2
    assert figures["n_segments"] + figures["n_skipped"] == 8
    assert 0.9 < figures["budget_used"] <= 1
    # The attack's own curve ends where the evaluation of what was stored begins.
    assert -curve[-1]["loss"] == pytest.approx(figures["at_bs"], abs=1e-4)
    write_json(tmp_path / "metrics.json", figures)  # no NaN
    assert figures["rb_net"] == pytest.approx(figures["rb"], abs=0.1 * figures["rb"])
    assert figures["stft_bs"] > figures["mixture_si_sdr"]
    same = compare({"a": {1: result}, "b": {1: result, 2: result}}, params.evaluate)
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
            variants={"baseline": {}, "improved": {"attention": {"heads": 2, "width": 8}}},
            train={"epochs": 1},
            runtime={"compile": compiled},
        )
        trained = run_training(params, prepared, folder / "a.ckpt", "improved")
        save_model(folder / "model.safetensors", trained.model, params, "improved", 218)
        separator = load_separator(folder / "model.safetensors", params, "improved", 218, CPU)
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
            variants={"baseline": {}, "improved": variant},
            train={"epochs": 2},
            runtime={"precision": precision},
        )
        resume = tmp_path / f"{precision}.ckpt"
        rows.append(run_training(params, prepared, resume, "improved").curves[-1])
    for key in ("loss", "snr", "valid_bs", "valid_si_sdr"):
        assert rows[1][key] == pytest.approx(rows[0][key], rel=0.02, abs=0.05), key
        assert rows[1][key] != rows[0][key], key


def test_the_stft_goes_through_everything_untrained(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params(
        variants={"baseline": {}, "improved": {}, "stft": {"stft": True}},
        ablations=["stft"],
        train={"seeds": [3, 4]},
    )
    assert params.models == [
        *((n, s) for n in ("baseline", "improved") for s in (3, 4)),
        ("stft", 3),
    ]
    fabric = make_fabric(params.runtime)
    obtained = training.obtain(params, "stft", 3, prepared, fabric, tmp_path / "a.ckpt", tmp_path)
    assert describe(obtained)["parameters"] == 0
    assert obtained.curves[0]["valid_si_sdr"] > 60  # there and back
    path = tmp_path / "stft.safetensors"
    save_model(path, obtained.model, params, "stft", 3)
    with pytest.raises(InputError, match="its seed is 3, but params.yaml says 4"):
        load_separator(path, params, "stft", 4, CPU)
    separator = load_separator(path, params, "stft", 3, CPU)
    attack(params, separator, prepared, tmp_path)
    figures = figures_of(params, separator, prepared, tmp_path)
    # The variant is the oracle that stands beside every system.
    assert figures["bs"] == figures["stft_bs"]
    assert figures["drop"] > 0


def test_adversarial_training_costs_the_attack_more(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    """Against the control with the same loss and no attack, on the segments it was trained on."""
    eps = 0.05
    drops = {}
    for name, budget in (("robust", eps), ("control", 0.0)):
        params = make_params(
            train={"epochs": 12},
            attack={"eps": eps, "steps": 10},
            variants={
                "baseline": {"adversarial": {"eps": budget, "steps": 3, "step_size": 0.5}},
                "improved": {},
            },
        )
        model = run_training(params, prepared, tmp_path / f"{name}.ckpt", "baseline").model
        separator = informed(model)
        attack(params, separator, prepared, tmp_path / name)
        drops[name] = figures_of(params, separator, prepared, tmp_path / name)["drop"]
    assert drops["robust"] < drops["control"]


@pytest.mark.parametrize(
    ("method", "norm"),
    [
        ("fgsm", "linf"),
        ("search", "l2"),
        ("universal", "linf"),
        ("minimal", "l2"),
        ("sparse", "l0"),
    ],
)
def test_every_method_is_stored_and_evaluated_in_one_format(
    trained: tuple[Params, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    method: str,
    norm: str,
) -> None:
    settings = {"method": method, "norm": norm, "queries": 30, "drop": 1.0, "amplitude": 0.3}
    params = make_params(attack={**settings, "eps": 0.03, "snr": 20.0, "samples": 50})
    curve = attack(params, trained[1], prepared, tmp_path)
    figures = figures_of(params, trained[1], prepared, tmp_path)
    assert figures["drop"] > 0
    assert figures["drop"] > abs(figures["noise_drop"])
    assert figures["budget_used"] <= 1
    assert curve[-1]["loss"] > curve[0]["loss"]
    if method == "minimal":
        assert figures["drop"] == pytest.approx(1.0, abs=0.02)
    write_json(tmp_path / "metrics.json", figures)  # no NaN, no infinity


def test_a_universal_perturbation_is_learned_once(
    trained: tuple[Params, InformedRSVM],
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
    played = np.load(tmp_path / "whole/adversarial" / generating.UNIVERSAL)
    assert played.shape == (1, params.segment_samples)
    assert np.abs(played).max() == pytest.approx(0.03)
    # What a killed run leaves is enough, also without a batch.
    with monkeypatch.context() as patch:
        patch.setattr(generating, "_attack_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed")
    monkeypatch.setattr(UniversalPerturbation, "learn", None)
    assert run(tmp_path / "killed") == first


def killed(*arguments: Any) -> None:
    raise KeyboardInterrupt


def test_what_is_stored_is_not_attacked_again(
    trained: tuple[Params, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params, separator = trained
    first = attack(params, separator, prepared, tmp_path)
    # No unfinished work is left, and what is kept takes no room.
    assert [folder.name for folder in (tmp_path / "scratch").iterdir()] == ["x"]
    stored = sorted((tmp_path / "adversarial").iterdir())
    assert all(file.samefile(tmp_path / "scratch/x" / file.name) for file in stored)
    whole = {file.name: file.read_bytes() for file in stored}
    monkeypatch.setattr(generating, "_attack_batch", killed)
    shutil.rmtree(tmp_path / "adversarial")  # as DVC does before a stage runs again
    assert attack(params, separator, prepared, tmp_path) == first
    again = {file.name: file.read_bytes() for file in (tmp_path / "adversarial").iterdir()}
    assert again == whole
    for name, content in whole.items():  # unless it is damaged,
        file = tmp_path / "scratch/x" / name
        file.write_bytes(content[:-1])
        with pytest.raises(KeyboardInterrupt):
            attack(params, separator, prepared, tmp_path)
        file.write_bytes(content)
    assert attack(params, separator, prepared, tmp_path) == first
    with pytest.raises(KeyboardInterrupt):  # or of other parameters,
        attack(make_params(attack={"eps": 0.02}), separator, prepared, tmp_path)
    monkeypatch.setattr(generating, "code_fingerprint", lambda: "other code")
    with pytest.raises(KeyboardInterrupt):  # or of other code.
        attack(params, separator, prepared, tmp_path)


class Broken(InformedRSVM):
    """Gives NaN where the mixture is loud, as a system without a guard does."""

    def separate(self, mixture: torch.Tensor, context: Any) -> torch.Tensor:
        loud = mixture.abs().amax(-1, keepdim=True) > 0.3
        return torch.where(loud, torch.nan, 1.0) * super().separate(mixture, context)


def test_nan_is_not_robustness(
    trained: tuple[Params, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
) -> None:
    params, separator = trained
    with pytest.raises(InputError, match=r"not a number on [1-5] of [1-5] segments"):
        attack(params, Broken(separator.model), prepared, tmp_path)


def test_a_random_system_is_compared_under_the_same_draws(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    variants = {"baseline": {}, "improved": {"dropout": 0.3, "dropout_at_test": True}}
    params = make_params(variants=variants, attack={"eps": 1e-6})
    model = build_model(params, params.variant("improved"), 1).freeze()
    separator = informed(model)
    x = torch.from_numpy(prepared.tracks("test")[0].read(0, 0, 1000))[None]
    context = separator.context(x, x)
    assert not torch.equal(separator.separate(x, context), separator.separate(x, context))
    attack(params, separator, prepared, tmp_path)
    figures = figures_of(params, separator, prepared, tmp_path)
    # A perturbation of nearly nothing changes nearly nothing.
    assert abs(figures["drop"]) < 0.01
    assert abs(figures["noise_worst_drop"]) < 0.01
    assert figures["output_gain"] < 100


def test_an_evaluation_is_remembered_exactly(
    trained: tuple[Params, InformedRSVM], prepared: PreparedData, tmp_path: Path
) -> None:
    params, separator = trained
    attack(params, separator, prepared, tmp_path)
    found = checked_adversarials(tmp_path / "adversarial", params, prepared, "sha")
    model = evaluate(params, "x", separator, prepared, found, CPU)
    note = tmp_path / "note.json"
    assert remembered(note, "run") is None
    remember(note, "run", model)
    assert remembered(note, "other run") is None
    again = remembered(note, "run")
    assert again is not None
    pd.testing.assert_frame_equal(again.tracks, model.tracks, check_exact=True)
    of_both = [summarize({1: found}, params.evaluate) for found in (model, again)]
    assert of_both[0] == of_both[1]
    note.write_text(note.read_text()[:-20])
    assert remembered(note, "run") is None


def test_a_minimal_perturbation_that_is_not_found_is_counted(
    trained: tuple[Params, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = []
    for steps in (1, 30):
        monkeypatch.setattr(MinimalPerturbation.__init__, "__defaults__", ("l2", steps, 8, 0.02))
        params = make_params(attack={"method": "minimal", "norm": "l2", "drop": 6.0})
        attack(params, trained[1], prepared, tmp_path / str(steps))
        figures = figures_of(params, trained[1], prepared, tmp_path / str(steps))
        counts.append((figures["n_not_reached"], figures["drop"]))
    assert counts[0][0] > 0 and counts[0][1] > 1
    assert counts[1] == (0, pytest.approx(6.0, abs=0.02))


def test_a_recomputed_mask_is_attacked_and_evaluated(
    trained: tuple[Params, InformedRSVM],
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
    trained: tuple[Params, InformedRSVM],
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
    trained: tuple[Params, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params, separator = trained
    attack(params, separator, prepared, tmp_path / "whole")
    done = generating._attack_batch
    calls = 0

    def killed(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        done(*arguments)

    monkeypatch.setattr(generating, "_attack_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        attack(params, separator, prepared, tmp_path / "killed")
    attack(params, separator, prepared, tmp_path / "killed")
    assert calls == 3  # the first batch was not attacked again
    for file in sorted((tmp_path / "whole/adversarial").iterdir()):
        assert file.read_bytes() == (tmp_path / "killed/adversarial" / file.name).read_bytes()


def test_adversarials_that_do_not_fit_are_refused(
    trained: tuple[Params, InformedRSVM],
    prepared: PreparedData,
    tmp_path: Path,
    make_params: MakeParams,
) -> None:
    params, separator = trained
    attack(params, separator, prepared, tmp_path)
    folder = tmp_path / "adversarial"
    with pytest.raises(InputError, match="made with another attack"):
        checked_adversarials(folder, make_params(attack={"eps": 0.02}), prepared, "sha")
    with pytest.raises(InputError, match="made with another source_sha256"):
        checked_adversarials(folder, params, prepared, "other")
    file = sorted(folder.glob("*.npy"))[0]
    audio = np.load(file)
    audio[0, 0] += 1e-4
    np.save(file, audio)
    with pytest.raises(InputError, match="damaged"):
        checked_adversarials(folder, params, prepared, "sha")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match="damaged"):
        checked_adversarials(folder, params, prepared, "sha")
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="run the stage that writes it first"):
        checked_adversarials(folder, params, prepared, "sha")


def test_a_violated_budget_is_seen(prepared: PreparedData, make_params: MakeParams) -> None:
    params = make_params(attack={"eps": 0.01})
    track = prepared.tracks("test")[0]
    mixture, _ = track.segments(params.segment_samples)
    stored = mixture.numpy().copy()
    assert budget_used(track, stored, params) == 0
    stored[1, 3] += 0.0101
    assert budget_used(track, stored, params) == pytest.approx(1.01, rel=1e-3)


def test_transfer_uses_the_mask_and_gradients_of_the_source(
    trained: tuple[Params, InformedRSVM], prepared: PreparedData, tmp_path: Path
) -> None:
    params, separator = trained
    other = informed(build_model(params, params.variant("improved"), 5))
    attack(params, separator, prepared, tmp_path / "own")
    attack(params, other, prepared, tmp_path / "transfer")
    drops = [
        figures_of(params, separator, prepared, tmp_path / kind)["drop"]
        for kind in ("own", "transfer")
    ]
    assert drops[0] > drops[1]


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
