"""render-demo: write the demo songs."""

from common import DEMO, Sections, load_params, made_of, run

from stemproof.core.machine import WorkerParams
from stemproof.core.made_with import MADE_WITH
from stemproof.data.demo.songs import render_demo
from stemproof.data.params import DemoParams


class Needs(Sections):
    """Parameters of this stage."""

    demo: DemoParams
    workers: WorkerParams


def main() -> None:
    """Render the demo songs into data/demo, in the MUSDB18-HQ layout."""
    params = load_params(Needs)
    render_demo(params.demo, params.workers.count, DEMO, {MADE_WITH: made_of("render-demo")})


if __name__ == "__main__":
    run(main)
