"""generate-pgd-adversarials: attack every test segment of every model."""

import shutil

import pandas as pd

from common import (
    ADVERSARIAL,
    CHECKPOINTS,
    PARAMS,
    PLOTS,
    PREPARED,
    adversarial_folder,
    crafting_model,
    model_file,
    run,
)
from stemproof.attacks.generate import Victim, generate
from stemproof.data.store import PreparedData
from stemproof.core.files import fresh_directory, sha256, write_text
from stemproof.params import load_params
from stemproof.core.runtime import make_fabric, shard_of
from stemproof.separators.systems import load_separator


def main() -> None:
    """Write adversarial mixtures to data/adversarial and loss curves to plots/attack."""
    params = load_params(PARAMS)
    fabric = make_fabric(params.runtime)
    data = PreparedData(PREPARED)
    scratch = CHECKPOINTS / "attack"
    curves: dict[str, list[pd.DataFrame]] = {name: [] for name in params.systems}
    for name, seed in params.models:
        source, source_seed = crafting_model(params, name, seed)
        path = model_file(source, source_seed)
        separator = load_separator(path, params, source, source_seed, fabric.device)
        victim = Victim(f"{name}-{seed}", separator, sha256(path))
        folder = adversarial_folder(name, seed)
        curve = generate(params, victim, data, fabric.device, folder, scratch, shard_of(fabric))
        if curve:
            curves[name].append(pd.DataFrame(curve).set_index("step"))
    if not fabric.is_global_zero:
        return
    fresh_directory(PLOTS / "attack")
    for name, of_seeds in curves.items():
        mean = sum(of_seeds[1:], of_seeds[0]) / len(of_seeds)
        write_text(PLOTS / "attack" / f"{name}.csv", mean.to_csv(float_format="%.9g"))
    # Of systems that were taken off the lists, and of runs that were killed and then run otherwise.
    wanted = {adversarial_folder(name, seed) for name, seed in params.models}
    wanted |= {scratch / f"{name}-{seed}" for name, seed in params.models}
    for folder in (*ADVERSARIAL.glob("*/*"), *scratch.iterdir()):
        if folder not in wanted:
            shutil.rmtree(folder)


if __name__ == "__main__":
    run(main)
