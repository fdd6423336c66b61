"""The section ``attack``: what the adversary knows, may do, and does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model, field_validator, model_validator

from stemproof.attacks.budgets import Bound, Norm
from stemproof.attacks.objectives import OBJECTIVES
from stemproof.attacks.protocol import Method
from stemproof.attacks.registry import METHODS
from stemproof.core.params import Section, Seed


class AttackParams(Section):
    """What every attack has; each method's own settings stand in a section of its name."""

    method: str = "pgd"
    mask: Literal["fixed", "recomputed"] = "fixed"
    norm: Norm = "linf"
    eps: float = Field(default=0.003, ge=0, le=1)
    snr: float = Field(default=30.0, ge=-20, le=200)
    samples: int = Field(default=100, ge=1, le=10_000_000)
    amplitude: float = Field(default=0.1, gt=0, le=1)
    rendered: bool = False
    excerpt: float | None = Field(default=None, ge=0.1, le=36_000)
    loss: str = "si_sdr"
    restarts: int = Field(default=1, ge=1, le=1000)
    without_gradient: list[str] = Field(default=["search"], min_length=1)
    eot_samples: int = Field(default=1, ge=1, le=1000)
    batch: int = Field(default=16, ge=1, le=65_536)
    seed: Seed = 0

    @property
    def of_method(self) -> Method:
        """The entry of the registry that ``method`` names."""
        return METHODS[self.method]

    @property
    def bound(self) -> Bound:
        """How large a perturbation may be."""
        return Bound(
            self.norm,
            self.eps,
            self.snr,
            self.samples,
            self.amplitude,
            bounded=self.of_method.bounded,
        )

    @property
    def has_eps(self) -> bool:
        """Whether ``eps`` bounds the perturbation."""
        return self.norm == "linf" and self.of_method.bounded

    @property
    def settings(self) -> Any:
        """The own settings of the method that is chosen."""
        return getattr(self, self.method)

    @model_validator(mode="after")
    def _names_are_known(self) -> AttackParams:
        if self.method not in METHODS:
            raise ValueError(f"method = {self.method} must be one of {', '.join(METHODS)}")
        if self.loss not in OBJECTIVES:
            raise ValueError(f"loss = {self.loss} must be one of {', '.join(OBJECTIVES)}")
        return self

    @field_validator("without_gradient")
    @classmethod
    def _they_need_none(cls, names: list[str]) -> list[str]:
        able = [name for name, method in METHODS.items() if "gradient" not in method.needs]
        for name in names:
            if name not in able:
                raise ValueError(f"{name} must be one of {', '.join(able)}")
        return names

    @model_validator(mode="after")
    def _method_can_do_it(self) -> AttackParams:
        method = self.of_method
        if self.norm not in method.norms:
            raise ValueError(
                f"method = {self.method} works with norm = {' or '.join(method.norms)}, "
                f"not {self.norm}"
            )
        if method.losses and self.loss not in method.losses:
            raise ValueError(
                f"method = {self.method} works with loss = {' or '.join(method.losses)}"
            )
        if self.restarts > 1 and not method.restarts:
            raise ValueError(
                f"another run of method = {self.method} finds nothing else; set restarts = 1"
            )
        starts = getattr(self.settings, "random_start", False)
        if self.loss == "output_distance" and "start" in method.needs and not starts:
            raise ValueError(
                "loss = output_distance has no gradient at the clean mixture; "
                "set method = pgd and pgd.random_start = true"
            )
        return self


if TYPE_CHECKING:
    AttackSection = AttackParams
else:
    # With a section a method: a method that is added brings its own.
    AttackSection = create_model(
        "AttackSection",
        __base__=AttackParams,
        __module__=__name__,
        **{name: (m.settings, Field(default_factory=m.settings)) for name, m in METHODS.items()},
    )
