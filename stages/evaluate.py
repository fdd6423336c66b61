"""evaluate: clean, attacked and noisy figures of every variant, and their comparison."""

from typing import Any

import pandas as pd

from common import (
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
from rsvm.attacks.generate import load_adversarials
from rsvm.data.store import PreparedData
from rsvm.evaluate import Evaluation, compare, evaluate, summarize
from rsvm.files import fresh_directory, read_json, sha256, write_json, write_text
from rsvm.params import load_params
from rsvm.runtime import describe_environment, make_fabric, shard_of
from rsvm.systems import load_separator


def main() -> None:
    """Write metrics/<variant>.json, metrics/comparison.json and per-track tables."""
    params = load_params(PARAMS)
    fabric = make_fabric(params.runtime)
    data = PreparedData(PREPARED)
    training: dict[str, dict[str, Any]] = {name: {} for name in params.systems}
    for name, seed in params.models:
        training[name][str(seed)] = read_json(METRICS / "train" / name / f"{seed}.json")
    results: dict[str, dict[int, Evaluation]] = {name: {} for name in params.systems}
    for name, seed in params.models:
        crafted_with = sha256(model_file(*crafting_model(params, name, seed)))
        folder = adversarial_folder(name, seed)
        adversarials = load_adversarials(folder, params, data, crafted_with)
        separator = load_separator(model_file(name, seed), params, name, seed, fabric.device)
        results[name][seed] = evaluate(
            params,
            f"{name}-{seed}",
            separator,
            data,
            adversarials,
            fabric.device,
            shard_of(fabric),
        )
    if not fabric.is_global_zero:
        return
    fresh_directory(METRICS / "ablation")
    fresh_directory(PLOTS / "tracks")
    fresh_directory(PLOTS / "curves")
    for name, models in results.items():
        summary = summarize(models, params.evaluate)
        write_json(metrics_file(name), {**summary, "training": training[name]})
        tables = pd.concat({seed: model.tracks for seed, model in models.items()}, names=["seed"])
        write_text(PLOTS / "tracks" / f"{name}.csv", tables.to_csv(float_format="%.9g"))
        write_text(PLOTS / "curves" / f"{name}.csv", _mean_curve(name, list(models)))
    write_json(METRICS / "comparison.json", compare(results, params.evaluate))
    write_json(METRICS / "environment.json", describe_environment(params.runtime))
    write_json(METRICS / "ablation" / "index.json", {"variants": ", ".join(params.ablations)})


def _mean_curve(name: str, seeds: list[int]) -> str:
    """The training curve of a variant: the mean over its seeds, as CSV."""
    curves = pd.concat([pd.read_csv(PLOTS / "train" / name / f"{seed}.csv") for seed in seeds])
    return curves.groupby("epoch").mean().to_csv(float_format="%.9g")


if __name__ == "__main__":
    run(main)
