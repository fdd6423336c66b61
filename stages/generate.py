"""generate-pgd-adversarials: attack every test segment of every variant."""

import shutil

from common import ADVERSARIAL, CHECKPOINTS, PARAMS, PLOTS, PREPARED, crafting_model, run
from rsvm.attacks.generate import Victim, generate
from rsvm.data.store import PreparedData
from rsvm.files import fresh_directory, sha256, write_csv
from rsvm.model.checkpoint import load_model
from rsvm.params import load_params
from rsvm.runtime import make_fabric
from rsvm.separator import InformedRSVM


def main() -> None:
    """Write adversarial mixtures to data/adversarial and loss curves to plots/attack."""
    params = load_params(PARAMS)
    device = make_fabric(params.runtime).device
    data = PreparedData(PREPARED)
    curves = {}
    for name in params.systems:
        source, path = crafting_model(params, name)
        separator = InformedRSVM(load_model(path, params, source).to(device))
        victim = Victim(name, separator, sha256(path))
        curves[name] = generate(
            params, victim, data, device, ADVERSARIAL / name, CHECKPOINTS / "attack"
        )
    fresh_directory(PLOTS / "attack")
    for name, curve in curves.items():
        rows = [[point["step"], point["loss"]] for point in curve]
        write_csv(PLOTS / "attack" / f"{name}.csv", ["step", "loss"], rows)
    shutil.rmtree(CHECKPOINTS / "attack")


if __name__ == "__main__":
    run(main)
