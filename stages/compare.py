"""compare: the systems side by side, over their training seeds."""

from common import (
    ASIDE,
    EVALUATED,
    METRICS,
    MODEL_METRICS,
    PLOTS,
    SYSTEM_METRICS,
    Sections,
    forget,
    load_params,
    made_of,
    run,
    run_by_dvc,
    said_by,
    scored_folder,
)

from stemproof.attacks.broken import BreakParams
from stemproof.attacks.params import AttackSection
from stemproof.core.errors import InputError
from stemproof.core.files import write_json, write_text
from stemproof.core.made_with import MADE_WITH
from stemproof.core.ownership import refuse_strangers, renewed, set_aside
from stemproof.core.params import Name, Systems, TrainParams
from stemproof.core.seals import write_sealed
from stemproof.data.params import SegmentParams
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.closing import of_systems
from stemproof.figures.compare import compare_threats
from stemproof.figures.documents import ModelFigures
from stemproof.figures.params import StatisticsParams
from stemproof.figures.store import FIGURES, of_one_data_set, read_scored
from stemproof.figures.summary import summarize


class Needs(Sections):
    """Parameters of this stage; those of others are held against what was made with them."""

    systems: Systems
    reference: Name
    train: TrainParams
    segments: SegmentParams
    attack: AttackSection
    breaks: BreakParams
    evaluate: EvaluateParams
    statistics: StatisticsParams


def main() -> None:
    """Write metrics/systems, metrics/comparison.json and plots of every system."""
    params = load_params(Needs)
    if params.reference not in params.systems:
        raise InputError(
            f"reference = {params.reference} must be one of systems ({', '.join(params.systems)})"
        )
    made_with = {
        name: getattr(params, name).model_dump(mode="json")
        for name in ("segments", "attack", "breaks", "evaluate")
    }
    written = {SYSTEM_METRICS: [f"{name}.json" for name in params.systems]}
    tables_of = [f"{name}.csv" for name in params.systems]
    written |= {PLOTS / part: tables_of for part in ("tracks", "curves", "attack")}
    # What can be refused is refused before anything is computed.
    for folder, files in written.items():
        refuse_strangers(folder, files)
    seeds = params.train.seeds
    if run_by_dvc():
        # What an earlier run left of systems that are no longer asked for.
        wanted = {(name, seed) for name in params.systems for seed in seeds}
        set_aside(MODEL_METRICS, wanted, ASIDE, FIGURES)
    results = {
        name: read_scored([scored_folder(name, seed) for seed in seeds], made_with, name)
        for name in params.systems
    }
    of_one_data_set(results)
    folders = [folder for models in results.values() for folder in models.folders]
    made = made_of(
        "compare", *(said_by(folder / FIGURES, "evaluate", ModelFigures) for folder in folders)
    )
    systems = {name: models.scored for name, models in results.items()}
    informed = {name: models.about["informed"] for name, models in results.items()}
    comparison = compare_threats(systems, informed, params.reference, params.statistics)
    # Not among DVC's metrics: it would drown them.
    first = next(iter(results.values()))
    about = {"environment": first.environment, "data": first.data, MADE_WITH: made}
    summaries = {
        name: {**summarize(models.scored, params.statistics), **models.about}
        for name, models in results.items()
    }
    with renewed(written):
        for name, models in results.items():
            write_json(SYSTEM_METRICS / f"{name}.json", summaries[name])
            for plot, text in models.tables().items():
                write_text(PLOTS / plot / f"{name}.csv", text)
        write_json(METRICS / "comparison.json", comparison)
        sealed = [folder / file for folder, parts in written.items() for file in parts]
        write_sealed(METRICS / "environment.json", about, [METRICS / "comparison.json", *sealed])
    for name in params.systems:
        for seed in seeds:
            forget("evaluate", name, seed, EVALUATED)
    print(*of_systems(summaries), sep="\n")


if __name__ == "__main__":
    run(main)
