"""render-demo: write the demo songs."""

from common import DEMO, RENDERED, Sections, load_params, run
from stemproof.core.machine import WorkerParams
from stemproof.core.resume import Parts
from stemproof.data.demo.songs import render_demo
from stemproof.data.params import DemoParams


class Needs(Sections):
    """Parameters of this stage."""

    demo: DemoParams
    workers: WorkerParams


def main() -> None:
    """Render the demo songs into data/demo, in the MUSDB18-HQ layout."""
    params = load_params(Needs)
    # No song depends on how many there are.
    parts = Parts(RENDERED, "songs", params.demo.seed, params.demo.seconds)
    render_demo(params.demo, params.workers.count, DEMO, parts)
    parts.finished()


if __name__ == "__main__":
    run(main)
