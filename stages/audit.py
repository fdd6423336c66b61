"""audit: is the robustness figure one that can be believed?"""

from common import (
    ADVERSARIAL,
    ASIDE,
    AUDITED,
    METRICS,
    PLOTS,
    PREPARED,
    Sections,
    adversarial_folder,
    load_params,
    made_of,
    prepared,
    run,
    run_by_dvc,
    said_by,
)

import torch

from stemproof.attacks.params import AttackSection
from stemproof.attacks.stored import INDEX, Index, open_adversarials
from stemproof.auditing.flags import CHECKS
from stemproof.auditing.material import Materials
from stemproof.auditing.opened import curves, open_system, parts_of
from stemproof.auditing.params import AuditParams
from stemproof.auditing.run import audit
from stemproof.core.files import write_csv, write_json
from stemproof.core.machine import ProcessParams, RuntimeParams
from stemproof.core.made_with import MADE_WITH
from stemproof.core.ownership import refuse_strangers, renewed, set_aside
from stemproof.core.params import Systems, TrainParams
from stemproof.core.resume import code_fingerprint
from stemproof.core.runtime import make_place
from stemproof.core.seals import write_sealed
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData
from stemproof.figures.closing import of_flags
from stemproof.separators.checkpoint import made_with_of, read_header

ABOUT = "made_with.json"


class Needs(Sections):
    """Parameters of this stage."""

    systems: Systems
    train: TrainParams
    segments: SegmentParams
    attack: AttackSection
    audit: AuditParams
    runtime: RuntimeParams


def main() -> None:
    """Write metrics/audit.json (flags) and plots/audit (what they rest on)."""
    params = load_params(Needs)
    written = [*(f"{name}.json" for name in params.systems), "steps.csv", "eps.csv", ABOUT]
    # What can be refused is refused before anything is computed.
    refuse_strangers(PLOTS / "audit", written)
    device = make_place(params.runtime, ProcessParams()).device
    # Before kinds of separators are imported: what is kept of one does not depend on the others.
    code = code_fingerprint()
    data = PreparedData(PREPARED)
    models = [(name, seed) for name in params.systems for seed in params.train.seeds]
    if run_by_dvc():
        # What an earlier run left of systems that are no longer asked for.
        set_aside(ADVERSARIAL, set(models), ASIDE, INDEX)
    inputs, found = [prepared()], {}
    for name, seed in models:
        folder = adversarial_folder(name, seed)
        stored = open_adversarials(folder, params.attack, params.segments, data)
        if not read_header(stored.model).trained and seed != params.train.seeds[0]:
            continue  # one model, whatever the seed
        found[name, seed] = stored
        inputs.append(said_by(folder / INDEX, "generate-pgd-adversarials", Index))
        inputs.append((stored.model, made_with_of(stored.model, data)))
    made_with = made_of("audit", *inputs)
    materials = Materials(params.audit, params.attack, params.segments, data, device)
    systems = [
        open_system(name, seed, stored, materials, params.runtime.compile)
        for (name, seed), stored in found.items()
    ]
    sections = params.model_dump(mode="json", include={"segments", "attack", "audit"})
    runtime = [params.runtime.model_dump(mode="json"), torch.__version__, device.type]
    decides = [sections, runtime, data.fingerprint]
    kept = {one.model: parts_of(one, AUDITED, code, decides) for one in systems}
    results = audit(params.audit, params.attack, systems, lambda one, do: kept[one].of(one, do))
    with renewed({PLOTS / "audit": written}):
        for name, result in results.items():
            write_json(PLOTS / "audit" / f"{name}.json", result.figures)
        for table, (columns, rows) in curves(results).items():
            write_csv(PLOTS / "audit" / f"{table}.csv", columns, rows)
        flags = METRICS / "audit.json"
        write_json(flags, {name: r.summary() for name, r in results.items()})
        files = [flags, *(PLOTS / "audit" / name for name in written if name != ABOUT)]
        about = {"data": data.fingerprint, MADE_WITH: made_with}
        write_sealed(PLOTS / "audit" / ABOUT, about, files)
    for parts in kept.values():
        parts.finished()
    raised = {name: [flag.name for flag in r.flags if flag.raised] for name, r in results.items()}
    print(*of_flags(raised, len(CHECKS)), sep="\n")


if __name__ == "__main__":
    run(main)
