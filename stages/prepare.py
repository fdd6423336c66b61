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
    made_of,
    run,
)

from stemproof.core.files import read_json
from stemproof.core.machine import WorkerParams
from stemproof.core.made_with import MADE_WITH, carried
from stemproof.core.ownership import MARKER
from stemproof.core.resume import drop
from stemproof.core.seals import write_sealed
from stemproof.data.params import DataParams, SegmentParams
from stemproof.data.prepare import prepare
from stemproof.data.recordings.protocol import SPLITS


class Needs(Sections):
    """Parameters of this stage."""

    data: DataParams
    segments: SegmentParams
    workers: WorkerParams


def main() -> None:
    """Decode data.root into data/prepared and describe it in metrics/data.json."""
    params = load_params(Needs)
    outputs = (ADVERSARIAL, MODELS, CHECKPOINTS, METRICS, PLOTS, REPORT)
    # Songs that were rendered say with what; recordings of anyone else say nothing.
    marker = params.data.root / MARKER
    said = read_json(marker) if marker.is_file() else {}
    rendered = [(marker, carried(said, marker, "render-demo"))] if MADE_WITH in said else []
    made_with = made_of("prepare-musdb18", *rendered)
    summary = prepare(
        params.data,
        params.segments,
        params.workers.count,
        PREPARED,
        outputs,
        {MADE_WITH: made_with},
    )
    write_sealed(METRICS / "data.json", summary)
    drop(RENDERED, "songs")
    for split in SPLITS:
        found = summary[split]
        heard = found["segments"] - found["silent_segments"]
        print(f"{split}: {found['tracks']} tracks, {heard} segments with audible vocals")


if __name__ == "__main__":
    run(main)
