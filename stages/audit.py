"""audit: is the robustness figure one that can be believed?"""

import numpy as np
import torch

from common import (
    METRICS,
    PARAMS,
    PLOTS,
    PREPARED,
    adversarial_folder,
    crafting_model,
    model_file,
    run,
)
from rsvm.attacks.generate import INDEX, UNIVERSAL
from rsvm.audit.run import System, audit, choose_material
from rsvm.data.store import PreparedData
from rsvm.files import (
    fresh_directory,
    read_array,
    read_json,
    refuse_strangers,
    write_csv,
    write_json,
)
from rsvm.model.checkpoint import load_model
from rsvm.params import load_params
from rsvm.runtime import make_fabric
from rsvm.separator import informed


def main() -> None:
    """Write metrics/audit.json (flags) and plots/audit (what they rest on)."""
    params = load_params(PARAMS)
    # Of a version that left no marker, for any variant that has a name.
    earlier = ["steps.csv", "eps.csv", *(f"{name}.json" for name in params.variants)]
    refuse_strangers(PLOTS / "audit", earlier)
    device = make_fabric(params.runtime, alone=True).device
    systems = []
    for name, seed in params.models:
        model = load_model(model_file(name, seed), params, name, seed).to(device)
        folder = adversarial_folder(name, seed)
        index = read_json(folder / INDEX)
        universal = None
        if params.attack.method == "universal":
            universal = torch.from_numpy(np.array(read_array(folder / UNIVERSAL))).to(device)
        systems.append(
            System(
                variant=name,
                seed=seed,
                separator=informed(model, params.attack.mask),
                twin=informed(model, "recomputed" if params.attack.mask == "fixed" else "fixed"),
                stored_budget=max(track["budget_used"] for track in index["tracks"]),
                trained=params.variant(name).is_trained,
                crafted_on="{}-{}".format(*crafting_model(params, name, seed)),
                universal=universal,
            )
        )
    data = PreparedData(PREPARED)
    test, training = (choose_material(params, data, split, device) for split in ("test", "train"))
    results = audit(params, systems, test, training)
    written = ["steps.csv", "eps.csv", *(f"{name}.json" for name in results)]
    fresh_directory(PLOTS / "audit", written, earlier)
    for name, result in results.items():
        write_json(PLOTS / "audit" / f"{name}.json", result.figures)
    for table, axis in (("steps", "steps"), ("eps", "factor")):
        places = [key for key in results["baseline"].figures[table] if key != "fgsm"]
        rows = [[key, *(r.figures[table][key] for r in results.values())] for key in places]
        write_csv(PLOTS / "audit" / f"{table}.csv", [axis, *results], rows)
    write_json(METRICS / "audit.json", {name: r.summary() for name, r in results.items()})


if __name__ == "__main__":
    run(main)
