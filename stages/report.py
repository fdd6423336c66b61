"""report: report/index.html and report/report.md."""

from common import METRICS, PARAMS, PLOTS, REPORT, metrics_file, run
from stemproof.core.files import write_text
from stemproof.params import load_params
from stemproof.report.build import Sources, build_report


def main() -> None:
    """Write the report from metrics and plots."""
    params = load_params(PARAMS)
    sources = Sources(
        metrics={name: metrics_file(name) for name in params.systems},
        data=METRICS / "data.json",
        comparison=METRICS / "comparison.json",
        audit=METRICS / "audit.json",
        environment=METRICS / "environment.json",
        plots=PLOTS,
    )
    for name, text in build_report(params, sources).items():
        write_text(REPORT / name, text)


if __name__ == "__main__":
    run(main)
