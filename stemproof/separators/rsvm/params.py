"""Settings of RSVM's family: the section ``rsvm``, and an entry of kind ``rsvm``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from stemproof.core.params import Name, Section


class Sizes(Section):
    """Sizes shared by every variant."""

    channels: int = Field(default=800, ge=1, le=16_384)
    kernel: int = Field(default=2048, ge=2, le=65_536)
    hop: int = Field(default=256, ge=1, le=65_536)

    @model_validator(mode="after")
    def _frames_overlap(self) -> Sizes:
        if self.hop > self.kernel:
            raise ValueError(f"hop = {self.hop} must be at most kernel = {self.kernel}")
        return self


class Recipe(Section):
    """The training recipe, shared by every variant."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1, le=65_536)
    learning_rate: float = Field(gt=0, le=1)
    noise: float = Field(ge=0, le=1)
    regularizer: Literal["tv", "sinkhorn"]
    regularizer_weight: float = Field(ge=0, le=1000)
    sinkhorn_p: int = Field(ge=1, le=2)
    sinkhorn_entropy: float = Field(gt=0, le=1000)


class FamilyParams(Section):
    """The section ``rsvm``: what all variants have in common."""

    sizes: Sizes
    training: Recipe


class AttentionSettings(Section):
    """Multi-head self-attention over frames."""

    heads: int = Field(default=4, ge=1, le=64)
    width: int = Field(default=256, ge=1, le=16_384)
    gate: float = Field(default=1.0, ge=-10, le=10)
    position: Literal["none", "sinusoidal"] = "none"

    @model_validator(mode="after")
    def _heads_share_width(self) -> AttentionSettings:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} must be a multiple of heads = {self.heads}")
        return self


class ConvolutionSettings(Section):
    """A residual convolution in the place of attention: the control of equal size.

    Attributes:
        width: channels between its two convolutions.
        gate: initial value of the learned factor on its branch.
    """

    width: int = Field(default=256, ge=1, le=16_384)
    gate: float = Field(default=1.0, ge=-10, le=10)


class AdversarialSettings(Section):
    """Adversarial training: PGD on the mixture inside every training step (Madry et al., 2018)."""

    eps: float = Field(default=0.003, ge=0, le=1)
    steps: int = Field(default=1, ge=1, le=1000)
    step_size: float = Field(default=1.0, gt=0, le=10)
    weight: float = Field(default=1.0, gt=0, le=1000)


class PublishedSettings(Section):
    """A pair of checkpoints that the authors of RSVM published.

    The hash is of both files, so that a file that has changed is not taken for the same system.

    Attributes:
        identity: ID in the files' names, ``published/analysis_ID.pytorch`` and
            ``published/synthesis_ID.pytorch``.
        sha256: of both files; where it is not theirs, the error says what they have.
    """

    identity: Name
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class RSVMSettings(Section):
    """What sets one variant apart from the published RSVM."""

    attention: AttentionSettings | None = None
    convolution: ConvolutionSettings | None = None
    dropout: float = Field(default=0.0, ge=0, le=0.9)
    dropout_kind: Literal["variational", "elementwise"] = "variational"
    dropout_at_test: bool = False
    place: Literal["between", "after"] = "between"
    regularizer: Literal["tv", "sinkhorn"] | None = None
    adversarial: AdversarialSettings | None = None
    published: PublishedSettings | None = None

    @model_validator(mode="after")
    def _control_replaces_attention(self) -> RSVMSettings:
        if self.attention and self.convolution:
            raise ValueError("convolution is the control for attention; name one of them")
        if self.dropout_at_test and self.dropout == 0:
            raise ValueError("dropout_at_test needs dropout above 0")
        return self

    @model_validator(mode="after")
    def _published_is_plain(self) -> RSVMSettings:
        plain = RSVMSettings.model_fields
        changed = [key for key, value in self if value != plain[key].default]
        if self.published and len(changed) > 1:
            raise ValueError("a published model is not trained: it has no other settings")
        return self
