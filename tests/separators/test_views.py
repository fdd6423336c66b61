"""What a system shows of what it has learned is what it computes with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stemproof.core.files import read_array
from stemproof.evaluation.views import LARGEST, view_names, write_views
from stemproof.separators.protocol import Inspectable
from stemproof.separators.rsvm.attention import FrameAttention
from stemproof.separators.rsvm.model import RSVM, build_model
from stemproof.separators.rsvm.params import AttentionSettings, RSVMSettings, Sizes
from stemproof.separators.rsvm.separator import as_separator
from stemproof.separators.rsvm.views import FLOOR
from stemproof.separators.stft import STFT, InformedSTFT, STFTSettings

RATE, SAMPLES = 44_100, 22_050
ATTENTION = AttentionSettings(heads=2, width=16)


def rsvm(attention: AttentionSettings | None = ATTENTION) -> RSVM:
    settings = RSVMSettings(attention=attention, dropout=0.5, dropout_at_test=True)
    return build_model(Sizes(channels=40, kernel=2048), settings, RATE, SAMPLES, 3)


def mixture() -> torch.Tensor:
    torch.manual_seed(0)
    return 0.1 * torch.randn(1, 1, SAMPLES)


def test_weights_are_those_that_attention_uses() -> None:
    torch.manual_seed(0)
    for position in ("none", "sinusoidal"):
        attention = FrameAttention(12, AttentionSettings(heads=2, width=8, position=position))
        coefficients = torch.randn(3, 12, 7)
        weights = attention.weights(coefficients)
        assert weights.shape == (3, 2, 7, 7)
        assert torch.allclose(weights.sum(-1), torch.ones(3, 2, 7))
        # Put together by hand they give what the layer gives.
        _, _, value = attention._projected(coefficients)
        merged = torch.cat([weights[:, head] @ value[:, head] for head in range(2)], dim=-1)
        expected = coefficients + attention.gate * attention.project_out(merged).transpose(1, 2)
        assert torch.allclose(attention(coefficients), expected, atol=1e-6)


def test_coefficients_and_carriers() -> None:
    model = rsvm()
    system = as_separator(model)
    assert isinstance(system, Inspectable)
    coefficients, carriers, attention = system.views(mixture())
    assert coefficients.values.max() == 0 and coefficients.values.min() >= FLOOR
    assert coefficients.width == (0, SAMPLES / RATE) and coefficients.height == (1, 40)
    # Without dropout, also where it stays on at test time; sorted by carrier.
    with model.encoder.dropout.off():
        encoded = model.encode(mixture()[:, 0])[0, model.decoder.frequency_order()]
    expected = 20 * torch.log10(encoded / encoded.max())
    assert torch.allclose(coefficients.values, expected.clamp(min=FLOOR), atol=1e-3)
    assert attention.values.shape == (encoded.shape[1],) * 2
    assert torch.allclose(attention.values.sum(1), torch.ones(encoded.shape[1]), atol=1e-5)
    # Hz: where the spectrum of each filter has its peak, to a bin.
    assert bool((carriers.values.diff() >= 0).all())
    filters = model.decoder.dictionary()[model.decoder.frequency_order(), 0].detach().numpy()
    peaks = np.abs(np.fft.rfft(filters * np.hanning(2048))).argmax(-1) * RATE / 2048
    assert np.abs(peaks - carriers.values.detach().numpy())[1:].max() <= RATE / 2048


def test_what_has_no_attention_shows_none_and_others_show_nothing(tmp_path: Path) -> None:
    plain = as_separator(rsvm(attention=None))
    assert [view.title for view in plain.views(mixture())] == [
        "Coefficients of the mixture",
        "Carriers of the dictionary",
    ]
    oracle = InformedSTFT(STFT(STFTSettings(window=128, hop=32), RATE))
    assert write_views(oracle, mixture(), tmp_path, "oracle") == []
    assert not list(tmp_path.iterdir())


def test_maps_are_small_and_keep_their_mean(tmp_path: Path) -> None:
    system = as_separator(rsvm())
    views = system.views(mixture().repeat(1, 1, 4))
    found = write_views(system, mixture().repeat(1, 1, 4), tmp_path, "x")
    assert [about["file"] for about in found] == view_names("x")[:3]
    for view, about in zip(views, found, strict=True):
        stored = read_array(tmp_path / about["file"])
        assert stored.ndim == view.values.ndim
        if stored.ndim == 2:
            assert stored.shape[0] <= LARGEST[0] and stored.shape[1] <= LARGEST[1]
            assert stored.mean() == pytest.approx(float(view.values.mean()), rel=0.02)
