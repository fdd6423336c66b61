"""train-baseline, train-improved, train-ablation: one system with one training seed."""

from typing import Annotated

from typer import Option

from common import CHECKPOINTS, METRICS, PLOTS, PREPARED, Sections, load_params, model_file, run
from stemproof.core.aside import written_together
from stemproof.core.files import write_csv, write_json
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.resume import begun, drop, finished
from stemproof.core.runtime import make_fabric
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.separators.checkpoint import save
from stemproof.separators.kind import Making, described
from stemproof.separators.registry import Entries, entry
from stemproof.separators.rsvm.params import FamilyParams


class Needs(Sections):
    """Parameters of this stage."""

    segments: SegmentParams
    separators: Entries
    rsvm: FamilyParams
    runtime: RuntimeParams
    processes: ProcessParams


def main(
    system: Annotated[str, Option(help="a name under `separators` in params.yaml")],
    seed: Annotated[int, Option(help="one of `train.seeds`")],
) -> None:
    """Train a system (or take it untrained) and store weights, curves and a summary."""
    params = load_params(Needs)
    kind, settings = entry(params.separators, system)
    processes = params.processes if kind.is_trained(settings) else ProcessParams()
    fabric = make_fabric(params.runtime, processes)
    resume = CHECKPOINTS / f"{system}-{seed}.ckpt"
    compiled, shared = params.runtime.compile, getattr(params, kind.name, None)
    data = PreparedData(PREPARED)
    begun(resume)
    made = kind.make(
        Making(system, settings, seed, data, params.segments, shared, fabric, resume, compiled)
    )
    if not fabric.is_global_zero:
        return
    columns = list(made.curves[0])
    rows = [[row[column] for column in columns] for row in made.curves]
    with written_together():
        write_csv(PLOTS / "train" / system / f"{seed}.csv", columns, rows)
        write_json(METRICS / "train" / system / f"{seed}.json", described(made))
        save(model_file(system, seed), kind, made.model, system, seed, made.settings, made.trained)
    finished(resume)
    drop(PREPARED.parent, PREPARED.name)


if __name__ == "__main__":
    run(main)
