"""Settings of an entry of kind ``openunmix``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from stemproof.core.params import Section


class NetworkSettings(Section):
    """The transform, and sizes of the network that is trained here.

    The geometry is that of the published models; they have 512 units and 3 layers.

    Attributes:
        n_fft: samples of a frame.
        n_hop: samples between frames.
        bandwidth: highest frequency that the network hears, in Hz; it masks all of them.
        hidden_size: units.
        nb_layers: of the LSTM.
    """

    n_fft: int = Field(default=4096, ge=4, le=65_536, multiple_of=2)
    n_hop: int = Field(default=1024, ge=1, le=32_768)
    bandwidth: float = Field(default=16_000.0, gt=0, le=100_000)
    hidden_size: int = Field(default=256, ge=2, le=8192, multiple_of=2)
    nb_layers: int = Field(default=3, ge=1, le=16)

    @model_validator(mode="after")
    def _frames_overlap(self) -> NetworkSettings:
        if self.n_hop > self.n_fft // 2:
            raise ValueError(f"n_hop = {self.n_hop} must be at most half of n_fft = {self.n_fft}")
        return self


class TrainingSettings(Section):
    """The recipe.

    Attributes:
        epochs: of ``samples`` excerpts each.
        samples: excerpts an epoch.
        batch_size: excerpts a step.
        seconds: length of an excerpt.
        learning_rate: Adam's, at the start; it falls to zero as a cosine.
        weight_decay: Adam's.
    """

    epochs: int = Field(default=60, ge=1, le=10_000)
    samples: int = Field(default=1280, ge=1, le=1_000_000)
    batch_size: int = Field(default=16, ge=2, le=65_536)
    seconds: float = Field(default=3.0, gt=0, le=600)
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    weight_decay: float = Field(default=1e-5, ge=0, le=1)

    @model_validator(mode="after")
    def _has_steps(self) -> TrainingSettings:
        if self.samples < self.batch_size:
            raise ValueError(
                f"samples = {self.samples} must be at least batch_size = {self.batch_size}"
            )
        return self


class OpenUnmixSettings(Section):
    """What an entry of this kind may set.

    Attributes:
        weights: folder with a model that is ready, as the package ``openunmix`` reads it; without
            it a model for vocals is trained.
        network: sizes of the model that is trained.
        training: how it is trained.
        niter: iterations of expectation and maximization in the Wiener filter; with 0 the mixture
            is masked.
        residual: whether the filter has what no target claims as one more source.
        wiener_frames: frames that are filtered at a time.
        window: seconds of a recording that are separated at once.
    """

    weights: Path | None = None
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    niter: int = Field(default=0, ge=0, le=100)
    residual: bool = False
    wiener_frames: int = Field(default=300, ge=1, le=1_000_000)
    window: float = Field(default=60.0, ge=1, le=3600)

    @model_validator(mode="after")
    def _weights_are_not_trained(self) -> OpenUnmixSettings:
        if self.weights is not None:
            for part in ("network", "training"):
                if part in self.model_fields_set:
                    inside = sorted(getattr(self, part).model_fields_set)
                    names = ", ".join(f"{part}.{name}" for name in inside) or part
                    raise ValueError(
                        f"weights = {self.weights} is a trained model, which {names} cannot "
                        "change; leave one of the two out"
                    )
        elif self.niter and not self.residual:
            raise ValueError(
                f"niter = {self.niter} needs more sources than the vocals, for which alone a model "
                "is trained; set residual = true, or niter = 0"
            )
        return self
