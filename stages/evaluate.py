"""evaluate: clean, attacked and noisy figures of one model."""

from typing import Annotated, ClassVar

import torch
from typer import Option

from common import (
    ATTACKED,
    BROKEN,
    EVALUATED,
    METRICS,
    PLOTS,
    PREPARED,
    Sections,
    adversarial_folder,
    breaks_folder,
    forget,
    load_params,
    run,
    scored_folder,
)
from stemproof.attacks.broken import BreakParams, read_break_points, settings_of
from stemproof.attacks.params import AttackSection
from stemproof.attacks.stored import CURVE, INDEX, open_adversarials
from stemproof.attacks.threat import fitted
from stemproof.core.files import read_json, sha256
from stemproof.core.machine import ProcessParams, RuntimeParams, WorkerParams
from stemproof.core.ownership import copy_file, refuse_strangers, renewed
from stemproof.core.resume import Parts
from stemproof.core.runtime import describe_environment, make_place
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.store import FIGURES, TRACKS, write_scored
from stemproof.separators.checkpoint import load, read_header
from stemproof.separators.protocol import Informed
from stemproof.separators.registry import Entries, oracle

FILES = (FIGURES, TRACKS, "training.csv", "attack.csv")
MADE_WITH = ("segments", "attack", "breaks", "evaluate")


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


def main(
    system: Annotated[str, Option(help="one of `systems`")],
    seed: Annotated[int, Option(help="one of `train.seeds`")],
) -> None:
    """Write metrics/models/SYSTEM/SEED: figures, a table per track, and the curves."""
    params = load_params(Needs)
    refuse_strangers(scored_folder(system, seed), FILES)
    place = make_place(params.runtime, params.processes)
    data = PreparedData(PREPARED)
    folder = adversarial_folder(system, seed)
    stored = open_adversarials(folder, params.attack, params.segments, data, place.shard)
    made_with = settings_of(params.breaks, params.attack, params.segments)
    breaks = read_break_points(breaks_folder(system, seed), made_with, stored.model_sha256)
    header = read_header(stored.model)
    how = params.attack.mask, place.device, params.runtime.compile
    separator = fitted(load(stored.model, *how, (system, seed)), data)
    beside = oracle(params.separators, params.evaluate.oracle, data.sample_rate, place.device)
    sections = params.evaluate, params.attack, params.segments, params.workers, params.processes
    evaluator = Evaluator(f"{system}-{seed}", separator, beside, *sections, place.device)
    decides = params.model_dump(mode="json", exclude={"processes", "workers"})
    identity = data.fingerprint, sha256(folder / INDEX), torch.__version__, place.device.type
    parts = Parts(EVALUATED, f"{system}-{seed}", decides, identity)
    scored = evaluator.evaluate(data, stored, place.shard, parts)
    scored = scored.with_breaks(breaks.tracks, breaks.counts)
    if not place.shard.is_first:
        return
    about = {
        "system": system,
        "seed": seed,
        "kind": header.kind.name,
        "trained": header.trained,
        "informed": isinstance(separator, Informed),
        "gate": dict(stored.gate),
        "settings": dict(header.settings),
        "training": read_json(METRICS / "train" / system / f"{seed}.json"),
        "environment": describe_environment(params.runtime),
        "made_with": {name: decides[name] for name in MADE_WITH},
        "data": data.fingerprint,
        "model_sha256": stored.model_sha256,
    }
    results = scored_folder(system, seed)
    with renewed({results: FILES}):
        copy_file(PLOTS / "train" / system / f"{seed}.csv", results / "training.csv")
        copy_file(folder / CURVE, results / "attack.csv")
        write_scored(results, scored, about)
    parts.finished()
    forget("generate", system, seed, ATTACKED)
    forget("find_break_points", system, seed, BROKEN)


if __name__ == "__main__":
    run(main)
