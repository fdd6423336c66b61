"""The five calls: what they give, one clear error for bad input, and claims of what is known."""

from __future__ import annotations

import doctest
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT
from torch import Tensor, nn

import stemproof
from stemproof import api
from stemproof.attacks.params import AttackSection
from stemproof.core.errors import InputError
from stemproof.figures.params import StatisticsParams
from stemproof.separators.checkpoint import save
from stemproof.separators.protocol import Informed
from stemproof.separators.registry import find_kind
from stemproof.separators.rsvm.model import build_model
from stemproof.separators.rsvm.params import RSVMSettings, Sizes
from stemproof.separators.wrappers import Windowed, with_channels, with_sample_rate

RATE = 1000
LITTLE: dict[str, Any] = {
    "steps": [1],
    "queries": 5,
    "noise_draws": 1,
    "minimal_drops": [1],
    "universal_epochs": 1,
}
CALLS = ("loading", "attacking", "scoring", "auditing", "claiming")
FEW = StatisticsParams(bootstrap=100)


class Smooth(nn.Module):
    """Somebody's own system: filters each channel; random unless it is in evaluation mode."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.filter = nn.Conv1d(channels, channels, 5, padding=2, groups=channels)
        nn.init.constant_(self.filter.weight, 0.2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, mixture: Tensor) -> Tensor:
        return self.dropout(torch.tanh(self.filter(mixture)))


def recordings(count: int = 3, channels: int = 1, samples: int = 400) -> tuple[Tensor, Tensor]:
    time = torch.arange(samples) / RATE
    pitch = torch.arange(20.0, 20 + count * channels).reshape(count, channels, 1)
    vocals = 0.1 * torch.sin(2 * torch.pi * pitch * time)
    draw = torch.Generator().manual_seed(0)
    return vocals + 0.05 * torch.randn(vocals.shape, generator=draw), vocals


def system(channels: int = 1) -> Any:
    torch.manual_seed(0)
    return stemproof.load(Smooth(channels), sample_rate=RATE, channels=channels)


def model_file(folder: Path) -> Path:
    settings = {
        "sizes": {"channels": 6, "kernel": 32, "hop": 8},
        "variant": {},
        "sample_rate": RATE,
        "segment_samples": RATE,
    }
    model = build_model(Sizes(channels=6, kernel=32, hop=8), RSVMSettings(), RATE, RATE, seed=0)
    path = folder / "model.safetensors"
    save(path, find_kind("rsvm"), model, "baseline", 0, settings)
    return path


def test_the_examples_in_the_documentation_run() -> None:
    for call in CALLS:
        found = doctest.testmod(importlib.import_module(f"stemproof.api.{call}"))
        assert found.attempted >= 3, call
        assert found.failed == 0, call


def test_the_page_runs() -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    mixture, vocals = recordings(2, 2)
    names = {"model": Smooth(2), "mixture": mixture.numpy(), "vocals": vocals.numpy()}
    code = code.replace("sample_rate=44100", f"sample_rate={RATE}").replace(
        "found.params)", f"found.params, **{LITTLE})"
    )
    assert len(code.splitlines()) <= 10
    exec(code, names)
    assert json.loads(names["document"].model_dump_json())["data"]["recordings"] == 2


def test_importing_the_package_waits_for_nothing() -> None:
    code = (
        "import sys, stemproof; print(sorted({'torch', 'numpy', 'pandas', 'pydantic'} "
        "& set(sys.modules))); print('audit' in dir(stemproof))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["[]", "True"]


@pytest.mark.slow
@pytest.mark.parametrize("first", ["stemproof.audit", "stemproof.load"])
def test_the_audit_can_be_called_and_its_room_imported(first: str) -> None:
    code = (
        f"import stemproof; assert callable({first}); assert callable(stemproof.audit); "
        "import stemproof.auditing.run; from stemproof.auditing.flags import Flag; "
        "assert callable(stemproof.audit); assert stemproof.auditing.run.audit"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_what_is_not_there_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'defend'"):
        stemproof.defend  # noqa: B018


def test_a_module_is_put_into_evaluation_mode() -> None:
    module = Smooth().train()
    loaded = stemproof.load(module, sample_rate=RATE, channels=1)
    assert not module.training
    mixture, _ = recordings()
    assert torch.equal(loaded.separate(mixture), loaded.separate(mixture))
    assert not isinstance(loaded, Informed)


@pytest.mark.parametrize("mask", ["fixed", "recomputed"])
def test_a_model_file_is_loaded(tmp_path: Path, mask: Any) -> None:
    path = model_file(tmp_path)
    loaded: Any = stemproof.load(str(path), sample_rate=RATE, channels=1, mask=mask)
    assert isinstance(loaded, Informed)
    assert loaded.mask == mask
    mixture, vocals = recordings()
    found = stemproof.attack(loaded, mixture, vocals, eps=0.01, pgd={"steps": 2})
    assert found.params.mask == mask
    with pytest.raises(InputError, match=f"was loaded with mask = {mask}"):
        other = "recomputed" if mask == "fixed" else "fixed"
        stemproof.attack(loaded, mixture, vocals, mask=other)
    wrapped = Windowed(loaded, 0.2, 0.5)
    assert stemproof.attack(wrapped, mixture, vocals, pgd={"steps": 1}).params.mask == mask


def test_a_separator_is_loaded_as_it_is() -> None:
    stereo = with_channels(system(), 2)
    assert stemproof.load(stereo) is stereo
    with pytest.raises(InputError, match="channels is 2, not 1"):
        stemproof.load(stereo, channels=1)


SAID: dict[str, Any] = {"sample_rate": RATE, "channels": 1}


@pytest.mark.parametrize(
    ("model", "said", "message"),
    [
        (lambda x: x[..., :-1], SAID, r"gives \(2, 1, 999\) for a mixture of \(2, 1, 1000\)"),
        (lambda x: x[:, 0], SAID, r"gives \(2, 1000\) for a mixture"),
        (lambda x: {"vocals": x}, SAID, "gives dict, not a tensor"),
        (lambda x: x / 0, SAID, "not a number"),
        (Smooth(2), SAID, "cannot take a mixture of .*RuntimeError"),
        (Smooth(), {}, "give sample_rate .Hz. and channels"),
        (Smooth(), {"channels": 1}, "give sample_rate .Hz. and channels"),
        (Smooth(), {**SAID, "channels": 0}, "channels = 0 must be a whole number above 0"),
        (Smooth(), {**SAID, "sample_rate": 44.1}, "sample_rate = 44.1 must be a whole number"),
        (3, SAID, "a int is no model"),
        ("missing.safetensors", {}, "missing.safetensors: no such model"),
    ],
)
def test_a_model_that_cannot_be_is_refused(model: Any, said: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stemproof.load(model, **said)


def test_a_file_of_another_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sample_rate is 1000, not 44100; leave it out, and wrap"):
        stemproof.load(model_file(tmp_path), sample_rate=44_100)


X, S = recordings()
BAD: list[tuple[Any, Any, dict[str, Any], str]] = [
    (X, None, {}, "a mixture without its true vocals"),
    (X, S[..., :-1], {}, "vocals are 3 x 1 x 399, but the mixture is 3 x 1 x 400"),
    (X, S * 0, {}, "recording 0 has no vocals"),
    (X, torch.where(torch.arange(3)[:, None, None] == 2, 0, S), {}, "recording 2 has no vocals"),
    (X[:, 0], S[:, 0], {}, r"mixture has two axes, 3 x 400; say which: x\[None\]"),
    (X[None], S[None], {}, "mixture is 1 x 3 x 1 x 400"),
    (X[:0], S[:0], {}, "mixture is 0 x 1 x 400"),
    (X.expand(-1, 2, -1), S.expand(-1, 2, -1), {}, r"have 2 channel.s., .*with_channels"),
    (X / 0, S, {}, "mixture has samples that are not numbers"),
    (X, S / 0, {}, "vocals has samples that are not numbers"),
    ((X * 32768).short(), S, {}, "not torch.int16; divide 16-bit samples by 32768"),
    ((X.numpy() * 32768).astype(np.int16), S, {}, "not int16; divide 16-bit samples by 32768"),
    ([0.1, 0.2], S, {}, "mixture must be a tensor or a NumPy array of floats"),
    (X, S, {"sample_rate": 44_100}, "have 44100 Hz, the system takes 1000 Hz; .*with_sample_rate"),
]


@pytest.mark.parametrize("call", ["attack", "score", "audit"])
@pytest.mark.parametrize(("mixture", "vocals", "more", "message"), BAD)
def test_recordings_that_do_not_fit_are_refused(
    call: str, mixture: Any, vocals: Any, more: dict[str, Any], message: str
) -> None:
    between = [X] if call == "score" else []
    with pytest.raises(InputError, match=message):
        getattr(api, call)(system(), mixture, vocals, *between, **more)


@pytest.mark.parametrize("call", ["attack", "score", "audit"])
def test_what_is_no_separator_is_refused(call: str) -> None:
    between = [X] if call == "score" else []
    with pytest.raises(InputError, match="a Smooth is no separator; make it one with"):
        getattr(api, call)(Smooth(), X, S, *between)


def test_settings_that_are_not_allowed_are_refused() -> None:
    with pytest.raises(InputError, match="attack: eps = -1 is not allowed"):
        stemproof.attack(system(), X, S, eps=-1)
    with pytest.raises(InputError, match="attack: unknown parameter pgd.stepps, did you mean"):
        stemproof.attack(system(), X, S, pgd={"stepps": 3})
    with pytest.raises(InputError, match="either params or settings"):
        stemproof.attack(system(), X, S, AttackSection(), eps=0.1)
    with pytest.raises(InputError, match="audit: unknown parameter segment, did you mean"):
        api.audit(system(), X, S, segment=3)
    with pytest.raises(InputError, match="audit: excerpts is of runs of many systems"):
        api.audit(system(), X, S, excerpts={"segments": 3})


@pytest.mark.parametrize("call", [api.attack, api.audit])
def test_a_system_without_a_gradient_is_refused_where_one_is_needed(call: Any) -> None:
    blocked = stemproof.load(lambda x: x.detach().tanh(), sample_rate=RATE, channels=1)
    with pytest.raises(InputError, match="no gradient of the system's output reaches the mixture"):
        call(blocked, X, S)
    found = stemproof.attack(blocked, X, S, method="search", search={"queries": 3})
    assert found.losses.shape == (3, 4)


def test_outputs_that_are_not_numbers_are_refused() -> None:
    def broken(mixture: Tensor) -> Tensor:
        return torch.where(mixture.abs().amax(-1, keepdim=True) > 5, torch.nan, mixture)

    loaded = stemproof.load(broken, sample_rate=RATE, channels=1)
    loud = torch.cat([X[:2], 100 * X[2:]])
    with pytest.raises(InputError, match="on 1 of 3 recordings, the first of them number 2"):
        stemproof.attack(loaded, loud, S, pgd={"steps": 1})
    with pytest.raises(InputError, match="recording 2: an output is not a number"):
        stemproof.score(loaded, loud, S, loud, statistics=FEW)


def test_arrays_tensors_and_single_recordings_are_the_same() -> None:
    loaded = system()
    found = stemproof.attack(loaded, X[:1], S[:1], eps=0.01, pgd={"steps": 2})
    for mixture, vocals in (
        (X[:1].numpy(), S[:1].numpy()),
        (X[0, 0], S[0, 0]),
        (X[0, 0].double().numpy(), S[0, 0].numpy()),
        (X[:1].numpy()[..., ::-1][..., ::-1], S[:1]),
    ):
        again = stemproof.attack(loaded, mixture, vocals, eps=0.01, pgd={"steps": 2})
        assert again.adversarial.dtype == torch.float32
        assert torch.equal(again.adversarial, found.adversarial)


def test_inputs_are_left_as_they_were() -> None:
    mixture, vocals = X.clone().requires_grad_(True), S.clone()
    state = torch.random.get_rng_state()
    loaded = system()
    torch.random.set_rng_state(state)
    stemproof.attack(loaded, mixture, vocals, pgd={"steps": 1})
    api.audit(loaded, mixture, vocals, **LITTLE)
    assert torch.equal(mixture, X)
    assert mixture.grad is None
    assert torch.equal(vocals, S)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_attack_keeps_its_budget_and_does_not_depend_on_the_batch() -> None:
    loaded = system(2)
    mixture, vocals = recordings(5, 2)
    found = stemproof.attack(loaded, mixture, vocals, eps=0.01, pgd={"steps": 3})
    assert found.adversarial.shape == mixture.shape
    assert found.losses.shape == (5, 4)
    assert (found.adversarial.double() - mixture.double()).abs().max() <= 0.01
    assert found.budget_used <= 1
    assert (found.losses[:, -1] > found.losses[:, 0]).all()
    by_two = stemproof.attack(loaded, mixture, vocals, eps=0.01, pgd={"steps": 3}, batch=2)
    torch.testing.assert_close(by_two.adversarial, found.adversarial)
    params = found.params
    again = stemproof.attack(loaded, mixture, vocals, params)
    assert torch.equal(again.adversarial, found.adversarial)


def test_a_universal_perturbation_is_one_for_all() -> None:
    settings: dict[str, Any] = {"method": "universal", "eps": 0.01, "universal": {"epochs": 2}}
    mixture, vocals = recordings(5)
    found = stemproof.attack(system(), mixture, vocals, batch=2, **settings)
    delta = found.adversarial - mixture
    torch.testing.assert_close(delta, delta[:1].expand_as(delta), rtol=0, atol=1e-6)
    other = stemproof.attack(system(), mixture, vocals, training=(-X, S), **settings)
    assert not torch.allclose(other.adversarial, found.adversarial)
    with pytest.raises(InputError, match="one perturbation for all needs one length"):
        short = X[..., :300], S[..., :300]
        stemproof.attack(system(), mixture, vocals, training=short, **settings)


def test_figures_are_those_that_apply(tmp_path: Path) -> None:
    blind = system()
    found = stemproof.attack(blind, X, S, eps=0.01, pgd={"steps": 3})
    scores = stemproof.score(blind, X, S, found, statistics=FEW)
    assert list(scores.table.index) == ["0", "1", "2"]
    assert "si_sdr" not in scores.table
    assert (scores.table["drop"] > scores.table["noise_drop"]).all()
    torch.testing.assert_close(
        torch.tensor(scores.table["at_bs"].to_numpy()).float(), -found.losses[:, -1]
    )
    middle = float(scores.table["bs"].median())
    assert scores.summary["bs"] == pytest.approx(middle)
    assert scores.summary["bs_low"] <= middle <= scores.summary["bs_high"]
    informed = stemproof.load(model_file(tmp_path))
    assert "si_sdr" in stemproof.score(informed, X, S, X + 0.01, statistics=FEW).table


def test_recordings_of_one_track_count_as_one() -> None:
    blind = system()
    scores = stemproof.score(blind, X, S, X + 0.001, names=["a", "a", "b"], statistics=FEW)
    assert scores.summary["n_tracks"] == 2
    of_a = scores.table.loc["a", "bs"].median()
    assert scores.summary["bs"] == pytest.approx((of_a + scores.table.loc["b", "bs"]) / 2)
    with pytest.raises(InputError, match="2 names for 3 recordings"):
        stemproof.score(blind, X, S, X, names=["a", "b"])
    with pytest.raises(InputError, match="adversarial is 2 x 1 x 400, but the mixture is 3 x 1"):
        stemproof.score(blind, X, S, X[:2])


def test_silence_is_counted_and_has_no_figure() -> None:
    """A system that is silent for the second recording; one that always is."""
    second = X[1]

    def partly(mixture: Tensor) -> Tensor:
        if mixture.shape[-1] != X.shape[-1]:  # what `load` tries it with
            return mixture.tanh()
        far = (mixture - second).abs().amax((1, 2), keepdim=True) > 0.05
        return torch.where(far, 1.0, 0.0) * mixture.tanh()

    loaded = stemproof.load(partly, sample_rate=RATE, channels=1)
    found = stemproof.attack(loaded, X, S, eps=0.01, pgd={"steps": 2})
    scores = stemproof.score(loaded, X, S, found, statistics=FEW)
    gone = ["bs", "at_bs", "drop", "noise_bs", "noise_drop", "noise_worst_drop"]
    assert scores.table[gone].isna().all(axis=1).tolist() == [False, True, False]
    counts = ("n_collapsed_clean", "n_collapsed", "n_collapsed_noise")
    assert [scores.summary[key] for key in counts] == [1, 1, 1]
    whole = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=RATE, channels=1)
    others = stemproof.score(whole, X, S, found.adversarial, statistics=FEW)
    assert [others.summary[key] for key in counts] == [0, 0, 0]
    expected = others.table["bs"].iloc[[0, 2]].median()
    assert scores.summary["bs"] == pytest.approx(expected)
    audited = api.audit(loaded, X, S, found.params, **LITTLE)
    assert "collapsed" in [flag.name for flag in audited.raised]
    made = stemproof.claim(scores, audited, system="partly")
    assert made.collapsed == dict.fromkeys(counts, 1)
    silent = stemproof.load(lambda mixture: 0 * mixture, sample_rate=RATE, channels=1)
    found = stemproof.attack(silent, X, S, eps=0.01, pgd={"steps": 2})
    scores = stemproof.score(silent, X, S, found, statistics=FEW)
    assert not {*gone, "rb"} & set(scores.summary)
    made = stemproof.claim(scores, api.audit(silent, X, S, found.params, **LITTLE), system="none")
    assert made.attacked == {} and "bs" not in made.clean
    assert made.collapsed == dict.fromkeys(counts, 3)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    torch.set_num_threads(1)
    blind = system()
    found = stemproof.attack(blind, X, S, eps=0.01)
    return {
        "system": blind,
        "found": found,
        "scores": stemproof.score(blind, X, S, found, statistics=FEW),
        "audited": api.audit(blind, X, S, found.params, **LITTLE),
    }


def test_an_audit_raises_only_flags_of_what_it_measured(measured: dict[str, Any]) -> None:
    audited = measured["audited"]
    names = [flag.name for flag in audited.flags]
    assert "stronger from elsewhere" not in names
    assert all(flag.measured for flag in audited.flags)
    # What was asked for, although the system is told nothing of the stems.
    assert list(audited.figures["steps"]) == ["fgsm", "1", "10", "20"]
    assert audited.figures["black_box"]["queries"] == LITTLE["queries"]
    assert {"sparse", "universal"} <= set(audited.figures)
    assert "few seeds" in [flag.name for flag in audited.raised]
    assert any("learned on those that it was played to" in said for said in audited.not_measured)
    fewer = api.audit(
        measured["system"], X, S, training=(X, S), trained=False, segments=2, **LITTLE
    )
    assert fewer.not_measured[1:] == ["1 of 3 recordings"]
    assert "few seeds" not in [flag.name for flag in fewer.raised]


def test_an_audit_finds_masked_gradients() -> None:
    class Rounded(torch.autograd.Function):
        """Rounds, and says that the gradient is nothing."""

        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return torch.round(x * 500) / 500

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return torch.zeros_like(gradient)

    hidden = stemproof.load(Rounded.apply, sample_rate=RATE, channels=1)
    raised = [flag.name for flag in api.audit(hidden, X, S, **LITTLE).raised]
    assert "zero gradients" in raised


def test_a_claim_says_what_is_known_and_nothing_else(measured: dict[str, Any]) -> None:
    claim = stemproof.claim(measured["scores"], measured["audited"], system="smooth")
    written = json.loads(claim.model_dump_json())
    assert type(claim).model_validate(written) == claim
    assert written["git_commit"] is None
    assert written["eps"] == 0.01
    assert written["attack"]["pgd"]["steps"] == 10
    assert written["data"]["recordings"] == written["data"]["tracks"] == 3
    assert written["attacked"]["rb"]["low"] <= written["attacked"]["rb"]["value"]
    assert written["confidence"] == 0.95
    assert written["flags_raised"] == sum(flag["raised"] for flag in written["flags"])
    assert "nothing beside the recording" in written["threat_model"]
    assert any("one model" in said for said in written["not_measured"])
    commit = "a" * 40
    named = stemproof.claim(
        measured["scores"], measured["audited"], system="smooth", git_commit=commit
    )
    assert named.git_commit == commit
    with pytest.raises(InputError, match="claim: git_commit = 'HEAD' is not allowed"):
        stemproof.claim(measured["scores"], measured["audited"], system="x", git_commit="HEAD")
    with pytest.raises(InputError, match="claim: system = '' is not allowed"):
        stemproof.claim(measured["scores"], measured["audited"], system="")


def test_the_hash_follows_every_sample() -> None:
    hashes = {
        stemproof.score(system(), x, s, x + 0.001, statistics=FEW).data.sha256
        for x, s in ((X, S), (X + 0, S + 0), (X.roll(1, -1), S), (X, S.roll(1, -1)))
    }
    assert len(hashes) == 3


def test_a_claim_of_two_things_is_refused(measured: dict[str, Any]) -> None:
    blind, found = measured["system"], measured["found"]
    others = {
        "another system": stemproof.score(system(), X, S, found, statistics=FEW),
        "other recordings": stemproof.score(
            blind, X[:2], S[:2], found.adversarial[:2], found.params, statistics=FEW
        ),
        "another attack": stemproof.score(
            blind, X, S, stemproof.attack(blind, X, S, pgd={"steps": 1}), statistics=FEW
        ),
        "a claim names the attack": stemproof.score(blind, X, S, found.adversarial, statistics=FEW),
    }
    # Of an attack that is not known no budget is, either.
    assert "budget_used" not in others["a claim names the attack"].summary
    assert others["another system"].summary["budget_used"] <= 1
    for said, scores in others.items():
        with pytest.raises(InputError, match=said):
            stemproof.claim(scores, measured["audited"], system="smooth")


def test_a_composed_system_goes_through_all_five(tmp_path: Path) -> None:
    mono = stemproof.load(model_file(tmp_path))
    whole = with_sample_rate(with_channels(Windowed(mono, 0.2, 0.5), 2), 1200)
    loaded = stemproof.load(whole, sample_rate=1200, channels=2)
    mixture, vocals = recordings(2, 2, 500)
    found = stemproof.attack(loaded, mixture, vocals, eps=0.01, pgd={"steps": 2})
    assert found.budget_used <= 1
    scores = stemproof.score(loaded, mixture, vocals, found, statistics=FEW, sample_rate=1200)
    audited = api.audit(loaded, mixture, vocals, found.params, **LITTLE)
    assert "masks" in audited.figures
    claim = stemproof.claim(scores, audited, system="rsvm on stereo")
    assert "the mask, which stays the clean one" in claim.threat_model
    assert claim.data.sample_rate == 1200
