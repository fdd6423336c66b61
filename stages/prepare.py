"""prepare-musdb18: decode a data set in the MUSDB18 layout, once."""

from common import (
    ADVERSARIAL,
    CHECKPOINTS,
    METRICS,
    MODELS,
    PLOTS,
    PREPARED,
    RENDERED,
    REPORT,
    Sections,
    load_params,
    run,
)
from stemproof.core.files import write_json
from stemproof.core.machine import WorkerParams
from stemproof.core.resume import drop
from stemproof.data.params import DataParams, SegmentParams
from stemproof.data.prepare import prepare


class Needs(Sections):
    """Parameters of this stage."""

    data: DataParams
    segments: SegmentParams
    workers: WorkerParams


def main() -> None:
    """Decode data.root into data/prepared and describe it in metrics/data.json."""
    params = load_params(Needs)
    outputs = (ADVERSARIAL, MODELS, CHECKPOINTS, METRICS, PLOTS, REPORT)
    summary = prepare(params.data, params.segments, params.workers.count, PREPARED, outputs)
    write_json(METRICS / "data.json", summary)
    drop(RENDERED, "songs")


if __name__ == "__main__":
    run(main)
