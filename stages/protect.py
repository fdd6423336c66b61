"""protect: how well can songs be protected from a system, and what is left of it afterwards?"""

from common import (
    CHECKPOINTS,
    METRICS,
    PREPARED,
    REPORT,
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

import torch

from stemproof.core.aside import written_together
from stemproof.core.errors import InputError
from stemproof.core.files import sha256, write_json, write_text
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.made_with import MADE_WITH
from stemproof.core.params import Systems, TrainParams
from stemproof.core.resume import Parts, drop
from stemproof.core.runtime import make_place
from stemproof.data.store import PreparedData
from stemproof.figures.params import StatisticsParams
from stemproof.protecting.section import ProtectSection
from stemproof.protecting.summary import FORMAT, Measured, closing, summarized
from stemproof.protecting.trials import Trial, cast
from stemproof.report.protection_tables import page
from stemproof.separators.checkpoint import load, made_with_of

PROTECTED = CHECKPOINTS / "protect"


class Needs(Sections):
    """Parameters of this stage."""

    systems: Systems
    train: TrainParams
    protect: ProtectSection
    statistics: StatisticsParams
    runtime: RuntimeParams


def main(system: Annotated[str, SYSTEM]) -> None:
    """Write metrics/protection/SYSTEM, figures a song and medians, and report/protection."""
    params = load_params(Needs)
    seed = params.train.seeds[0]  # of what is trained with several, the first
    refuse_unnamed(system, seed)
    if system not in params.protect.against:
        raise InputError(f"--system {system} is none of protect.against; add it there")
    device = make_place(params.runtime, ProcessParams()).device
    data = PreparedData(PREPARED)
    files = {name: model_file(name, seed) for name in params.systems}
    inputs = [prepared(), *((file, made_with_of(file, data)) for file in files.values())]
    made = made_of("protect", *inputs)
    separators = {
        name: load(file, "fixed", device, params.runtime.compile, (name, seed))
        for name, file in files.items()
    }
    play = cast(system, params.protect.ensemble, separators, data)
    section = params.protect.model_dump(mode="json", exclude={"against", "tracks"})
    models = {name: sha256(file) for name, file in files.items() if name not in play.left_out}
    runtime = [params.runtime.model_dump(mode="json"), torch.__version__, device.type]
    parts = Parts(PROTECTED, system, section, models, runtime, data.fingerprint)
    trial = Trial(params.protect, data, play.aim, play.allies, play.others, parts, device)
    rows = trial.rows()
    aims = [one.name for one in (play.aim, *play.allies)]
    medians = summarized(rows, aims, params.statistics)
    document = {
        "format": FORMAT,
        "system": system,
        "budget": params.protect.words,
        "n_tracks": len(rows),
        "params": {"tracks": params.protect.tracks, **section},
        "left_out": play.left_out,
        "medians": medians.model_dump(mode="json"),
        "taught": [track.name for track in trial.taught],
        "tracks": rows,
        "models": models,
        "data": data.fingerprint,
        MADE_WITH: made,
    }
    found = Measured.model_validate(document)
    output = medians.systems[system].output
    small = {name: getattr(output, name).value for name in ("protected", "noise", "difference")}
    folder = METRICS / "protection" / system
    with written_together():
        write_json(folder / "document.json", document)
        write_json(folder / "medians.json", {**small, "snr": medians.costs.snr.value})
        write_text(REPORT / "protection" / f"{system}.md", page(found))
    drop(PROTECTED, system)
    trial.finished()
    print(*closing(found), sep="\n")


if __name__ == "__main__":
    run(main)
