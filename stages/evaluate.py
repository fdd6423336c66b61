"""evaluate: clean, attacked and noisy figures of one model."""

from common import (
    ATTACKED,
    BROKEN,
    EVALUATED,
    METRICS,
    PLOTS,
    PREPARED,
    SEED,
    SYSTEM,
    Sections,
    adversarial_folder,
    breaks_folder,
    forget,
    load_params,
    made_of,
    prepared,
    refuse_unnamed,
    run,
    said_by,
    scored_folder,
)

from typing import Annotated, ClassVar

import torch

from stemproof.attacks.broken import ABOUT, AboutBreaks, BreakParams, read_break_points
from stemproof.attacks.broken import settings_of as settings_of_breaks
from stemproof.attacks.params import AttackSection
from stemproof.attacks.stored import CURVE, INDEX, Index, open_adversarials
from stemproof.attacks.stored import SYSTEM as SYSTEM_FILE
from stemproof.core.files import sha256
from stemproof.core.machine import ProcessParams, RuntimeParams, WorkerParams
from stemproof.core.made_with import MADE_WITH
from stemproof.core.ownership import copy_file, refuse_strangers, renewed
from stemproof.core.resume import Parts
from stemproof.core.runtime import make_place
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.evaluation.opened import about_model, open_evaluator
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.closing import of_tracks
from stemproof.figures.store import ATTACK, FILES, TRAINING, read_training, write_scored
from stemproof.separators.checkpoint import made_with_of
from stemproof.separators.registry import Entries

HELD = ("segments", "attack", "breaks", "evaluate")  # sections that `compare` holds figures against


class Needs(Sections):
    """Parameters of this stage; how many processes share the tracks changes no figure."""

    segments: SegmentParams
    separators: Entries
    attack: AttackSection
    breaks: BreakParams
    evaluate: EvaluateParams
    runtime: RuntimeParams
    processes: ProcessParams
    workers: WorkerParams
    without_effect: ClassVar[frozenset[str]] = frozenset({"processes", "workers"})


def main(system: Annotated[str, SYSTEM], seed: Annotated[int, SEED]) -> None:
    """Write metrics/models/SYSTEM/SEED: figures, a table per track, and the curves."""
    params = load_params(Needs)
    refuse_unnamed(system, seed)
    refuse_strangers(scored_folder(system, seed), FILES)
    data = PreparedData(PREPARED)
    curve = PLOTS / "train" / system / f"{seed}.csv"
    training = read_training(METRICS / "train" / system / f"{seed}.json", curve)
    folder, broken = adversarial_folder(system, seed), breaks_folder(system, seed)
    attacked = said_by(folder / INDEX, "generate-pgd-adversarials", Index)
    model = folder / SYSTEM_FILE, made_with_of(folder / SYSTEM_FILE, data)
    searched = said_by(broken / ABOUT, "find-break-points", AboutBreaks)
    made = made_of("evaluate", prepared(), attacked, model, searched, oracle=params.evaluate.oracle)
    place = make_place(params.runtime, params.processes)
    stored = open_adversarials(folder, params.attack, params.segments, data, place.shard)
    made_with = settings_of_breaks(params.breaks, params.attack, params.segments)
    breaks = read_break_points(broken, made_with, stored.model_sha256, data.fingerprint)
    evaluator = open_evaluator(system, seed, stored, data, params, place.device)
    decides = params.model_dump(mode="json", exclude={"processes", "workers"})
    identity = data.fingerprint, sha256(folder / INDEX), torch.__version__, place.device.type
    parts = Parts(EVALUATED, f"{system}-{seed}", decides, identity)
    scored = evaluator.evaluate(data, stored, place.shard, parts)
    scored = scored.with_breaks(breaks.tracks, breaks.counts)
    if not place.shard.is_first:
        return
    about = {
        **about_model(system, seed, stored, evaluator, params.runtime),
        "training": training,
        "made_with": {name: decides[name] for name in HELD},
        MADE_WITH: made,
        "data": data.fingerprint,
    }
    results = scored_folder(system, seed)
    with renewed({results: FILES}):
        copy_file(curve, results / TRAINING)
        copy_file(folder / CURVE, results / ATTACK)
        write_scored(results, scored, about, (TRAINING, ATTACK))
    parts.finished()
    print(of_tracks(evaluator.name, scored.tracks, about["informed"]))
    forget("generate", system, seed, ATTACKED)
    forget("find_break_points", system, seed, BROKEN)


if __name__ == "__main__":
    run(main)
