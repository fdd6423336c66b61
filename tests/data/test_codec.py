"""PyAV reads what the ffmpeg program reads."""

from __future__ import annotations

import numpy as np
import pytest

from stemproof.core.stempeg import ffmpeg_installed
from stemproof.data import codec


def test_the_real_recording_that_stempeg_ships() -> None:
    path = codec.example_stem()
    mixture, vocals = codec.decode(path, 0), codec.decode(path, 4)
    assert mixture.shape == vocals.shape
    assert mixture.shape[1] == 2
    assert len(mixture) > 6 * 44_100
    stems = sum(codec.decode(path, index) for index in range(1, 5))
    error = mixture - stems
    assert 10 * np.log10(np.sum(mixture**2) / np.sum(error**2)) > 10


@pytest.mark.skipif(not ffmpeg_installed(), reason="the ffmpeg program is not installed")
def test_pyav_agrees_with_the_ffmpeg_program() -> None:
    codec.import_musdb("ffmpeg")
    import stempeg

    theirs, _ = stempeg.read_stems(str(codec.example_stem()), ffmpeg_format="s16le")
    ours = np.stack([codec.decode(codec.example_stem(), index) for index in range(5)])
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() * 32768 <= 1
