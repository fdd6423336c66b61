"""evaluate: clean, attacked and noisy figures of every variant, and their comparison."""

from typing import Any

import pandas as pd
import torch

from common import (
    CHECKPOINTS,
    METRICS,
    PARAMS,
    PLOTS,
    PREPARED,
    adversarial_folder,
    crafting_model,
    metrics_file,
    model_file,
    run,
)
from rsvm.attacks.generate import INDEX, checked_adversarials
from rsvm.data.store import PreparedData
from rsvm.errors import InputError
from rsvm.evaluate import Evaluation, compare, evaluate, remember, remembered, summarize
from rsvm.files import (
    code_fingerprint,
    fingerprint,
    fresh_directory,
    read_json,
    refuse_strangers,
    sha256,
    write_json,
    write_text,
)
from rsvm.model.checkpoint import load_model
from rsvm.params import Params, load_params
from rsvm.runtime import describe_environment, make_fabric, shard_of
from rsvm.systems import load_separator


def main() -> None:
    """Write metrics/<variant>.json, metrics/comparison.json and per-track tables."""
    params = load_params(PARAMS)
    fabric = make_fabric(params.runtime)
    shard = shard_of(fabric)
    data = PreparedData(PREPARED)
    # What can be refused is refused before anything is computed.
    written = {
        METRICS / "ablation": ["index.json", *(f"{name}.json" for name in params.ablations)],
        PLOTS / "tracks": [f"{name}.csv" for name in params.systems],
        PLOTS / "curves": [f"{name}.csv" for name in params.systems],
    }
    # Of a version that left no marker, for any variant that has a name.
    earlier = [f"{name}.{kind}" for name in ("index", *params.variants) for kind in ("csv", "json")]
    for folder in written:
        refuse_strangers(folder, earlier)
    training: dict[str, dict[str, Any]] = {name: {} for name in params.systems}
    adversarials = {}
    for name, seed in params.models:
        training[name][str(seed)] = read_json(METRICS / "train" / name / f"{seed}.json")
        crafted_with = sha256(model_file(*crafting_model(params, name, seed)))
        folder = adversarial_folder(name, seed)
        adversarials[name, seed] = checked_adversarials(folder, params, data, crafted_with, shard)
        load_model(model_file(name, seed), params, name, seed)
    curves = {name: _mean_curve(name, params.seeds_of(name)) for name in params.systems}
    results: dict[str, dict[int, Evaluation]] = {name: {} for name in params.systems}
    for (name, seed), crafted in adversarials.items():
        note = CHECKPOINTS / "evaluate" / f"{name}-{seed}.json"
        run = _what_decides(params, name, seed, data, fabric.device.type)
        found = remembered(note, run)
        if found is None:
            separator = load_separator(model_file(name, seed), params, name, seed, fabric.device)
            title = f"{name}-{seed}"
            found = evaluate(params, title, separator, data, crafted, fabric.device, shard)
            if shard.is_first:
                remember(note, run, found)
        elif shard.is_first:
            print(f"evaluate {name}-{seed}: known already")
        results[name][seed] = found
    if not fabric.is_global_zero:
        return
    for folder, files in written.items():
        fresh_directory(folder, files, earlier)
    for name, models in results.items():
        summary = summarize(models, params.evaluate)
        write_json(metrics_file(name), {**summary, "training": training[name]})
        tables = pd.concat({seed: model.tracks for seed, model in models.items()}, names=["seed"])
        write_text(PLOTS / "tracks" / f"{name}.csv", tables.to_csv(float_format="%.9g"))
        write_text(PLOTS / "curves" / f"{name}.csv", curves[name])
    write_json(METRICS / "comparison.json", compare(results, params.evaluate))
    write_json(METRICS / "environment.json", describe_environment(params.runtime))
    write_json(METRICS / "ablation" / "index.json", {"variants": ", ".join(params.ablations)})


def _what_decides(params: Params, name: str, seed: int, data: PreparedData, device: str) -> str:
    """A hash of everything that the figures of one model depend on."""
    tree = params.model_dump(mode="json")
    chosen = [tree[key] for key in ("segments", "model", "attack")] + [tree["variants"][name]]
    chosen += [tree["evaluate"][key] for key in ("noise_draws", "bsseval", "seed")]
    chosen += [tree["runtime"][key] for key in ("precision", "compile", "threads")]
    files = [model_file(name, seed), adversarial_folder(name, seed) / INDEX]
    computed_by = [code_fingerprint(), torch.__version__, device]
    return fingerprint(chosen, [sha256(file) for file in files], data.fingerprint, computed_by)


def _mean_curve(name: str, seeds: list[int]) -> str:
    """The training curve of a variant: the mean over its seeds, as CSV."""
    files = [PLOTS / "train" / name / f"{seed}.csv" for seed in seeds]
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file; run the stage that writes it first")
    curves = pd.concat([pd.read_csv(file) for file in files])
    return curves.groupby("epoch").mean().to_csv(float_format="%.9g")


if __name__ == "__main__":
    run(main)
