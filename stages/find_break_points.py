"""find-break-points: the smallest perturbations of the test split that one model breaks under."""

from common import (
    BROKEN,
    PREPARED,
    SEED,
    SYSTEM,
    Sections,
    breaks_folder,
    load_params,
    made_of,
    model_file,
    prepared,
    refuse_unnamed,
    run,
)

from typing import Annotated, ClassVar

from stemproof.attacks.broken import FILES, BreakParams, find_break_points
from stemproof.attacks.params import AttackSection
from stemproof.attacks.store import Victim
from stemproof.attacks.threat import fitted
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.ownership import refuse_strangers
from stemproof.core.runtime import make_place
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.separators.checkpoint import load, made_with_of


class Needs(Sections):
    """Parameters of this stage; how many processes share the parts changes no figure."""

    segments: SegmentParams
    attack: AttackSection
    breaks: BreakParams
    runtime: RuntimeParams
    processes: ProcessParams
    without_effect: ClassVar[frozenset[str]] = frozenset({"processes"})


def main(system: Annotated[str, SYSTEM], seed: Annotated[int, SEED]) -> None:
    """Write metrics/breaks/SYSTEM/SEED: a table of parts of recordings."""
    params = load_params(Needs)
    refuse_unnamed(system, seed)
    folder = breaks_folder(system, seed)
    refuse_strangers(folder, FILES)
    file, compiled = model_file(system, seed), params.runtime.compile
    data = PreparedData(PREPARED)
    model = made_with_of(file, data)
    made_with = made_of("find-break-points", prepared(), (file, model))
    place = make_place(params.runtime, params.processes)
    separator = load(file, params.attack.mask, place.device, compiled, (system, seed))
    find_break_points(
        params.breaks,
        params.attack,
        params.segments,
        Victim(f"{system}-{seed}", fitted(separator, data), file),
        data,
        place.device,
        folder,
        BROKEN,
        place.shard,
        made_with,
    )


if __name__ == "__main__":
    run(main)
