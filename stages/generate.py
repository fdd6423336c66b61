"""generate-pgd-adversarials: attack the test split for one model."""

from common import (
    ATTACKED,
    CHECKPOINTS,
    PREPARED,
    SEED,
    SYSTEM,
    Sections,
    adversarial_folder,
    forget,
    load_params,
    made_of,
    model_file,
    prepared,
    refuse_unnamed,
    run,
)

from typing import Annotated, ClassVar

from stemproof.attacks.params import AttackSection
from stemproof.attacks.store import Victim, generate
from stemproof.attacks.threat import fitted
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.runtime import make_place
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.separators.checkpoint import load, made_with_of


class Needs(Sections):
    """Parameters of this stage; how many processes share the tracks changes no figure."""

    segments: SegmentParams
    attack: AttackSection
    runtime: RuntimeParams
    processes: ProcessParams
    without_effect: ClassVar[frozenset[str]] = frozenset({"processes"})


def main(system: Annotated[str, SYSTEM], seed: Annotated[int, SEED]) -> None:
    """Write data/adversarial/SYSTEM/SEED: adversarial mixtures, and the model they are against."""
    params = load_params(Needs)
    refuse_unnamed(system, seed)
    file, compiled = model_file(system, seed), params.runtime.compile
    data = PreparedData(PREPARED)
    model = made_with_of(file, data)
    made_with = made_of("generate-pgd-adversarials", prepared(), (file, model))
    place = make_place(params.runtime, params.processes)
    separator = load(file, params.attack.mask, place.device, compiled, (system, seed))
    generate(
        params.attack,
        params.segments,
        Victim(f"{system}-{seed}", fitted(separator, data), file),
        data,
        place.device,
        adversarial_folder(system, seed),
        ATTACKED,
        place.shard,
        made_with,
    )
    if place.shard.is_first:
        forget("train", system, seed, CHECKPOINTS)


if __name__ == "__main__":
    run(main)
