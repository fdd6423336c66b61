"""Messages tell, in one line, what is at fault and what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, AllParams

from stemproof.attacks.store import Victim, generate
from stemproof.attacks.stored import Adversarials, open_adversarials
from stemproof.core.errors import InputError
from stemproof.core.runtime import make_fabric
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.report.provenance import check_run, code_commit
from stemproof.separators.kind import Making
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.model import RSVM, build_model
from stemproof.separators.rsvm.separator import InformedRSVM, as_separator
from stemproof.separators.rsvm.train import train

MakeParams = Callable[..., AllParams]
CPU = torch.device("cpu")
FILES = sorted([*ROOT.glob("stemproof/**/*.py"), *ROOT.glob("stages/*.py")])


def test_no_message_is_a_question() -> None:
    asked = []
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and "InputError" in ast.unparse(node):
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                asked += [text for text in texts if isinstance(text, str) and "?" in text]
    assert not asked


@pytest.fixture
def prepared(songs: Path, tmp_path: Path, make_params: MakeParams) -> PreparedData:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


def amplify(data: PreparedData, split: str) -> str:
    """Make the first track of a split louder than any recording is; its name."""
    track = data.tracks(split)[0]
    np.save(data.folder / track.file, np.array(track.audio) * np.float32(1e30))
    return track.name


def model_of(params: AllParams) -> RSVM:
    _, settings = entry(params.separators, "baseline")
    return build_model(
        params.rsvm.sizes, settings, params.data.sample_rate, params.segment_samples, 0
    )


@pytest.mark.parametrize("split", ["train", "valid"])
def test_training_names_the_track_that_is_too_loud(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams, split: str
) -> None:
    name = amplify(prepared, split)
    params = make_params()
    _, settings = entry(params.separators, "baseline")
    making = Making(
        name="baseline",
        settings=settings,
        seed=1,
        data=prepared,
        segments=params.segments,
        shared=params.rsvm,
        fabric=make_fabric(params.runtime, params.processes),
        resume=tmp_path / "a.ckpt",
    )
    said = rf"not? .*number.* in epoch 1; the samples of {name} reach \d(\.\d+)?e\+\d\d, and full"
    with pytest.raises(InputError, match=said) as error:
        train(making, settings)
    assert "correct the recording and run prepare-musdb18 again" in str(error.value)
    assert "learning_rate" not in str(error.value)


def attacked(
    params: AllParams, data: PreparedData, folder: Path, separator: InformedRSVM
) -> Adversarials:
    file = folder / "model"
    file.write_text("stands for the weights")
    victim = Victim("x", separator, file)
    found, scratch = folder / "adversarial", folder / "scratch"
    generate(params.attack, params.segments, victim, data, CPU, found, scratch)
    return open_adversarials(found, params.attack, params.segments, data)


def evaluator(params: AllParams, separator: InformedRSVM) -> Evaluator:
    return Evaluator(
        name="x",
        separator=separator,
        oracle=None,
        params=params.evaluate,
        attack=params.attack,
        cut=params.segments,
        workers=params.workers,
        processes=params.processes,
        device=CPU,
    )


def test_evaluation_blames_the_samples_or_the_model(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params()
    separator = as_separator(model_of(params))
    found = attacked(params, prepared, tmp_path, separator)
    broken = model_of(params)
    with torch.no_grad():
        broken.encoder.conv_a1.weight[0] = torch.nan
    first = prepared.tracks("test")[0].name
    said = f"an output for {first} is not a number; its samples are in order: train the system"
    with pytest.raises(InputError, match=said):
        evaluator(params, as_separator(broken)).evaluate(prepared, found)
    name = amplify(prepared, "test")
    with pytest.raises(
        InputError, match=f"times the budget of .*; the samples of {name} reach"
    ) as error:
        evaluator(params, separator).evaluate(prepared, found)
    assert "train" not in str(error.value)


def test_the_attack_says_how_loud_the_samples_are(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params()
    amplify(prepared, "test")
    with pytest.raises(InputError, match=r"samples reach \d(\.\d+)?e\+\d\d \(full scale is 1\)"):
        attacked(params, prepared, tmp_path, as_separator(model_of(params)))


def test_what_other_programs_say_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="not a git repo.*; install git and work in a") as error:
        code_commit(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="it fails .*; install DVC and run dvc repro") as error:
        check_run(tmp_path, tmp_path / "songs")
    assert "\n" not in str(error.value)
    monkeypatch.setattr("sys.executable", "true")  # says nothing, which is no JSON
    with pytest.raises(InputError, match="it fails"):
        check_run(tmp_path, tmp_path / "songs")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="git fails"):
        code_commit(tmp_path)


def test_embedded_texts_lose_their_lines() -> None:
    assert str(InputError("file: (a\n\n   b\r\n c); do")) == "file: (a b c); do"
    assert re.fullmatch("two  spaces stay ", str(InputError("two  spaces stay ")))
