"""The parameters of a run: ``params.yaml`` as one typed, frozen tree."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from rsvm.errors import InputError
from rsvm.files import opened

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _no_truth_values_as_numbers(cls, section: Any) -> Any:
        # Pydantic reads `true` as 1.0; in a params file it is a mistake.
        if isinstance(section, dict):
            for key, value in section.items():
                field = cls.model_fields.get(str(key))
                if isinstance(value, bool) and field and field.annotation in (int, float):
                    raise ValueError(f"{key} must be a number, not {str(value).lower()}")
        return section


class DemoParams(_Section):
    """Songs that the renderer writes."""

    seed: Seed
    train_songs: int = Field(ge=1, le=1000)
    valid_songs: int = Field(ge=1, le=14)
    test_songs: int = Field(ge=1, le=1000)
    seconds: float = Field(ge=2, le=600)


class DataParams(_Section):
    """Where the recordings are and how they are read."""

    source: Literal["demo", "musdb18", "musdb18hq"]
    root: Path
    decoder: Literal["pyav", "ffmpeg"]
    sample_rate: int = Field(ge=1000, le=192_000)


class SegmentParams(_Section):
    """How tracks are cut."""

    seconds: float = Field(gt=0, le=60)
    train_overlap: float = Field(ge=0, le=0.9)
    loud_db: float = Field(ge=-200, le=100)

    def samples(self, sample_rate: int) -> int:
        """Length of a segment in samples."""
        return round(self.seconds * sample_rate)


class ModelParams(_Section):
    """Sizes shared by every variant."""

    channels: int = Field(ge=1, le=16_384)
    kernel: int = Field(ge=2, le=65_536)
    hop: int = Field(ge=1, le=65_536)

    @model_validator(mode="after")
    def _frames_overlap(self) -> ModelParams:
        if self.hop > self.kernel:
            raise ValueError(f"hop = {self.hop} must be at most kernel = {self.kernel}")
        return self


class AttentionParams(_Section):
    """Multi-head self-attention over frames."""

    heads: int = Field(default=4, ge=1, le=64)
    width: int = Field(default=256, ge=1, le=16_384)
    gate: float = Field(default=1.0, ge=-10, le=10)
    position: Literal["none", "sinusoidal"] = "none"

    @model_validator(mode="after")
    def _heads_share_width(self) -> AttentionParams:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} must be a multiple of heads = {self.heads}")
        return self


class ConvolutionParams(_Section):
    """A residual convolution in the place of attention: the control of equal size."""

    width: int = Field(default=256, ge=1, le=16_384)
    gate: float = Field(default=1.0, ge=-10, le=10)


class AdversarialParams(_Section):
    """Adversarial training: PGD on the mixture inside every training step (Madry et al., 2018)."""

    eps: float = Field(default=0.003, ge=0, le=1)
    steps: int = Field(default=1, ge=1, le=1000)
    step_size: float = Field(default=1.0, gt=0, le=10)
    weight: float = Field(default=1.0, gt=0, le=1000)


class VariantParams(_Section):
    """What sets one system apart from the published RSVM."""

    attention: AttentionParams | None = None
    convolution: ConvolutionParams | None = None
    dropout: float = Field(default=0.0, ge=0, le=0.9)
    dropout_kind: Literal["variational", "elementwise"] = "variational"
    dropout_at_test: bool = False
    regularizer: Literal["tv", "sinkhorn"] | None = None
    adversarial: AdversarialParams | None = None
    published: Name | None = None
    stft: bool = False

    @model_validator(mode="after")
    def _control_replaces_attention(self) -> VariantParams:
        if self.attention and self.convolution:
            raise ValueError("convolution is the control for attention; name one of them")
        if self.dropout_at_test and self.dropout == 0:
            raise ValueError("dropout_at_test needs dropout above 0")
        return self

    @model_validator(mode="after")
    def _untrained_is_plain(self) -> VariantParams:
        plain = VariantParams.model_fields
        changed = [key for key, value in self if value != plain[key].default]
        if not self.is_trained and len(changed) > 1:
            raise ValueError("a published model and the STFT are not trained: no other settings")
        return self

    @property
    def is_trained(self) -> bool:
        """Whether there is something to train, so that a training seed matters."""
        return not (self.stft or self.published)


class TrainParams(_Section):
    """The training recipe."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(ge=1, le=65_536)
    learning_rate: float = Field(gt=0, le=1)
    noise: float = Field(ge=0, le=1)
    regularizer: Literal["tv", "sinkhorn"]
    regularizer_weight: float = Field(ge=0, le=1000)
    sinkhorn_p: int = Field(ge=1, le=2)
    sinkhorn_entropy: float = Field(gt=0, le=1000)
    seeds: list[Seed] = Field(min_length=1, max_length=100)

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice")
        return seeds


class AttackParams(_Section):
    """What the adversary knows, may do, and does."""

    method: Literal["pgd", "fgsm", "search", "noise", "universal", "minimal", "sparse"]
    mask: Literal["fixed", "recomputed"]
    norm: Literal["linf", "l2", "l0"]
    eps: float = Field(ge=0, le=1)
    snr: float = Field(ge=-20, le=200)
    samples: int = Field(ge=1, le=10_000_000)
    amplitude: float = Field(gt=0, le=1)
    steps: int = Field(ge=1, le=100_000)
    step_size: float = Field(gt=0, le=10)
    step_rule: Literal["constant", "decaying", "momentum", "adam", "auto"]
    random_start: bool
    restarts: int = Field(ge=1, le=1000)
    loss: Literal["si_sdr", "mse", "output_distance"]
    source: Name
    eot_samples: int = Field(ge=1, le=1000)
    queries: int = Field(ge=1, le=10_000_000)
    drop: float = Field(gt=0, le=100)
    batch: int = Field(ge=1, le=65_536)
    seed: Seed

    @property
    def has_eps(self) -> bool:
        """Whether ``eps`` bounds the perturbation; method minimal has no bound."""
        return self.norm == "linf" and self.method != "minimal"

    @model_validator(mode="after")
    def _the_clean_output_has_no_gradient(self) -> AttackParams:
        needs_start = self.method in ("pgd", "fgsm", "universal", "sparse")
        starts = self.method == "pgd" and self.random_start
        if self.loss == "output_distance" and needs_start and not starts:
            raise ValueError(
                "loss = output_distance has no gradient at the clean mixture; "
                "set random_start = true and method = pgd"
            )
        return self

    @model_validator(mode="after")
    def _method_has_it(self) -> AttackParams:
        if self.eot_samples > 1 and self.method not in ("pgd", "fgsm"):
            raise ValueError(f"eot_samples works with method = pgd or fgsm, not {self.method}")
        if self.restarts > 1 and self.method not in ("pgd", "noise"):
            raise ValueError(f"restarts works with method = pgd or noise, not {self.method}")
        if self.loss != "si_sdr" and self.method == "minimal":
            raise ValueError("method = minimal costs SI-SDR; set loss = si_sdr")
        return self

    @model_validator(mode="after")
    def _norm_fits_method(self) -> AttackParams:
        allowed = {"sparse": ("l0",), "noise": ("linf", "l2", "l0"), "universal": ("linf",)}
        norms = allowed.get(self.method, ("linf", "l2"))
        if self.norm not in norms:
            raise ValueError(
                f"method = {self.method} works with norm = {' or '.join(norms)}, not {self.norm}"
            )
        return self


class AuditParams(_Section):
    """How much is audited, and when a flag is raised."""

    segments: int = Field(ge=1, le=100_000)
    steps: list[Annotated[int, Field(ge=1, le=100_000)]] = Field(min_length=1)
    eps_factors: list[Annotated[float, Field(gt=0, le=1e6)]] = Field(min_length=6)
    queries: int = Field(ge=1, le=1_000_000)
    minimal_drops: list[Annotated[float, Field(gt=0, le=100)]]
    sparse_samples: int = Field(ge=1, le=1_000_000)
    sparse_amplitude: float = Field(gt=0, le=1)
    universal_epochs: int = Field(ge=1, le=10_000)
    noise_draws: int = Field(ge=1, le=1000)
    seeds: int = Field(ge=1, le=100)
    tolerance_db: float = Field(gt=0, le=10)
    black_box_share: float = Field(ge=0, le=1)
    zero_gradient_share: float = Field(ge=0, le=1)
    gradient_error: float = Field(ge=0, le=1)

    @field_validator("eps_factors")
    @classmethod
    def _rising(cls, factors: list[float]) -> list[float]:
        if sorted(set(factors)) != factors:
            raise ValueError("eps_factors must rise")
        return factors


class EvaluateParams(_Section):
    """Figures, controls and intervals."""

    noise_draws: int = Field(ge=1, le=1000)
    bootstrap: int = Field(ge=100, le=1_000_000)
    confidence: float = Field(gt=0, lt=1)
    bsseval: Literal["fast", "museval", "sdr", "none"]
    seed: Seed


class RuntimeParams(_Section):
    """Where and how it is computed."""

    accelerator: Literal["auto", "cpu", "cuda"]
    devices: int = Field(ge=1, le=1024)
    nodes: int = Field(ge=1, le=1024)
    precision: Literal["32-true", "tf32", "bf16-mixed", "16-mixed"]
    compile: bool
    threads: int = Field(ge=1, le=1024)
    workers: int = Field(ge=1, le=1024)
    scheduler: str = Field(pattern=r"^(none|(tcp|tls|ucx)://\S+)$")

    @property
    def workers_per_process(self) -> int:
        """What each of the processes that share this machine may start."""
        return max(1, self.workers // self.devices)


class Params(_Section):
    """The whole of ``params.yaml``."""

    demo: DemoParams
    data: DataParams
    segments: SegmentParams
    model: ModelParams
    variants: dict[Name, VariantParams]
    ablations: list[Name]
    train: TrainParams
    attack: AttackParams
    evaluate: EvaluateParams
    audit: AuditParams
    runtime: RuntimeParams

    @field_validator("variants")
    @classmethod
    def _both_systems(cls, variants: dict[str, VariantParams]) -> dict[str, VariantParams]:
        if "index" in variants:
            raise ValueError("`index` names a file of the metrics; give the variant another name")
        for name in ("baseline", "improved"):
            if name not in variants:
                raise ValueError(f"`{name}` must be among the variants")
        return variants

    @model_validator(mode="after")
    def _names_are_variants(self) -> Params:
        for name in self.ablations:
            if name not in self.variants:
                raise ValueError(
                    f"ablations names `{name}`, which is not under variants ({self._known})"
                )
            if name in ("baseline", "improved"):
                raise ValueError(f"ablations names `{name}`, which has a stage of its own")
        if len(set(self.ablations)) < len(self.ablations):
            raise ValueError("ablations names a variant twice")
        if self.attack.source not in ("self", *self.systems):
            raise ValueError(
                f"attack.source = {self.attack.source} must be self or one of "
                + ", ".join(self.systems)
            )
        if self.data.source == "demo" and self.data.sample_rate != 44_100:
            raise ValueError(
                f"data.sample_rate = {self.data.sample_rate}, but demo songs are rendered at 44100"
            )
        if self.segments.samples(self.data.sample_rate) < 2:
            raise ValueError("segments.seconds is shorter than two samples")
        for key, count in (
            ("attack.samples", self.attack.samples),
            ("audit.sparse_samples", self.audit.sparse_samples),
        ):
            if count > self.segment_samples:
                raise ValueError(f"{key} = {count}, but a segment has {self.segment_samples}")
        return self

    @property
    def _known(self) -> str:
        return ", ".join(self.variants)

    @property
    def systems(self) -> list[str]:
        """The variants that are trained, attacked, evaluated and reported, in table order."""
        return ["baseline", "improved", *self.ablations]

    def seeds_of(self, variant: str) -> list[int]:
        """The training seeds of a variant; one that is not trained has the first one only."""
        seeds = self.train.seeds
        return seeds if self.variant(variant).is_trained else seeds[:1]

    @property
    def models(self) -> list[tuple[str, int]]:
        """Every model as (variant, training seed), in table order."""
        return [(name, seed) for name in self.systems for seed in self.seeds_of(name)]

    @property
    def segment_samples(self) -> int:
        """Length of a segment in samples."""
        return self.segments.samples(self.data.sample_rate)

    def variant(self, name: str) -> VariantParams:
        """The settings of one variant.

        Raises:
            InputError: there is none of that name.
        """
        if name not in self.variants:
            raise InputError(f"unknown variant `{name}`; params.yaml has {self._known}")
        return self.variants[name]


SUBSECTIONS: dict[str, type[BaseModel]] = {
    "attention": AttentionParams,
    "convolution": ConvolutionParams,
    "adversarial": AdversarialParams,
}


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a parameter file.

    Raises:
        InputError: the file is missing, not YAML, or a parameter is not allowed; the message
            names every offending key, its value and what is allowed. Or it cannot be read.
    """
    with opened(path, "no such file; run from the project's root") as stream:
        text = stream.read().decode()
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML ({error}); correct it") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a mapping of sections was expected; restore the file")
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        problems = "; ".join(_explain(problem) for problem in error.errors())
        raise InputError(f"{path}: {problems}") from None


def _explain(problem: Any) -> str:
    """One pydantic problem as 'key = value: what is allowed'."""
    keys = [str(part) for part in problem["loc"]]
    key = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(keys[-1], _known_keys(keys[:-1]), n=1)
        hint = f", did you mean `{close[0]}`?" if close else ""
        return f"unknown parameter {key}{hint}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    return f"{key} = {problem['input']!r} is not allowed: {message}"


def _known_keys(section: list[str]) -> list[str]:
    model: type[BaseModel] = Params
    for part in section:
        if part == "variants":
            model = VariantParams
        elif part in SUBSECTIONS:
            model = SUBSECTIONS[part]
        elif part in model.model_fields:
            annotation = model.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return list(model.model_fields)
