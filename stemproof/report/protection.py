"""The page of a protected song: players, spectrograms, costs, effects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stemproof.core.files import FloatArray
from stemproof.protecting.aims import Aim
from stemproof.protecting.masking import model_for
from stemproof.protecting.measuring import Played
from stemproof.report import protection_words as words
from stemproof.report.excerpts import player, spectrograms, spectrum

SECONDS = 8.0  # of an excerpt
LOOKED_AT = 8  # parts of the song, of which the one with the loudest vocals is shown
AMPLIFIED_PEAK = 0.5  # full scale: so loud the perturbation is played


def build_page(
    document: dict[str, Any], played: Played, aims: Sequence[Aim], others: Sequence[Aim]
) -> str:
    """A page that stands by itself.

    Args:
        document: all that was measured.
        played: the song in all its ways.
        aims: systems that it is protected against.
        others: systems that it is not made for.
    """
    number = _loudest(aims[0], played)
    cut = slice(0, round(SECONDS * played.song.sample_rate))
    ways = {
        "song": played.part(played.song, number),
        "protected": played.part(played.protected, number),
    }
    heard = {way: _inner(played, part)[:, cut] for way, part in ways.items()}
    change = heard["protected"] - heard["song"]
    gain = AMPLIFIED_PEAK / max(float(np.abs(change).max(initial=0)), 1e-9)
    gain_db = round(float(20 * np.log10(gain)))
    rate = played.song.sample_rate
    sounds = [
        ("the song", player(heard["song"], rate)),
        ("the protected song", player(heard["protected"], rate)),
        (f"their difference, {gain_db} dB louder", player(change * 10 ** (gain_db / 20), rate)),
    ]
    systems = []
    for aim in (*aims, *others):
        with torch.no_grad():
            vocals = {way: _inner(played, aim.vocals(part))[:, cut] for way, part in ways.items()}
        pair = [player(vocals[way], rate) for way in ("song", "protected")]
        own = document["effects"]["aimed"].get(aim.name)
        changes = {} if own is None else {k: words.change_rows(own, k) for k in _GROUPS}
        systems.append({"name": aim.name, "aimed": own is not None, "pair": pair, **changes})
    environment = Environment(
        loader=PackageLoader("stemproof.report", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("protection.html").render(
        document=document,
        start=number * played.tiles.own / rate,
        seconds=heard["song"].shape[1] / rate,
        sounds=sounds,
        systems=systems,
        pictures=_pictures(heard["song"], change, rate),
        costs=words.cost_rows(document),
        effects=words.effect_rows(document),
        sentences=list(words.conclusions(document)),
        verdicts=words.VERDICTS,
        params=yaml.safe_dump(document["params"], sort_keys=False),
    )


_GROUPS = ("survives", "undoing")


def _loudest(aim: Aim, played: Played) -> int:
    """The part with the loudest vocals, of some that are spread over the song."""
    energies = {}
    for number in played.tiles.spread(LOOKED_AT):
        with torch.no_grad():
            vocals = aim.vocals(played.part(played.song, number))
        energies[number] = float(played.tiles.inner(vocals).square().sum())
    return max(energies, key=lambda number: energies[number])


def _inner(played: Played, heard: Any) -> FloatArray:
    return np.asarray(played.tiles.inner(heard)[0].cpu().numpy())


def _pictures(song: FloatArray, change: FloatArray, rate: int) -> list[str]:
    """Spectrograms of the first channel, and the moment at which it is loudest."""
    model = model_for(rate)
    if song.shape[1] < model.size:
        return []
    signal, delta = torch.from_numpy(song[:1]), torch.from_numpy(change[:1])
    level, moved = model.spl(model.spectra(signal))[0], model.spl(model.spectra(delta))[0]
    threshold = model.threshold(level)
    shown = spectrograms(
        {"song": level, "masking threshold": threshold, "perturbation": moved}, rate, model.hop, 90
    )
    frame = int(np.argmax((10 ** (level / 10)).sum(axis=0)))
    bands = {
        "song": model.in_bands(level)[:, frame],
        "masking threshold": threshold[:, frame],
        "perturbation": model.in_bands(moved)[:, frame],
    }
    return [shown, spectrum(bands, model.hertz)]
