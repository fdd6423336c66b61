"""The threat model in words: who perturbs what, with what knowledge, how far."""

from __future__ import annotations

from stemproof.params import Params


def threat_in_words(params: Params) -> str:
    """Who perturbs what, with what knowledge and how, in a few sentences."""
    attack = params.attack
    budget = {
        "linf": f"max |delta| <= {attack.eps:g} (full scale 1)",
        "l2": f"||delta|| at {attack.snr:g} dB below the mixture",
        "l0": f"at most {attack.samples} samples, each by at most {attack.amplitude:g}",
    }[attack.norm]
    if attack.method == "minimal":
        budget = f"as small in {attack.norm} as costs {attack.drop:g} dB of SI-SDR"
    runs = "one run" if attack.restarts == 1 else f"{attack.restarts} runs"
    start = "random start" if attack.random_start else "start at the mixture"
    # Auto-PGD chooses its own step sizes.
    steps = f"{attack.step_rule}, first step {attack.step_size:g} of the budget"
    methods = {
        "pgd": f"PGD, {attack.steps} steps "
        f"({'Auto-PGD' if attack.step_rule == 'auto' else steps}), {runs}, {start}",
        "fgsm": "FGSM, one full step from the mixture",
        "search": f"random search, {attack.queries} queries",
        "noise": f"random signs, the worst of {attack.restarts} draws",
        "universal": f"learned in {attack.steps} passes",
        "minimal": "DeepFool for a regression",
        "sparse": f"sparse saliency in {attack.steps} rounds",
    }
    fate = {
        "fixed": "stays the clean one",
        "recomputed": "is recomputed from the mixture that is heard (attacked through a "
        "straight-through gradient)",
    }[attack.mask]
    mask = f"the mask, which {fate}"
    weights = "the weights" if attack.source == "self" else f"the weights of {attack.source}"
    if attack.method == "search":
        known = f"outputs only, not the weights; the true vocals, and {mask}"
    elif attack.method == "noise":
        known = f"outputs only, by which the worst draw is chosen; the true vocals, and {mask}"
    elif attack.method == "universal":
        known = f"{weights}, and training segments with their vocals and masks, but nothing of the "
        known += f"segment that is attacked, whose mask {fate}"
    else:
        known = f"{weights}, the true vocals and {mask}"
    how = f"{methods[attack.method]}; loss {attack.loss}"
    if attack.method not in ("search", "noise"):
        source = "the attacked model itself" if attack.source == "self" else attack.source
        how += f", gradients of {source}"
        if attack.eot_samples > 1:
            how += f", averaged over {attack.eot_samples} passes"
    if attack.method in ("pgd", "sparse", "search", "noise"):
        how += "; the worst that was found is kept"
    whom = f"Each segment of {params.segments.seconds:g} s is attacked by itself"
    if attack.method == "universal":
        whom = f"All segments of {params.segments.seconds:g} s get the same perturbation"
    return (
        f"The adversary adds a perturbation to the mixture only, {budget}, without clipping to "
        f"full scale, stored as float32. It knows {known}. {whom}: {how}."
    )
