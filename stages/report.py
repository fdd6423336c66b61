"""report: report/index.html and report/report.md, and the figures and plots that DVC shows."""

from common import (
    AUDITED,
    LISTENING,
    METRICS,
    PLOTS,
    REPORT,
    SYSTEM_METRICS,
    Sections,
    load_params,
    made_of,
    run,
    said_by,
)

from pathlib import Path
from typing import Any

from stemproof.attacks.broken import BreakParams
from stemproof.attacks.params import AttackSection
from stemproof.auditing.params import AuditParams
from stemproof.core.aside import written_together
from stemproof.core.documents import read_document
from stemproof.core.errors import InputError
from stemproof.core.files import write_json, write_text
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.params import Name, Systems, TrainParams
from stemproof.core.resume import drop
from stemproof.data.params import SegmentParams
from stemproof.evaluation.clips import INDEX
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.params import StatisticsParams
from stemproof.report.build import Sources, gathered, rendered, verdicts
from stemproof.report.documents import Data, MadeAudit, MadeComparison
from stemproof.report.heard import Clips
from stemproof.report.params import ReportParams
from stemproof.report.provenance import last_change
from stemproof.report.reproduce import of_run
from stemproof.report.shown import curves, figures
from stemproof.report.threats import Settings


class Needs(Sections):
    """Parameters of this stage: all, because they are printed."""

    demo: dict[str, Any]
    data: dict[str, Any]
    segments: SegmentParams
    systems: Systems
    reference: Name
    ablations: list[Name]
    own: list[Name]
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
    """Write the report from metrics, plots and clips; metrics/*.json and plots/all for DVC."""
    params = load_params(Needs)
    sources = Sources(
        systems={name: SYSTEM_METRICS / f"{name}.json" for name in params.systems},
        data=METRICS / "data.json",
        comparison=METRICS / "comparison.json",
        audit=METRICS / "audit.json",
        environment=METRICS / "environment.json",
        plots=PLOTS,
        listening=LISTENING,
    )
    recordings = read_document(sources.data, Data).get("sha256")
    compared, audited = METRICS / "environment.json", PLOTS / "audit" / "made_with.json"
    forms = ((compared, "compare", MadeComparison), (audited, "audit", MadeAudit))
    made_of("report", *(said_by(*of) for of in forms), said_by(LISTENING / INDEX, "listen", Clips))
    for file, _, form in forms:
        if read_document(file, form).get("data") != recordings:
            raise InputError(f"{file}: of other recordings than {sources.data}; run dvc repro")
    settings = Settings(
        params.attack,
        params.segments,
        params.statistics,
        params.model_dump(mode="json"),
        of_run(params, {*params.systems, *params.ablations, *params.own, params.evaluate.oracle}),
        params.train.seeds,
        params.report.audio,
        last_change(Path()),
    )
    context = gathered(settings, sources)
    with written_together():
        for name, text in rendered(context).items():
            write_text(REPORT / name, text)
        for name, of_systems in figures(sources).items():
            write_json(METRICS / f"{name}.json", of_systems)
        for name, table in curves(sources).items():
            write_text(PLOTS / "all" / f"{name}.csv", table)
    for name in params.systems:
        drop(AUDITED, name)
    print(*verdicts(context), f"report: {REPORT / 'index.html'}", sep="\n")


if __name__ == "__main__":
    run(main)
