"""Not a stage of the DAG: write what the last run found as claims, under results/."""

from common import METRICS, PREPARED, SYSTEM_METRICS, Sections, load_params, run

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from stemproof.attacks.params import AttackSection
from stemproof.core.documents import read_document
from stemproof.core.files import write_text
from stemproof.core.params import Systems, read_tree
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.figures.documents import Comparison, SystemMetrics
from stemproof.figures.params import StatisticsParams
from stemproof.report.claims import Data, Run, make_claim
from stemproof.report.documents import Audits, ComputedWith, check_one_run
from stemproof.report.provenance import check_run, code_commit
from stemproof.report.words import threat_in_words

RESULTS = Path("results")


class Needs(Sections):
    """Parameters of this command."""

    data: dict[str, Any]
    segments: SegmentParams
    systems: Systems
    attack: AttackSection
    statistics: StatisticsParams


def main(
    name: Annotated[str, Option(help="folder under results/, for instance musdb18-7")],
) -> None:
    """Write results/NAME/SYSTEM.json for every system of the run in this folder.

    Reads params.yaml, metrics, data/prepared and what the run was made of.

    Example: python stages/claim.py --name musdb18-7
    """
    params = load_params(Needs)
    commit = code_commit(Path())
    check_run(Path(), Path(params.data["root"]))
    prepared = PreparedData(PREPARED)
    comparison = read_document(METRICS / "comparison.json", Comparison)
    audits = read_document(METRICS / "audit.json", Audits)
    environment = read_document(METRICS / "environment.json", ComputedWith)["environment"]
    found = {
        system: read_document(SYSTEM_METRICS / f"{system}.json", SystemMetrics)
        for system in params.systems
    }
    check_one_run(
        [{"name": name, **metrics} for name, metrics in found.items()],
        {name: audits[name] for name in params.systems if name in audits},
        comparison,
        (METRICS / "audit.json", METRICS / "comparison.json"),
    )
    for system, metrics in found.items():
        data = Data(
            source=prepared.source,
            sha256=prepared.fingerprint,
            test_tracks=metrics["n_tracks"],
            test_segments=metrics["n_segments"],
        )
        about = Run(
            parameters=read_tree(),
            threat_model=threat_in_words(
                params.attack,
                params.segments,
                metrics["informed"],
                metrics["gate"],
                metrics["perturbation_snr"],
            ),
            attack=params.attack.model_dump(mode="json"),
            eps=params.attack.eps if params.attack.has_eps else None,
            confidence=params.statistics.confidence,
            data=data,
            environment=environment,
            git_commit=commit,
        )
        claim = make_claim(about, system, metrics, comparison, audits[system])
        path = RESULTS / name / f"{system}.json"
        write_text(path, claim.model_dump_json(indent=2) + "\n")
        print(path)


if __name__ == "__main__":
    run(main)
