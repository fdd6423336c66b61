"""evaluate: clean, attacked and noisy figures of every variant, and their comparison."""

from common import (
    ADVERSARIAL,
    METRICS,
    MODELS,
    PARAMS,
    PLOTS,
    PREPARED,
    crafting_model,
    metrics_file,
    run,
)
from rsvm.attacks.generate import load_adversarials
from rsvm.data.store import PreparedData
from rsvm.evaluate import compare, evaluate
from rsvm.files import fresh_directory, read_json, sha256, write_json, write_text
from rsvm.model.checkpoint import load_model
from rsvm.params import load_params
from rsvm.runtime import describe_environment, make_fabric
from rsvm.separator import InformedRSVM


def main() -> None:
    """Write metrics/<variant>.json, metrics/comparison.json and per-track tables."""
    params = load_params(PARAMS)
    device = make_fabric(params.runtime).device
    data = PreparedData(PREPARED)
    results = {}
    for name in params.systems:
        crafted_with = sha256(crafting_model(params, name)[1])
        adversarials = load_adversarials(ADVERSARIAL / name, params, data, crafted_with)
        model = load_model(MODELS / f"{name}.safetensors", params, name).to(device)
        results[name] = evaluate(params, name, InformedRSVM(model), data, adversarials, device)
    fresh_directory(METRICS / "ablation")
    fresh_directory(PLOTS / "tracks")
    for name, result in results.items():
        training = read_json(METRICS / "train" / f"{name}.json")
        write_json(metrics_file(name), {**result.summary, "training": training})
        write_text(PLOTS / "tracks" / f"{name}.csv", result.tracks.to_csv(float_format="%.9g"))
    comparison = compare(results["improved"].tracks, results["baseline"].tracks, params.evaluate)
    write_json(METRICS / "comparison.json", comparison)
    write_json(METRICS / "environment.json", describe_environment(params.runtime))
    write_json(METRICS / "ablation" / "index.json", {"variants": ", ".join(params.ablations)})


if __name__ == "__main__":
    run(main)
