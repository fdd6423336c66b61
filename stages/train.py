"""train-baseline, train-improved, train-ablation, take-own: one system with one training seed."""

from common import (
    CHECKPOINTS,
    METRICS,
    PLOTS,
    PREPARED,
    SEED,
    SYSTEM,
    Sections,
    load_params,
    made_of,
    model_file,
    prepared,
    refuse_unnamed,
    run,
)

from typing import Annotated

from stemproof.core.aside import written_together
from stemproof.core.errors import InputError
from stemproof.core.extras import MissingExtraError
from stemproof.core.files import write_csv
from stemproof.core.influences import refuse_other_list
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.resume import begun, drop, finished
from stemproof.core.runtime import make_fabric
from stemproof.core.seals import write_sealed
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


def main(system: Annotated[str, SYSTEM], seed: Annotated[int, SEED]) -> None:
    """Train a system (or take it untrained) and store weights, curves and a summary."""
    params = load_params(Needs)
    kind, settings = entry(params.separators, system)
    refuse_unnamed(system, seed, trains=True)
    refuse_other_list(system, kind.outside(settings))
    trained = kind.is_trained(settings)
    processes = params.processes if trained else ProcessParams()
    made_with = made_of(
        "train",
        prepared(),
        system=system,
        shared=kind.name if hasattr(params, kind.name) else "",
    )
    if not trained:
        del made_with["processes"]
    fabric = make_fabric(params.runtime, processes)
    resume = CHECKPOINTS / f"{system}-{seed}.ckpt"
    compiled, shared = params.runtime.compile, getattr(params, kind.name, None)
    data = PreparedData(PREPARED)
    making = Making(system, settings, seed, data, params.segments, shared, fabric, resume, compiled)
    begun(resume)
    try:
        made = kind.make(making)
    except MissingExtraError as error:
        raise InputError(
            f"{error}; or take {system} out of `systems`, `ablations` and `own` in params.yaml"
        ) from None
    if not fabric.is_global_zero:
        return
    columns = list(made.curves[0])
    rows = [[row[column] for column in columns] for row in made.curves]
    file, heard = model_file(system, seed), data.fingerprint if made.trained else None
    with written_together():
        curve = PLOTS / "train" / system / f"{seed}.csv"
        write_csv(curve, columns, rows)
        write_sealed(METRICS / "train" / system / f"{seed}.json", described(made), [curve])
        save(file, kind, made.model, system, seed, made.settings, made.trained, made_with, heard)
    finished(resume)
    drop(PREPARED.parent, PREPARED.name)
    last = ", ".join(f"{name} {value:.4g}" for name, value in made.curves[-1].items())
    print(f"{file}: {last}")


if __name__ == "__main__":
    run(main)
