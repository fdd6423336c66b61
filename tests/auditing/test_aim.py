"""What an attack aimed at and did not reach raises a flag, and is counted as the figures count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from conftest import AllParams
from scored_cases import (
    CUT,
    Blind,
    adversarials,
    attack_params,
    evaluated,
    informed,
    mute_systems,
    recordings,
)
from small import attack

from stemproof.attacks.minimal import MinimalPerturbation
from stemproof.attacks.stored import INDEX
from stemproof.auditing import opened
from stemproof.auditing.flag import Flag
from stemproof.auditing.material import Materials
from stemproof.auditing.opened import open_system
from stemproof.auditing.reached import aim_of
from stemproof.auditing.run import System, audit
from stemproof.data.prepare import prepare
from stemproof.data.store import PreparedData
from stemproof.separators.protocol import Separator

CPU = torch.device("cpu")
NAME = "aim not reached"


def separators(folder: Path) -> dict[str, Separator]:
    return {"informed": informed(), "blind": Blind(), **mute_systems(folder)}


@pytest.mark.parametrize("drop", [1e-3, 0.02, 0.05, 0.1, 60.0])
def test_it_is_counted_as_the_figures_count(tmp_path: Path, drop: float) -> None:
    params, data = attack_params(method="minimal", minimal={"drop": drop}), recordings()
    missed = {}
    for name, separator in separators(tmp_path).items():
        stored = adversarials(tmp_path / name, data, attack_params(), separator)
        scored = evaluated(tmp_path, separator, attack=params, data=data, stored=stored)
        found = aim_of(stored, separator, params, CUT, cast(PreparedData, data), CPU)
        assert found is not None
        missed[name] = scored.counts["n_not_reached"]
        total = 3 if name == "blind" else 12  # an excerpt of each song, or segments
        assert found == {"drop": drop, "parts": total, "missed": missed[name]}, name
        assert aim_of(stored, separator, attack_params(), CUT, cast(Any, data), CPU) is None
    assert missed["always"] == 12
    if drop == 60:
        assert missed["attacked"] == 0 and missed["informed"] == 12 and missed["blind"] == 3


def flag_of(params: AllParams, systems: list[System]) -> tuple[Flag, dict[str, Any]]:
    (found,) = audit(params.audit, params.attack, systems).values()
    return next(flag for flag in found.flags if flag.name == NAME), found.figures


@pytest.mark.parametrize(("drop", "steps"), [(6.0, 30), (90.0, 1)])
def test_a_drop_that_is_not_reached_raises_a_flag(
    songs: Path,
    tmp_path: Path,
    make_params: Callable[..., AllParams],
    monkeypatch: pytest.MonkeyPatch,
    drop: float,
    steps: int,
) -> None:
    """From the search to the flag, through what is stored; of all seeds together."""
    few = {"segments": 2, "steps": [1], "rules": ["decaying"], "losses": ["si_sdr"]}
    few |= {"eps_factors": [1.0], "queries": 2, "noise_draws": 1, "minimal_drops": []}
    params = make_params(
        data={"root": str(songs)},
        attack={"method": "minimal", "norm": "l2", "minimal": {"drop": drop}, "pgd": {"steps": 1}},
        audit={**few, "excerpts": few},
    )
    prepare(params.data, params.segments, 1, tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    monkeypatch.setattr(MinimalPerturbation.__init__, "__defaults__", ("l2", steps, 8, 0.02))
    stored = attack(params, Curved(), data, tmp_path)
    assert (stored.folder / INDEX).exists()
    monkeypatch.setattr(opened, "load", lambda *_: Curved())
    monkeypatch.setattr(opened, "read_header", lambda _: SimpleNamespace(trained=True))
    materials = Materials(params.audit, params.attack, params.segments, data, CPU)
    systems = [open_system("x", seed, stored, materials, False) for seed in (1, 2)]
    flag, figures = flag_of(params, systems)
    parts = sum(track.count(params.segment_samples) for track in data.tracks("test"))
    counted = figures["aim"]
    assert counted["drop"] == drop and 0 < counted["parts"] <= 2 * parts
    assert flag.raised == (counted["missed"] > 0) == (drop == 90)
    if flag.raised:
        said = f"on {counted['missed']} of {counted['parts']} parts no perturbation was found that"
        assert flag.reason.startswith(f"{said} costs 90.0 dB: ")
    else:
        assert flag.reason == f"on each of {counted['parts']} parts the perturbation costs 6.0 dB"
    # Without what was stored nobody knows; and PGD aims at no loss.
    alone = System("x", 1, Curved(), systems[0].material, systems[0].training)
    assert flag_of(params, [alone])[0].word == "not measured"
    params = make_params(data={"root": str(songs)}, audit={**few, "excerpts": few})
    flag, figures = flag_of(params, [alone])
    assert (flag.word, figures["aim"]) == ("clear", {})


class Curved(Blind):
    """A system that is no straight line: the linearized level is not the level."""

    channels = 2

    def separate(self, mixture: torch.Tensor, side: Any = None) -> torch.Tensor:
        return torch.tanh(3 * super().separate(mixture, side))
