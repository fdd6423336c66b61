"""RSVM: framing, encoder, attention, dropout, and the regularizer."""

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv1d, conv_transpose1d, pad

from stemproof.separators.masks import binary_mask
from stemproof.separators.rsvm.attention import (
    ChannelDropout,
    FrameAttention,
    FrameConvolution,
    sinusoidal_position,
)
from stemproof.separators.rsvm.encoder import Encoder
from stemproof.separators.rsvm.framing import analyze, frame_count, padding, synthesize
from stemproof.separators.rsvm.losses import sinkhorn_distance
from stemproof.separators.rsvm.model import RSVM, build_model
from stemproof.separators.rsvm.params import (
    AttentionSettings,
    ConvolutionSettings,
    RSVMSettings,
    Sizes,
)
from stemproof.separators.rsvm.separator import as_separator

SIZES = Sizes(channels=6, kernel=32, hop=8)


@given(samples=st.integers(1, 5000), hop=st.integers(1, 300), extra=st.integers(0, 300))
def test_padding_gives_every_length_its_frames(samples: int, hop: int, extra: int) -> None:
    kernel = hop + extra
    before, after = padding(samples, kernel, hop)
    assert 0 <= before <= after <= before + 1
    assert (samples + before + after - kernel) // hop + 1 == frame_count(samples, hop)


@settings(deadline=None, max_examples=50)
@given(samples=st.integers(1, 200), hop=st.integers(1, 20), extra=st.integers(0, 50))
def test_polyphase_is_a_convolution_with_a_stride(samples: int, hop: int, extra: int) -> None:
    kernel = hop + extra
    waveform = torch.randn(2, samples, dtype=torch.float64, requires_grad=True)
    filters = torch.randn(3, 1, kernel, dtype=torch.float64, requires_grad=True)
    coefficients = torch.randn(2, 3, frame_count(samples, hop), dtype=torch.float64)
    before, after = padding(samples, kernel, hop)

    strided = conv1d(pad(waveform, (before, after))[:, None], filters, stride=hop)
    torch.testing.assert_close(analyze(waveform, filters, hop), strided)
    wanted = torch.autograd.grad((strided * coefficients).sum(), (waveform, filters))
    found = torch.autograd.grad(
        (analyze(waveform, filters, hop) * coefficients).sum(), (waveform, filters)
    )
    torch.testing.assert_close(found, wanted)

    back = conv_transpose1d(coefficients, filters, stride=hop)[:, 0, before : before + samples]
    torch.testing.assert_close(synthesize(coefficients, filters, hop, samples), back)


@settings(deadline=None, max_examples=30)
@given(samples=st.integers(1, 300), batch=st.integers(1, 3))
def test_any_length_and_batch(samples: int, batch: int) -> None:
    model = RSVM(SIZES, RSVMSettings(attention=AttentionSettings(heads=2, width=4)), 8000, 64)
    waveform = torch.randn(batch, samples)
    coefficients = model.encode(waveform)
    assert coefficients.shape == (batch, 6, frame_count(samples, 8))
    assert (coefficients >= 0).all()
    assert model(waveform).shape == waveform.shape


def test_items_of_a_batch_do_not_touch_each_other() -> None:
    model = RSVM(SIZES, RSVMSettings(attention=AttentionSettings(heads=2, width=4)), 8000, 64)
    waveform = torch.randn(3, 64)
    alone = torch.cat([model(item[None]) for item in waveform])
    assert torch.allclose(model(waveform), alone, atol=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)), min_size=1, max_size=20))
def test_mask_is_binary_and_follows_the_ratio(pairs: list[tuple[float, float]]) -> None:
    vocals, accompaniment = (
        torch.tensor(side, dtype=torch.float64) for side in zip(*pairs, strict=True)
    )
    mask = binary_mask(vocals, accompaniment)
    for bit, (numerator, denominator) in zip(mask.tolist(), pairs, strict=True):
        # 0/0 is NaN and counts as 0; anything else over 0 is infinite.
        expected = numerator > 0 if denominator == 0 else numerator / denominator > 0.5
        assert bit == float(expected)


def test_dropout_is_constant_over_time_and_off_in_evaluation() -> None:
    dropout = ChannelDropout(RSVMSettings(dropout=0.4))
    coefficients = torch.ones(4, 50, 9)
    dropped = dropout.train()(coefficients)
    assert (dropped == dropped[:, :, :1]).all()
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    assert not torch.equal(dropped[0], dropped[1])
    assert not torch.equal(dropped, dropout(coefficients))
    assert dropout.eval()(coefficients) is coefficients


def test_the_controls_of_dropout() -> None:
    coefficients = torch.ones(4, 50, 9)
    ordinary = ChannelDropout(RSVMSettings(dropout=0.4, dropout_kind="elementwise"))
    dropped = ordinary.train()(coefficients)
    assert (dropped != dropped[:, :, :1]).any()
    assert ordinary.eval()(coefficients) is coefficients
    monte_carlo = ChannelDropout(RSVMSettings(dropout=0.4, dropout_at_test=True)).eval()
    assert not torch.equal(monte_carlo(coefficients), monte_carlo(coefficients))


@pytest.mark.parametrize("place", ["between", "after"])
def test_where_attention_and_dropout_stand(place: Literal["between", "after"]) -> None:
    attention = AttentionSettings(heads=2, width=4, gate=0.7)
    variant = RSVMSettings(attention=attention, dropout=0.5, place=place)
    encoder = Encoder(SIZES, variant).train()
    waveform = torch.randn(3, 800)
    torch.manual_seed(5)
    found = encoder(waveform)
    # Restated by PyTorch's own operations.
    framed = pad(waveform[:, None], padding(800, 32, 8))
    frames = conv1d(framed, encoder.conv_a1.weight, stride=8)

    def in_context(x: torch.Tensor) -> torch.Tensor:
        return x + conv1d(x, encoder.conv_a2.weight, padding=20, dilation=10)

    def added(x: torch.Tensor) -> torch.Tensor:
        assert isinstance(encoder.attention, FrameAttention)
        torch.manual_seed(5)
        return encoder.attention(x) * torch.bernoulli(torch.full((3, 6, 1), 0.5)) / 0.5

    whole = in_context(added(frames)) if place == "between" else added(in_context(frames))
    assert found.shape == whole.shape
    assert (found == 0).any() and (found > 0).any()
    assert torch.allclose(found, torch.relu(whole), atol=1e-5)


def test_the_control_of_attention_has_as_many_weights() -> None:
    counts = [
        sum(weight.numel() for weight in part.parameters())
        for part in (
            FrameAttention(80, AttentionSettings(heads=4, width=16)),
            FrameConvolution(80, ConvolutionSettings(width=16)),
        )
    ]
    assert counts[0] == counts[1]
    control = FrameConvolution(6, ConvolutionSettings(width=4))
    before, after = torch.zeros(1, 6, 11), torch.zeros(1, 6, 11)
    after[:, :, 9] = 1
    change = (control(after) - control(before)).abs().sum((0, 1))
    assert (change[:8] == 0).all()
    assert (change[8:] > 0).all()


def test_attention_agrees_with_pytorchs_module() -> None:
    heads, channels, width = 2, 6, 6
    ours = FrameAttention(channels, AttentionSettings(heads=heads, width=width, gate=0.7))
    theirs = torch.nn.MultiheadAttention(channels, heads, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.project_in.weight)
        theirs.out_proj.weight.copy_(ours.project_out.weight)
    frames = torch.randn(3, 11, channels)
    expected = frames + 0.7 * theirs(frames, frames, frames)[0]
    assert torch.allclose(ours(frames.transpose(1, 2)).transpose(1, 2), expected, atol=1e-5)


def test_attention_without_position_does_not_see_the_order() -> None:
    frames = torch.randn(2, 6, 11)
    order = torch.randperm(11)
    plain = FrameAttention(6, AttentionSettings(heads=2, width=4))
    assert torch.allclose(plain(frames)[:, :, order], plain(frames[:, :, order]), atol=1e-5)
    placed = FrameAttention(6, AttentionSettings(heads=2, width=4, position="sinusoidal"))
    assert not torch.allclose(placed(frames)[:, :, order], placed(frames[:, :, order]), atol=1e-3)


def test_sinusoidal_position_starts_with_zeros_and_ones() -> None:
    table = sinusoidal_position(5, 7, torch.zeros(1))
    assert table.shape == (5, 7)
    assert table[0].tolist() == [0, 0, 0, 0, 1, 1, 1]


def test_a_frozen_model_gives_the_same_output_and_needs_no_gradient() -> None:
    model = RSVM(SIZES, RSVMSettings(dropout=0.5), 8000, 64)
    waveform = torch.randn(2, 64)
    expected = model.eval()(waveform).detach()
    separator = as_separator(model)
    assert torch.equal(separator.reconstruct(waveform[:, None]), expected[:, None])
    assert not any(weight.requires_grad for weight in model.parameters())


def test_sinkhorn_against_plain_iterations() -> None:
    coefficients = torch.rand(2, 5, 7, dtype=torch.float64) * 3
    shifted = coefficients + 1 / 5
    normalized = shifted / shifted.sum(2, keepdim=True)
    cost = torch.stack(
        [
            torch.stack(
                [
                    torch.stack([(item[:, i] - item[:, j]).abs().sum() for j in range(7)])
                    for i in range(7)
                ]
            )
            for item in normalized
        ]
    ).mean(0)
    kernel = torch.exp(-cost / 0.4)
    row, column = torch.ones(7).double(), torch.ones(7).double()
    for _ in range(2000):
        row = (1 / 7) / (kernel @ column)
        column = (1 / 7) / (kernel.T @ row)
    expected = (row[:, None] * kernel * column[None, :] * cost).sum()
    assert torch.allclose(sinkhorn_distance(coefficients, 1, 0.4), expected, rtol=1e-5)


def test_side_information_does_not_vary_where_dropout_stays_on() -> None:
    variant = RSVMSettings(dropout=0.4, dropout_at_test=True)
    separator = as_separator(build_model(SIZES, variant, 8000, 64, 0))
    mixture, vocals = torch.randn(2, 2, 1, 64)
    masks = [separator.side(mixture, vocals) for _ in range(2)]
    assert torch.equal(*masks)
    estimates = [separator.separate(mixture, masks[0]) for _ in range(2)]
    assert not torch.equal(*estimates)
