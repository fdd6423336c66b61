"""listen: clips of three segments, clean and attacked, and what systems have learned."""

from common import (
    ADVERSARIAL,
    ASIDE,
    HEARD,
    LISTENING,
    METRICS,
    PLOTS,
    PREPARED,
    Sections,
    adversarial_folder,
    load_params,
    made_of,
    run,
    run_by_dvc,
    said_by,
)

from stemproof.attacks.params import AttackSection
from stemproof.attacks.stored import INDEX as STORED
from stemproof.attacks.stored import Index, measured, open_adversarials
from stemproof.attacks.threat import fitted
from stemproof.core.machine import ProcessParams, RuntimeParams, WorkerParams
from stemproof.core.made_with import MADE_WITH
from stemproof.core.ownership import refuse_strangers, replaced, set_aside
from stemproof.core.params import Name, Systems, TrainParams
from stemproof.core.runtime import make_place
from stemproof.core.seals import write_sealed
from stemproof.core.tables import read_table
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.evaluation.clips import FORMAT, INDEX
from stemproof.evaluation.evaluate import Evaluator
from stemproof.evaluation.listening import Listener, file_names, listen, look
from stemproof.evaluation.params import EvaluateParams
from stemproof.separators.checkpoint import load


class Needs(Sections):
    """Parameters of this stage."""

    systems: Systems
    reference: Name
    train: TrainParams
    segments: SegmentParams
    attack: AttackSection
    evaluate: EvaluateParams
    runtime: RuntimeParams


def main() -> None:
    """Write data/listening: wav files, arrays, and an index that says what they are."""
    params = load_params(Needs)
    names = file_names(params.systems)
    refuse_strangers(LISTENING, names)
    device = make_place(params.runtime, ProcessParams()).device
    data, seed = PreparedData(PREPARED), params.train.seeds[0]
    folders = [adversarial_folder(name, seed) for name in params.systems]
    compared = said_by(METRICS / "environment.json", "compare", reads=PLOTS / "tracks")
    made_of("listen", compared)  # first: of a new system there is nothing yet
    attacked = (said_by(folder / STORED, "generate-pgd-adversarials", Index) for folder in folders)
    made = made_of("listen", compared, *attacked)
    if run_by_dvc():
        # What an earlier run left of systems that are no longer asked for.
        wanted = {(name, seed) for name in params.systems for seed in params.train.seeds}
        set_aside(ADVERSARIAL, wanted, ASIDE, STORED)
    # One draw of noise, which nobody hears.
    evaluate = params.evaluate.model_copy(update={"noise_draws": 1})
    listeners, models = [], {}
    # The reference comes first: it chooses what is heard.
    for name in sorted(params.systems, key=lambda name: name != params.reference):
        stored = open_adversarials(
            adversarial_folder(name, seed), params.attack, params.segments, data
        )
        compiled = params.runtime.compile
        separator = load(stored.model, params.attack.mask, device, compiled, (name, seed))
        evaluator = Evaluator(
            f"{name}-{seed}",
            fitted(separator, data),
            None,
            evaluate,
            params.attack,
            params.segments,
            WorkerParams(count=1),
            ProcessParams(),
            device,
        )
        # Before any clip goes: also of tracks that are not heard.
        stored = measured(stored, evaluator.separator, params.attack, params.segments, data)
        table = read_table(PLOTS / "tracks" / f"{name}.csv")
        known = table[(table["seed"] == seed) & table["drop"].notna()]
        drops = dict(zip(known["track"], known["drop"], strict=True))
        listeners.append(Listener(name, evaluator, data, stored, drops))
        models[name] = stored.model_sha256
    about = {"format": FORMAT, "seed": seed, "data": data.fingerprint, "models": models}
    with replaced(LISTENING, names, HEARD, INDEX) as folder:
        parts = listen(listeners, folder)
        views = look(listeners, parts, folder)
        about |= {MADE_WITH: made, "parts": parts, "views": views}
        files = [folder / name for name in names if (folder / name).is_file()]
        write_sealed(folder / INDEX, about, files)
    print(f"{LISTENING}: {len(parts)} parts of recordings, as {len(listeners)} systems hear them")


if __name__ == "__main__":
    run(main)
