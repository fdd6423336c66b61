"""train-baseline, train-improved, train-ablation: one variant with one training seed."""

from typing import Annotated

from typer import Option

from common import CHECKPOINTS, METRICS, PARAMS, PLOTS, PREPARED, PUBLISHED, model_file, run
from stemproof.data.store import PreparedData
from stemproof.core.files import write_csv, write_json
from stemproof.separators.checkpoint import save_model
from stemproof.params import load_params
from stemproof.core.runtime import make_fabric
from stemproof.separators.rsvm.train import describe, obtain


def main(
    variant: Annotated[str, Option(help="a name under `variants` in params.yaml")],
    seed: Annotated[int, Option(help="one of `train.seeds`")],
) -> None:
    """Train a variant (or take it untrained) and store weights, curves and a summary."""
    params = load_params(PARAMS)
    checkpoint = CHECKPOINTS / f"{variant}-{seed}.ckpt"
    alone = not params.variant(variant).is_trained
    fabric = make_fabric(params.runtime, alone)
    data = PreparedData(PREPARED)
    trained = obtain(params, variant, seed, data, fabric, checkpoint, PUBLISHED)
    if not fabric.is_global_zero:
        return
    columns = list(trained.curves[0])
    rows = [[row[column] for column in columns] for row in trained.curves]
    write_csv(PLOTS / "train" / variant / f"{seed}.csv", columns, rows)
    write_json(METRICS / "train" / variant / f"{seed}.json", describe(trained))
    save_model(model_file(variant, seed), trained.model, params, variant, seed)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
