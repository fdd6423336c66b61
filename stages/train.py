"""train-baseline, train-improved, train-ablation@NAME: one variant."""

from typing import Annotated

from typer import Option

from common import CHECKPOINTS, METRICS, MODELS, PARAMS, PLOTS, PREPARED, PUBLISHED, run
from rsvm.data.store import PreparedData
from rsvm.files import write_csv, write_json
from rsvm.model.checkpoint import save_model
from rsvm.params import load_params
from rsvm.runtime import make_fabric
from rsvm.train import describe, obtain


def main(variant: Annotated[str, Option(help="a name under `variants` in params.yaml")]) -> None:
    """Train a variant (or take a published one) and store weights, curves and a summary."""
    params = load_params(PARAMS)
    checkpoint = CHECKPOINTS / f"{variant}.ckpt"
    fabric = make_fabric(params.runtime)
    trained = obtain(params, variant, PreparedData(PREPARED), fabric, checkpoint, PUBLISHED)
    columns = list(trained.curves[0])
    rows = [[row[column] for column in columns] for row in trained.curves]
    write_csv(PLOTS / "train" / f"{variant}.csv", columns, rows)
    write_json(METRICS / "train" / f"{variant}.json", describe(trained))
    save_model(MODELS / f"{variant}.safetensors", trained.model, params, variant)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main)
