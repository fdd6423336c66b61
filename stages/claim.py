"""Not a stage of the DAG: write what a run found as claims, under results/."""

from common import LOCKS, METRICS, Sections, load_params, run

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from stemproof.attacks.params import AttackSection
from stemproof.core.arguments import checked_name
from stemproof.core.documents import read_document
from stemproof.core.errors import InputError
from stemproof.core.files import write_text
from stemproof.core.locks import only_run
from stemproof.core.params import PARAMS, Systems, read_tree
from stemproof.data.params import SegmentParams
from stemproof.figures.documents import Comparison, SystemMetrics
from stemproof.figures.params import StatisticsParams
from stemproof.report.checking import checked
from stemproof.report.claims import Data, Run, make_claim
from stemproof.report.documents import Audits, MadeComparison, check_one_run
from stemproof.report.provenance import check_run, code_commit, known_commit, sealed_parameters
from stemproof.report.words import threat_in_words


class Needs(Sections):
    """Parameters of this command."""

    data: dict[str, Any]
    segments: SegmentParams
    systems: Systems
    attack: AttackSection
    statistics: StatisticsParams


def main(
    name: Annotated[str, Option(help="folder under results/, for instance musdb18-7")],
    stored: Annotated[
        Path | None, Option(help="params.yaml, metrics and plots of a run without DVC")
    ] = None,
    commit: Annotated[str | None, Option(help="the commit that the stored run was made at")] = None,
) -> None:
    """Write results/NAME/SYSTEM.json for every system of this folder's run, or of a stored one.

    Of this folder DVC says whether figures come from parameters, data and code. Of a stored run its
    seals do, but for the code; such a claim says so.

    Example: python stages/claim.py --name musdb18-7
    """
    results = Path("results") / checked_name(name, "--name")
    if (stored is None) != (commit is None):
        raise InputError("--stored and --commit go together; give both or neither")
    folder = stored or Path()
    parameters = read_tree() if stored is None else sealed_parameters(folder)
    params = load_params(Needs, folder / PARAMS)
    if commit is None:
        commit = code_commit(folder)
        check_run(folder, Path(params.data["root"]))
    else:
        commit = known_commit(Path(), commit, parameters)
    metrics = folder / METRICS
    comparison = read_document(metrics / "comparison.json", Comparison)
    audits = read_document(metrics / "audit.json", Audits)
    made = read_document(metrics / "environment.json", MadeComparison)
    found = {
        system: read_document(metrics / f"systems/{system}.json", SystemMetrics)
        for system in params.systems
    }
    check_one_run(
        [{"name": name, **metrics} for name, metrics in found.items()],
        {name: audits[name] for name in params.systems if name in audits},
        comparison,
        (metrics / "audit.json", metrics / "comparison.json"),
    )
    claims = {}
    for system, own in found.items():
        about = Run(
            parameters=parameters,
            threat_model=threat_in_words(
                params.attack,
                params.segments,
                own["informed"],
                own["gate"],
                own["perturbation_snr"],
            ),
            attack=params.attack.model_dump(mode="json"),
            eps=params.attack.eps if params.attack.has_eps else None,
            confidence=params.statistics.confidence,
            data=Data(
                source=params.data["source"],
                sha256=made["data"],
                test_tracks=own["n_tracks"],
                test_segments=own["n_segments"],
            ),
            environment=made["environment"],
            git_commit=commit,
            recorded=None if stored is None else "seals",
        )
        claims[system] = checked(make_claim(about, system, own, comparison, audits[system]))
    with only_run(LOCKS, "claims of", name):  # also of runs that stand in different folders
        for system, claim in claims.items():
            path = results / f"{system}.json"
            write_text(path, claim.model_dump_json(indent=2) + "\n")
            print(path)


if __name__ == "__main__":
    run(main)
