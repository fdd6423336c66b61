"""The threat model in words: who perturbs what, with what knowledge, how far."""

from __future__ import annotations

from rsvm.params import Params


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
    methods = {
        "pgd": f"PGD, {attack.steps} steps ({attack.step_rule}, first step {attack.step_size:g} of "
        f"the budget), {runs}, {start}",
        "fgsm": "FGSM, one full step from the mixture",
        "search": f"random search (outputs only), {attack.queries} queries",
        "noise": f"random signs, the worst of {attack.restarts} draws",
        "universal": f"one perturbation for all segments, learned on the training split in "
        f"{attack.steps} passes",
        "minimal": "DeepFool for a regression",
        "sparse": f"sparse saliency in {attack.steps} rounds",
    }
    mask = {
        "fixed": "the mask, which stays the clean one",
        "recomputed": "the mask, which is recomputed from the mixture that is heard (attacked "
        "through a straight-through gradient)",
    }[attack.mask]
    how = f"{methods[attack.method]}; loss {attack.loss}"
    if attack.method not in ("search", "noise"):
        source = "the attacked model itself" if attack.source == "self" else attack.source
        how += f", gradients of {source}"
        if attack.eot_samples > 1:
            how += f", averaged over {attack.eot_samples} passes"
    if attack.method in ("pgd", "sparse", "search", "noise"):
        how += "; the worst that was found is kept"
    known = "the weights" if attack.source == "self" else f"the weights of {attack.source}"
    return (
        f"The adversary adds a perturbation to the mixture only, {budget}, without clipping to "
        f"full scale, stored as float32. It knows {known}, the true vocals and {mask}. Each "
        f"segment of {params.segments.seconds:g} s is attacked by itself: {how}."
    )
