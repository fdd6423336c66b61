"""find-break-points: the smallest perturbations of the test split that one model breaks under."""

from typing import Annotated, ClassVar

from typer import Option

from common import (
    BROKEN,
    PREPARED,
    Sections,
    breaks_folder,
    load_params,
    model_file,
    run,
)
from stemproof.attacks.broken import FILES, BreakParams, find_break_points
from stemproof.attacks.params import AttackSection
from stemproof.attacks.store import Victim
from stemproof.attacks.threat import fitted
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.ownership import refuse_strangers
from stemproof.core.runtime import make_place
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.separators.checkpoint import load


class Needs(Sections):
    """Parameters of this stage; how many processes share the parts changes no figure."""

    segments: SegmentParams
    attack: AttackSection
    breaks: BreakParams
    runtime: RuntimeParams
    processes: ProcessParams
    without_effect: ClassVar[frozenset[str]] = frozenset({"processes"})


def main(
    system: Annotated[str, Option(help="one of `systems`")],
    seed: Annotated[int, Option(help="one of `train.seeds`")],
) -> None:
    """Write metrics/breaks/SYSTEM/SEED: a table of parts of recordings."""
    params = load_params(Needs)
    folder = breaks_folder(system, seed)
    refuse_strangers(folder, FILES)
    place = make_place(params.runtime, params.processes)
    file, compiled = model_file(system, seed), params.runtime.compile
    data = PreparedData(PREPARED)
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
    )


if __name__ == "__main__":
    run(main)
