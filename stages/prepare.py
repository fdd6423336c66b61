"""prepare-musdb18: decode a data set in the MUSDB18 layout, once."""

from common import METRICS, PARAMS, PREPARED, run
from stemproof.data.prepare import prepare
from stemproof.core.files import write_json
from stemproof.params import load_params


def main() -> None:
    """Decode data.root into data/prepared and describe it in metrics/data.json."""
    summary = prepare(load_params(PARAMS), PREPARED)
    write_json(METRICS / "data.json", summary)


if __name__ == "__main__":
    run(main)
