"""Messages tell, in one line, what is at fault and what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from rsvm.attacks.generate import Victim, checked_adversarials, generate
from rsvm.claims import check_run, code_commit
from rsvm.data.prepare import prepare
from rsvm.data.store import PreparedData
from rsvm.errors import InputError
from rsvm.evaluate import evaluate
from rsvm.model.rsvm import build_model
from rsvm.params import Params
from rsvm.runtime import make_fabric
from rsvm.separator import InformedRSVM, informed
from rsvm.train import train

MakeParams = Callable[..., Params]
CPU = torch.device("cpu")
FILES = sorted([*ROOT.glob("rsvm/**/*.py"), *ROOT.glob("stages/*.py")])


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
    prepare(make_params(data={"root": str(songs)}), tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


def amplify(data: PreparedData, split: str) -> str:
    """Make the first track of a split louder than any recording is; its name."""
    track = data.tracks(split)[0]
    np.save(data.folder / track.file, np.array(track.audio) * np.float32(1e30))
    return track.name


def separator_of(params: Params) -> Any:
    return informed(build_model(params, params.variant("baseline"), 0))


@pytest.mark.parametrize("split", ["train", "valid"])
def test_training_names_the_track_that_is_too_loud(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams, split: str
) -> None:
    name = amplify(prepared, split)
    params = make_params()
    said = rf"not? .*number.* in epoch 1; the samples of {name} reach \d(\.\d+)?e\+\d\d, and full"
    with pytest.raises(InputError, match=said) as error:
        train(params, "baseline", 1, prepared, make_fabric(params.runtime), tmp_path / "a.ckpt")
    assert "correct the recording and run prepare-musdb18 again" in str(error.value)
    assert "learning_rate" not in str(error.value)


def attacked(params: Params, data: PreparedData, folder: Path, separator: Any) -> dict[str, Path]:
    victim = Victim("x", separator, "sha")
    generate(params, victim, data, CPU, folder / "adversarial", folder / "scratch")
    return checked_adversarials(folder / "adversarial", params, data, "sha")


def test_evaluation_blames_the_samples_or_the_model(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params()
    separator = separator_of(params)
    found = attacked(params, prepared, tmp_path, separator)
    broken = build_model(params, params.variant("baseline"), 0).freeze()
    with torch.no_grad():
        broken.encoder.conv_a1.weight[0] = torch.nan
    first = prepared.tracks("test")[0].name
    said = f"an output for {first} is not a number; its samples are in order: train the system"
    with pytest.raises(InputError, match=said):
        evaluate(params, "x", InformedRSVM(broken), prepared, found, CPU)
    name = amplify(prepared, "test")
    with pytest.raises(
        InputError, match=f"output for {name} is .*; the samples of {name} reach"
    ) as e:
        evaluate(params, "x", separator, prepared, found, CPU)
    assert "train" not in str(e.value)


def test_the_attack_says_how_loud_the_samples_are(
    prepared: PreparedData, tmp_path: Path, make_params: MakeParams
) -> None:
    params = make_params()
    amplify(prepared, "test")
    with pytest.raises(InputError, match=r"samples reach \d(\.\d+)?e\+\d\d \(full scale is 1\)"):
        attacked(params, prepared, tmp_path, separator_of(params))


def test_what_other_programs_say_is_one_line(
    make_params: MakeParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="not a git repo.*; install git and work in a") as error:
        code_commit(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="it fails .*; install DVC and run dvc repro") as error:
        check_run(make_params(), tmp_path)
    assert "\n" not in str(error.value)
    monkeypatch.setattr("sys.executable", "true")  # says nothing, which is no JSON
    with pytest.raises(InputError, match="it fails"):
        check_run(make_params(), tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="git fails"):
        code_commit(tmp_path)


def test_embedded_texts_lose_their_lines() -> None:
    assert str(InputError("file: (a\n\n   b\r\n c); do")) == "file: (a b c); do"
    assert re.fullmatch("two  spaces stay ", str(InputError("two  spaces stay ")))
