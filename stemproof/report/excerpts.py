"""Excerpts of a song for a page that stands by itself: players and spectrograms, in the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
from matplotlib import rc_context
from matplotlib.figure import Figure

from stemproof.core.files import FloatArray
from stemproof.report.drawing import COLORS, STYLE

FLOOR_DB = -100.0


def player(samples: FloatArray, rate: int) -> str:
    """An address that holds a recording, as flac with 16 bits.

    Args:
        samples: channels x samples; what lies beyond full scale is cut.
        rate: in Hz.
    """
    stored = io.BytesIO()
    clipped = samples.T.clip(-1, 1 - 2**-15)
    soundfile.write(stored, clipped, rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(stored.getvalue()).decode()


def spectrograms(levels: Mapping[str, Any], rate: int, hop: int, top: float) -> str:
    """Pictures side by side, as the address of a PNG.

    Args:
        levels: heading to levels in dB, bins x frames.
        rate: in Hz.
        hop: samples from one frame to the next.
        top: level that is brightest.
    """
    with rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(4 * len(levels), 3), layout="constrained")
        axes = figure.subplots(1, len(levels), sharey=True)
        for own, (title, level) in zip(np.atleast_1d(axes), levels.items(), strict=True):
            seconds = level.shape[1] * hop / rate
            drawn = own.imshow(
                level,
                origin="lower",
                aspect="auto",
                extent=(0, seconds, 0, rate / 2000),
                vmin=top + FLOOR_DB,
                vmax=top,
                cmap="magma",
            )
            own.set(title=title, xlabel="s")
        np.atleast_1d(axes)[0].set_ylabel("kHz")
        figure.colorbar(drawn, ax=axes, label="dB SPL")
        return _png(figure)


def spectrum(lines: Mapping[str, Any], hertz: Any) -> str:
    """The spectrum of one moment, as the address of a PNG.

    Args:
        lines: name to levels in dB SPL, one a frequency.
        hertz: frequencies.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        axes = figure.subplots()
        for color, (name, level) in zip(COLORS, lines.items(), strict=False):
            axes.plot(hertz[1:], level[1:], color=color, label=name, linewidth=1)
        axes.set(xscale="log", xlabel="Hz", ylabel="dB SPL", xlim=(30, hertz[-1]), ylim=(-40, 100))
        axes.legend(frameon=False)
        return _png(figure)


def _png(figure: Figure) -> str:
    stored = io.BytesIO()
    figure.savefig(stored, format="png", dpi=110, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()
