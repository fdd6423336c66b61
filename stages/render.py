"""render-demo: write the demo songs."""

from common import DEMO, PARAMS, run
from stemproof.data.demo.songs import render_demo
from stemproof.params import load_params


def main() -> None:
    """Render the demo songs into data/demo, in the MUSDB18-HQ layout."""
    params = load_params(PARAMS)
    render_demo(params.demo, params.data.sample_rate, params.runtime.workers, DEMO)


if __name__ == "__main__":
    run(main)
