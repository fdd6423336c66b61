"""Not a stage of the DAG: write what the last run found as claims, under results/."""

from pathlib import Path
from typing import Annotated

from typer import Option

from common import METRICS, PARAMS, PREPARED, adversarial_folder, metrics_file, model_file, run
from common import crafting_model as crafted_by
from stemproof.attacks.generate import checked_adversarials
from stemproof.report.claims import Data, check_run, code_commit, make_claim
from stemproof.data.store import PreparedData
from stemproof.core.files import read_json, sha256, write_text
from stemproof.params import load_params

RESULTS = Path("results")


def main(
    name: Annotated[str, Option(help="folder under results/, for instance musdb18-7")],
) -> None:
    """Write results/NAME/<variant>.json for every system of the run in this folder."""
    params = load_params(PARAMS)
    commit = code_commit(Path())
    check_run(params, Path())
    prepared = PreparedData(PREPARED)
    for variant, seed in params.models:  # refuses what was made with other parameters
        crafted_with = sha256(model_file(*crafted_by(params, variant, seed)))
        checked_adversarials(adversarial_folder(variant, seed), params, prepared, crafted_with)
    comparison, audits = read_json(METRICS / "comparison.json"), read_json(METRICS / "audit.json")
    for variant in params.systems:
        metrics = read_json(metrics_file(variant))
        claim = make_claim(
            params,
            variant,
            metrics,
            comparison,
            audits[variant],
            Data(
                source=params.data.source,
                sha256=prepared.fingerprint,
                test_tracks=metrics["n_tracks"],
                test_segments=metrics["n_segments"],
            ),
            read_json(METRICS / "environment.json"),
            commit,
        )
        path = RESULTS / name / f"{variant}.json"
        write_text(path, claim.model_dump_json(indent=2) + "\n")
        print(path)


if __name__ == "__main__":
    run(main)
