"""The segments that are audited, and that the attack on them is the one that was stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stemproof.attacks.craft import craft, prepared
from stemproof.attacks.threat import excerpts_for
from stemproof.auditing.bench import Bench
from stemproof.auditing.material import choose_material
from stemproof.core.errors import InputError
from stemproof.data.excerpts import Excerpts
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.separators.protocol import Side

MakeParams = Callable[..., Any]
CPU = torch.device("cpu")


class Plain:
    """Blind and smooth."""

    sample_rate = 4000

    def __init__(self, channels: int = 2) -> None:
        self.channels = channels

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return torch.tanh(2 * mixture) / 2


class Told(Plain):
    """The same, told something that it does not listen to: it hears mono segments."""

    twin = None

    def side(self, mixture: Tensor, vocals: Tensor) -> Tensor:
        return vocals


@pytest.fixture
def data(songs: Path, tmp_path: Path, make_params: MakeParams) -> PreparedData:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


def test_segments_are_spread_over_the_tracks(data: PreparedData, make_params: MakeParams) -> None:
    params = make_params(audit={"segments": 3})
    cut, told = params.segments, Told(1)
    found = choose_material(params.audit, params.attack, cut, data, "test", told, CPU)
    assert len(found.tracks) == len(found.seeds) == 3
    assert set(found.tracks) == {track.name for track in data.tracks("test")}
    assert found.mixture.shape == found.vocals.shape == (3, 1, 1000)
    again = choose_material(params.audit, params.attack, cut, data, "test", told, CPU)
    assert torch.equal(found.mixture, again.mixture) and found.seeds == again.seeds
    every = make_params(audit={"segments": 1000}).audit
    whole = choose_material(every, params.attack, cut, data, "test", told, CPU)
    segments = Excerpts.segments(data.tracks("test"), 1000)
    assert len(whole.tracks) == len(segments.loud(cut.loud_db))
    assert whole.excerpts is not None
    assert torch.equal(whole.mixture, whole.excerpts.read(range(len(whole.tracks)))[0])
    silent = make_params(segments={"loud_db": 99}).segments
    with pytest.raises(InputError, match=r"no test segment has audible vocals.*loud_db"):
        choose_material(params.audit, params.attack, silent, data, "test", told, CPU)


@pytest.mark.parametrize(("seconds", "samples", "parts"), [(None, 4400, 1), (0.5, 2000, 2)])
def test_a_blind_system_is_audited_on_excerpts_of_one_length(
    data: PreparedData, make_params: MakeParams, seconds: float | None, samples: int, parts: int
) -> None:
    """A rest behind the last segment is heard by the attack, and not by the audit."""
    params = make_params(
        attack={"excerpt": seconds},
        audit={"excerpts": {"segments": 1000}},
        segments={"loud_db": -50},
    )
    suite = params.audit.of("blind")
    assert suite.segments == 1000 and params.audit.of("informed").segments != 1000
    sections = params.attack, params.segments, data
    found = choose_material(suite, *sections, "test", Plain(), CPU)
    # Of 4400 samples in excerpts of 2000 the last one has 2400, of which the audit hears 2000.
    assert found.mixture.shape == (2 * parts, 2, samples)
    assert found.segments == samples // 1000
    for number, track in enumerate(data.tracks("test")):
        for part in range(parts):
            expected = track.mixture[:, part * samples : (part + 1) * samples]
            assert np.array_equal(found.mixture[number * parts + part], expected)
    suite = suite.model_copy(update={"sparse_samples": 2 * samples + 1})
    said = rf"audit.excerpts.sparse_samples = {2 * samples + 1}, but what .* has {2 * samples}"
    with pytest.raises(InputError, match=said):
        choose_material(suite, *sections, "test", Plain(), CPU)


@pytest.mark.parametrize("threat", ["informed", "blind"])
@pytest.mark.parametrize("method", ["pgd", "search", "noise"])
def test_what_the_attack_found_is_found_again(
    data: PreparedData, make_params: MakeParams, method: str, threat: str
) -> None:
    system = Told(1) if threat == "informed" else Plain(2)
    attack = {"method": method, "search": {"queries": 20}, "batch": 3, "seed": 5}
    params = make_params(attack=attack, audit={"segments": 1000}, segments={"loud_db": -50})
    sections = params.attack, params.segments, data
    material = choose_material(params.audit, *sections, "test", system, CPU)
    bench = Bench(system, material, material, params.attack)
    excerpts = excerpts_for(system, data.tracks("test"), params.segments, params.attack, 4000)
    ready = prepared(params.attack, system, excerpts, -50, CPU)
    stored = craft(params.attack, ready, system, excerpts, excerpts.loud(-50), CPU).adversarial
    own = bench.own().reshape(material.mixture.shape)
    assert len(own) == len(stored) == {"informed": 8, "blind": 2}[threat]
    assert torch.allclose(own, torch.from_numpy(np.stack(stored)), atol=1e-6)
