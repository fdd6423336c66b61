"""report: report/index.html and report/report.md."""

from pathlib import Path
from typing import Any

from common import LISTENING, METRICS, PLOTS, REPORT, SYSTEM_METRICS, Sections, load_params, run
from stemproof.attacks.broken import BreakParams
from stemproof.attacks.params import AttackSection
from stemproof.auditing.params import AuditParams
from stemproof.core.errors import InputError
from stemproof.core.files import read_json, write_text
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.params import Name, Systems, TrainParams, first_difference
from stemproof.data.params import SegmentParams
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.params import StatisticsParams
from stemproof.report.build import Sources, build_report
from stemproof.report.params import ReportParams
from stemproof.report.provenance import last_change
from stemproof.report.reproduce import of_run
from stemproof.report.threats import Settings


class Needs(Sections):
    """Parameters of this stage: all, because they are printed."""

    demo: dict[str, Any]
    data: dict[str, Any]
    segments: SegmentParams
    systems: Systems
    reference: Name
    ablations: list[Name]
    train: TrainParams
    separators: dict[str, Any]
    rsvm: dict[str, Any]
    attack: AttackSection
    breaks: BreakParams
    evaluate: EvaluateParams
    statistics: StatisticsParams
    audit: AuditParams
    report: ReportParams
    runtime: RuntimeParams
    processes: ProcessParams


def main() -> None:
    """Write the report from metrics, plots and clips."""
    params = load_params(Needs)
    shown = params.model_dump(mode="json")
    sources = Sources(
        systems={name: SYSTEM_METRICS / f"{name}.json" for name in params.systems},
        data=METRICS / "data.json",
        comparison=METRICS / "comparison.json",
        audit=METRICS / "audit.json",
        environment=METRICS / "environment.json",
        plots=PLOTS,
        listening=LISTENING,
    )
    for file, stage in (
        (METRICS / "environment.json", "compare"),
        (PLOTS / "audit" / "made_with.json", "audit"),
    ):
        made_with = read_json(file)["made_with"]
        difference = first_difference(made_with, {key: shown[key] for key in made_with})
        if difference:
            raise InputError(f"{file}: made with {difference}; run {stage} again")
    settings = Settings(
        params.attack,
        params.segments,
        params.statistics,
        shown,
        of_run(params, {*params.systems, *params.ablations, params.evaluate.oracle}),
        params.train.seeds,
        params.report.audio,
        last_change(Path()),
    )
    for name, text in build_report(settings, sources).items():
        write_text(REPORT / name, text)


if __name__ == "__main__":
    run(main)
