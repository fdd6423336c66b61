"""render-demo: write the demo songs."""

from common import DEMO, RENDERED, Sections, load_params, made_of, run

from stemproof.core.machine import WorkerParams
from stemproof.core.made_with import MADE_WITH
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
    about = {MADE_WITH: made_of("render-demo")}
    # No song depends on how many there are.
    parts = Parts(RENDERED, "songs", params.demo.seed, params.demo.seconds)
    render_demo(params.demo, params.workers.count, DEMO, parts, about)
    parts.finished()
    print(f"{DEMO}: {sum(1 for _ in DEMO.glob('*/*/mixture.wav'))} songs")


if __name__ == "__main__":
    run(main)
