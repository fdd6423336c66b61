"""A whole page with hostile names, many tracks, and clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import test_mixed
import torch
from conftest import AllParams
from scored_cases import drawn
from test_mixed import reported

from stemproof.core.files import write_json
from stemproof.evaluation.clips import FORMAT, INDEX, write_clip
from stemproof.evaluation.listening import OWN, SHARED
from stemproof.evaluation.views import write_views
from stemproof.figures.summary import Models
from stemproof.separators.protocol import Side, View

# Names that mean something to HTML, SVG, matplotlib or Markdown.
HOSTILE = (
    "<script>alert(1)</script>",
    "a \"quote\" & an 'apostrophe' </text><b>",
    "$\\frac{1}{0}$ | a_b^c #0072b2",
    "None",
    "a name that is as long as a name can be and then goes on for a while longer",
)
COUNT = 40
INFORMED = {"baseline": True, "improved": True, "toy": False}
WHOLE = ("excerpt_bs", "excerpt_at_bs", "excerpt_drop")


def names() -> list[str]:
    """Of the tracks."""
    return [*HOSTILE, *(f"song {number}" for number in range(COUNT - len(HOSTILE)))]


def many_tracks() -> dict[str, Models]:
    """Two informed systems and a blind one."""
    found: dict[str, Models] = {}
    for place, (name, informed) in enumerate(INFORMED.items()):
        model = drawn(place, WHOLE if informed else ("si_sdr", "stft_bs"))
        draw = np.random.default_rng(place)
        tracks = model.tracks.sample(COUNT, replace=True, random_state=place)
        tracks.index = tracks.index.__class__(names(), name="track")
        tracks["drop"] = draw.uniform(0.1, 3, COUNT)
        tracks["at_bs"] = tracks["bs"] - tracks["drop"]
        tracks["mixture_si_sdr"] = -5.0
        found[name] = {1: replace(model, tracks=tracks)}
    return found


def clips(folder: Path, rendered: bool = True, seconds: float = 0.2) -> Path:
    """A folder as the stage `listen` writes it: noise."""
    folder.mkdir(parents=True)
    rate, draw = 4000, np.random.default_rng(0)
    parts: list[dict[str, Any]] = []
    for threat, systems in (("informed", ("improved", "baseline")), ("blind", ("toy",))):
        part, channels = len(parts), 1 if threat == "informed" else 2
        files = {key: f"{part}-{key}.wav" for key in SHARED}
        own = {name: {key: f"{part}-{name}-{key}.wav" for key in OWN} for name in systems}
        for file in (*files.values(), *(f for of in own.values() for f in of.values())):
            noise = draw.uniform(-0.5, 0.5, (channels, round(seconds * rate)))
            write_clip(folder / file, noise.astype(np.float32), rate)
        figures = {"bs": 5.0, "at_bs": 4.0, "drop": 1.0, "perturbation_snr": 33.0}
        about = {"threat": threat, "rules": ["median", "best"], "chosen_by": systems[0]}
        about |= {"track": HOSTILE[0], "rendered": rendered, "start": 1.0, "seconds": seconds}
        heard = [
            {"system": name, "amplified_db": 30, "figures": figures, "files": own[name]}
            for name in systems
        ]
        parts.append({**about, "turned_down_db": 0.0, "shared": files, "systems": heard})
    index = {"format": FORMAT, "seed": 1, "data": "d" * 64, "models": {"toy": "e" * 64}}
    views = {name: views_of(folder, name) for name in ("baseline", "improved")}
    write_json(folder / INDEX, {**index, "parts": parts, "views": views})
    return folder


class Shown:
    """A system that shows a map and a curve."""

    sample_rate, channels = 4000, 1

    def separate(self, mixture: torch.Tensor, side: Side = None) -> torch.Tensor:
        return mixture

    def views(self, mixture: torch.Tensor) -> list[View]:
        values = torch.arange(12.0).reshape(3, 4)
        return [
            View("Map", "A map.", values, "time in s", "row", (0, 2), (1, 3), "steps"),
            View("Curve", "A curve.", values[0], "point", "height in dB", (1, 4)),
        ]


def views_of(folder: Path, name: str) -> list[dict[str, Any]]:
    return write_views(Shown(), torch.zeros(1, 1, 800), folder, name)


def audited(params: AllParams, informed: bool) -> dict[str, Any]:
    """An audit with a sweep, and with transfer between all models."""
    models = [f"{name}-1" for name in INFORMED]
    own = models[:2] if informed else models[2:]
    found = test_mixed.audited(params, informed)
    found["transfer"] = {
        played: {
            source: {"drop": drop, "gain": drop - 2.0, "parts": 4}
            for source, drop in zip(models, (1.9, 2.0, 0.1), strict=True)
        }
        for played in own
    }
    drops, sizes = {"0.1": 0.5, "1": 2.0, "10": 9.0}, {"0.1": 53, "1": 33, "10": 13}
    sweep = {"eps_drop": drops, "eps_snr": sizes, "parts": 4, "chosen_from": 12}
    return {**found, **sweep, "bs": 6.0, "threat": "informed" if informed else "blind"}


def whole_page(folder: Path, params: AllParams) -> dict[str, str]:
    """Page and summary."""
    heard = clips(folder / "clips")
    return reported(folder, params, many_tracks(), INFORMED, heard, audited)
