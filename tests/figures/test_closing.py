"""What stages say when they end."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stemproof.figures.closing import MOST, of_flags, of_systems, of_tracks, shortened


def test_a_model_is_said_by_its_medians() -> None:
    tracks = pd.DataFrame(
        {
            "bs": [1.0, 5.0, 9.0],
            "at_bs": [0.0, 2.0, 3.0],
            "drop": [1.0, 3.0, 6.0],
            "noise_drop": [0.0, 0.00125, 0.01],
            "break_3db": [np.nan] * 3,
        },
        index=pd.Index(["a", "b", "c"], name="track"),
    )
    assert of_tracks("x-1", tracks, informed=True) == (
        "x-1: BS 5.00 dB, AT-BS 2.00 dB, RB 3.00 dB, paired drop 3.00 dB, "
        "drop under random noise 0.0013 dB (medians over tracks: 3)"
    )
    assert "clean SI-SDR 5.00 dB" in of_tracks("x-1", tracks, informed=False)
    nothing = pd.DataFrame({"bs": [np.nan]}, index=pd.Index(["a"], name="track"))
    assert of_tracks("x-1", nothing, informed=True) == "x-1: all collapsed (medians over tracks: 1)"


def test_systems_are_said_with_their_intervals() -> None:
    systems = {
        "x": {"informed": True, "bs": 1.0, "bs_low": 0.5, "bs_high": 2.0, "break_3db": 50.04},
        "y": {"informed": False, "bs": 1.0},
        "z": {"informed": False},
    }
    assert of_systems(systems) == [
        "x: BS 1.00 [0.50, 2.00] dB, break point 3 dB 50.0 dB",
        "y: clean SI-SDR 1.00 dB",
        "z: all collapsed",
    ]


def test_flags_are_named() -> None:
    assert of_flags({"x-1": ["few seeds"], "y-1": []}, 16) == [
        "x-1: 1 of 16 flags raised (few seeds)",
        "y-1: 0 of 16 flags raised",
    ]


def test_never_more_than_ten_lines() -> None:
    lines = [str(n) for n in range(MOST)]
    assert shortened(lines) == lines
    more = shortened([*lines, "10", "11"])
    assert len(more) == MOST
    assert more[-2:] == ["8", "... and 3 more"]
