"""The segments that are audited, and that the attack on them is the one that was stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemproof.attacks.craft import craft, prepared
from stemproof.auditing.checks import Auditor
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

    sample_rate, channels = 4000, 1

    def separate(self, mixture: Tensor, side: Side = None) -> Tensor:
        return torch.tanh(2 * mixture) / 2


@pytest.fixture
def data(songs: Path, tmp_path: Path, make_params: MakeParams) -> PreparedData:
    params = make_params(data={"root": str(songs)})
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


def test_segments_are_spread_over_the_tracks(data: PreparedData, make_params: MakeParams) -> None:
    params = make_params(audit={"segments": 3})
    cut = params.segments
    found = choose_material(params.audit, params.attack, cut, data, "test", CPU)
    assert len(found.tracks) == len(found.seeds) == 3
    assert set(found.tracks) == {track.name for track in data.tracks("test")}
    assert found.mixture.shape == found.vocals.shape == (3, 1, 1000)
    again = choose_material(params.audit, params.attack, cut, data, "test", CPU)
    assert torch.equal(found.mixture, again.mixture) and found.seeds == again.seeds
    every = make_params(audit={"segments": 1000}).audit
    whole = choose_material(every, params.attack, cut, data, "test", CPU)
    segments = Excerpts.segments(data.tracks("test"), 1000)
    assert len(whole.tracks) == len(segments.loud(cut.loud_db))
    silent = make_params(segments={"loud_db": 99}).segments
    with pytest.raises(InputError, match=r"no test segment has audible vocals.*loud_db"):
        choose_material(params.audit, params.attack, silent, data, "test", CPU)


@pytest.mark.parametrize("method", ["pgd", "search", "noise"])
def test_what_the_attack_found_is_found_again(
    data: PreparedData, make_params: MakeParams, method: str
) -> None:
    attack = {"method": method, "search": {"queries": 20}, "batch": 3, "seed": 5}
    params = make_params(attack=attack, audit={"segments": 1000}, segments={"loud_db": -50})
    material = choose_material(params.audit, params.attack, params.segments, data, "test", CPU)
    auditor = Auditor(Plain(), material, material, params.attack, params.audit)
    segments = Excerpts.segments(data.tracks("test"), 1000)
    ready = prepared(params.attack, Plain(), segments, -50, CPU)
    loud = segments.loud(-50)
    stored = craft(params.attack, ready, Plain(), segments, loud, CPU).adversarial
    own = auditor.case.shaped(auditor.own())
    assert torch.allclose(own, torch.from_numpy(stored), atol=1e-6)
