"""prepare-musdb18: decode a data set in the MUSDB18 layout, once."""

from common import (
    ADVERSARIAL,
    CHECKPOINTS,
    METRICS,
    MODELS,
    PARAMS,
    PLOTS,
    PREPARED,
    REPORT,
    run,
)
from rsvm.data.prepare import prepare
from rsvm.files import write_json
from rsvm.params import load_params


def main() -> None:
    """Decode data.root into data/prepared and describe it in metrics/data.json."""
    outputs = (ADVERSARIAL, MODELS, CHECKPOINTS, METRICS, PLOTS, REPORT)
    summary = prepare(load_params(PARAMS), PREPARED, outputs)
    write_json(METRICS / "data.json", summary)


if __name__ == "__main__":
    run(main)
