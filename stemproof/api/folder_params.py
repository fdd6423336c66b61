"""How much is measured of a folder of songs: sections of the pipeline, with other defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stemproof.attacks.broken import BreakParams
from stemproof.attacks.params import AttackParams, AttackSection
from stemproof.auditing.params import AuditParams, Suite
from stemproof.data.params import SegmentParams
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.params import StatisticsParams

# What a person waits for: of the pipeline's audit, the checks that find most.
SHORT = Suite(
    segments=1,
    steps=[],
    rules=["decaying", "auto"],
    losses=["si_sdr", "output_distance"],
    eps_factors=[0.1, 1.0, 10.0, 100.0],
    queries=20,
    noise_draws=1,
    minimal_drops=[],
    sparse_samples=0,
    universal_epochs=0,
)
SEGMENTS = 6  # of an informed system, of which one is short


def _short() -> AuditParams:
    return AuditParams(**{**dict(SHORT), "segments": SEGMENTS}, excerpts=SHORT)


@dataclass(frozen=True)
class FolderParams:
    """Parameters of all that is measured.

    Attributes:
        attack: budget and method.
        breaks: the search for break points.
        evaluate: controls.
        statistics: intervals.
        audit: the suite, and when a flag is raised.
        cut: segments that figures are computed on.
    """

    attack: AttackParams = field(default_factory=AttackSection)
    breaks: BreakParams = field(default_factory=lambda: BreakParams(per_track=1))
    evaluate: EvaluateParams = field(default_factory=lambda: EvaluateParams(bsseval="none"))
    statistics: StatisticsParams = field(default_factory=StatisticsParams)
    audit: AuditParams = field(default_factory=_short)
    cut: SegmentParams = field(default_factory=SegmentParams)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        sections = ("attack", "breaks", "evaluate", "statistics", "audit")
        found = {name: getattr(self, name).model_dump(mode="json") for name in sections}
        return {**found, "segments": self.cut.model_dump(mode="json")}
