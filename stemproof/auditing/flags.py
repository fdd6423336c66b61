"""From figures to flags: what makes a robustness figure doubtful, in plain words."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from stemproof.auditing.flag import Figures, Flag
from stemproof.auditing.params import AuditParams
from stemproof.auditing.scores import fall
from stemproof.auditing.words import attacked, db
from stemproof.figures.collapse import WITHOUT_ENERGY


def collapsed(figures: Figures, settings: AuditParams) -> Flag:
    """A figure says nothing of segments for which nothing is put out."""
    found = figures["collapsed"]
    raised = found["clean"] + found["attacked"] > 0
    return Flag(
        "collapsed",
        raised,
        f"nothing (at most {WITHOUT_ENERGY:g} of the energy of the true vocals) is put out for "
        f"{found['clean']} of {found['segments']} clean segments and {found['attacked']} attacked "
        "ones; medians of figures leave them out, break points count them as broken"
        if raised
        else "something is put out for every segment",
    )


def no_white_box(figures: Figures, settings: AuditParams) -> Flag:
    """A gradient that is of no use hides how weak a system is."""
    failed = [check for check in figures["gate"]["checks"] if not check["passed"]]
    return Flag(
        "no white box",
        bool(failed),
        "the figures are of attacks without gradients, and say less: "
        + "; ".join(check["reason"] for check in failed)
        if failed
        else "the gradient passed its checks before the attack",
    )


def randomized(figures: Figures, settings: AuditParams) -> Flag:
    """Two passes over one input must agree bit for bit."""
    difference = figures["repeat_difference"]
    return Flag(
        "randomized",
        difference > 0,
        f"two passes over the same input differ by up to {difference:.2g}; score it as an entry of "
        "its own, attacked with eot_samples > 1"
        if difference
        else "two passes over the same input are bit-identical",
    )


def zero_gradients(figures: Figures, settings: AuditParams) -> Flag:
    """A gradient that vanishes hides the way, it does not close it."""
    share = figures["gradient"]["zero_share"]
    return Flag(
        "zero gradients",
        share > settings.zero_gradient_share,
        f"{share:.1%} of the input gradients are exactly zero where the mixture sounds",
    )


def wrong_gradients(figures: Figures, settings: AuditParams) -> Flag:
    """The gradient must predict what a small step does."""
    error = figures["gradient"]["finite_difference_error"]
    return Flag(
        "wrong gradients",
        error > settings.gradient_error,
        f"the gradient differs from a finite difference by {error:.1%} (median)",
    )


def nan_on_silence(figures: Figures, settings: AuditParams) -> Flag:
    """Silence must give numbers."""
    broken = bool(figures["gradient"]["nan_on_silence"])
    return Flag(
        "NaN on silence",
        broken,
        "output or gradient is NaN on silence" if broken else "silence gives finite numbers",
    )


def black_box_beats_white_box(figures: Figures, settings: AuditParams) -> Flag:
    """An attack without gradients must not do better than one with them."""
    found = figures["black_box"]
    return Flag(
        "black box beats white box",
        found["beats_white_box"] > settings.black_box_share,
        f"random search with {found['queries']} queries is stronger on "
        f"{found['beats_white_box']:.1%} of the segments",
    )


def not_converged(figures: Figures, settings: AuditParams) -> Flag:
    """More steps or more restarts must not matter."""
    # FGSM is among them: one step that beats many is a sign of masked gradients.
    own, best = figures["steps"][str(figures["default_steps"])], min(figures["steps"].values())
    steps, restarts = fall(own, best), fall(*figures["restarts"].values())
    worst = max(steps, restarts)
    return Flag(
        "not converged",
        worst >= settings.tolerance_db,
        f"another number of steps lowers {attacked(figures)} by {db(max(steps, 0))}, "
        f"twice the restarts by {db(restarts)}",
    )


def weak_step_rule(figures: Figures, settings: AuditParams) -> Flag:
    """No other way of stepping may be stronger."""
    best = min(figures["rules"], key=figures["rules"].get)
    gain = fall(figures["at_bs"], figures["rules"][best])
    return Flag(
        "weak step rule",
        gain >= settings.tolerance_db,
        f"the best rule ({best}) lowers {attacked(figures)} by {db(max(gain, 0))}",
    )


def weak_loss(figures: Figures, settings: AuditParams) -> Flag:
    """No other loss may be stronger, nor the worst of all per segment."""
    gain = fall(figures["at_bs"], figures["objectives"]["worst"])
    return Flag(
        "weak loss",
        gain >= settings.tolerance_db,
        f"the worst of {len(figures['objectives']) - 1} losses per segment lowers "
        f"{attacked(figures)} by {db(max(gain, 0))}",
    )


def not_monotone(figures: Figures, settings: AuditParams) -> Flag:
    """A larger budget must not help the system, until nothing is left to lose."""
    worst = figures["mixture_si_sdr"]
    values = [max(value, worst) for value in figures["eps"].values()]
    rise = max((after - before for before, after in itertools.pairwise(values)), default=0.0)
    return Flag(
        "not monotone",
        rise > settings.tolerance_db,
        f"the largest rise of {attacked(figures)} from one eps to the next is "
        f"{max(rise, 0):.3f} dB",
    )


def does_not_collapse(figures: Figures, settings: AuditParams) -> Flag:
    """A huge budget must break every system."""
    factor, at_bs = list(figures["eps"].items())[-1]
    left = (
        f"{attacked(figures)} is {at_bs:.1f} dB" if math.isfinite(at_bs) else "nothing is put out"
    )
    return Flag(
        "does not collapse",
        at_bs > figures["mixture_si_sdr"],
        f"at {factor} times eps {left}; the mixture itself scores "
        f"{figures['mixture_si_sdr']:.1f} dB",
    )


def worse_than_the_mixture(figures: Figures, settings: AuditParams) -> Flag:
    """Who separates nothing has nothing to lose."""
    mixture, clean = figures["mixture_si_sdr"], figures["bs"]
    if math.isnan(clean):
        return Flag("separates worse than the mixture", True, "nothing is put out")
    return Flag(
        "separates worse than the mixture",
        clean < mixture,
        f"without an attack the separated vocals score {clean:.1f} dB, the mixture itself "
        f"{mixture:.1f} dB",
    )


def no_better_than_noise(figures: Figures, settings: AuditParams) -> Flag:
    """The attack must be more than noise of the same size."""
    if math.isnan(figures["bs"]):
        return Flag("no better than noise", True, "without an attack nothing is put out, either")
    drop = figures["bs"] - figures["at_bs"]
    noise = max(kind["worst"] for kind in figures["noise"].values())
    return Flag(
        "no better than noise",
        drop <= 2 * max(noise, 0),
        f"the attack costs {db(drop)}, the worst random noise of the same norm {db(noise, 4)}",
    )


def stronger_from_elsewhere(figures: Figures, settings: AuditParams) -> Flag:
    """An attack crafted on another model must not beat the model's own; nor for another seed."""
    gains = [
        (cell.get("gain", math.nan), source, played)
        for played, cells in figures["transfer"].items()
        for source, cell in cells.items()
    ]
    gain, source, played = max((g for g in gains if not math.isnan(g[0])), default=(0.0, "", ""))
    return Flag(
        "stronger from elsewhere",
        gain >= settings.tolerance_db,
        f"what was crafted on {source} costs {played} {db(gain)} more, on the same parts"
        if gain > 0
        else f"of {len(next(iter(figures['transfer'].values())))} sources none is stronger",
    )


def weak_mask_gradient(figures: Figures, settings: AuditParams) -> Flag:
    """A recomputed mask must not be stronger against its own attack than against its twin's."""
    if "masks" not in figures:
        return Flag("weak mask gradient", False, "the system has no mask")
    own = figures["masks"]["recomputed"]["recomputed"]
    gain = fall(own, figures["masks"]["fixed"]["recomputed"])
    left = f"AT-BS is {own:.2f} dB" if math.isfinite(own) else "nothing is put out"
    measured = f"through the straight-through gradient {left}; what was crafted on "
    measured += f"the fixed mask lowers it by {db(max(gain, 0))} more"
    if figures["mask"] == "fixed":
        return Flag("weak mask gradient", False, f"not in use; with a recomputed mask, {measured}")
    return Flag("weak mask gradient", gain >= settings.tolerance_db, measured)


def aim_not_reached(figures: Figures, settings: AuditParams) -> Flag:
    """An attack that has a loss to reach, and no budget, must reach it everywhere."""
    if not figures["aim"]:
        return Flag("aim not reached", False, "the attack aims at no loss, but at the worst")
    found, wanted = figures["aim"], db(figures["aim"]["drop"], 1)
    missed = found["missed"]
    return Flag(
        "aim not reached",
        missed > 0,
        f"on {missed} of {found['parts']} parts no perturbation was found that costs {wanted}: SNR "
        "and drop there are of a weaker one"
        if missed
        else f"on each of {found['parts']} parts the perturbation costs {wanted}",
    )


def few_seeds(figures: Figures, settings: AuditParams) -> Flag:
    """A difference between two trained models may be the luck of training."""
    seeds = figures["seeds"]
    if seeds is None:
        return Flag("few seeds", False, "not trained: there is no luck of training")
    return Flag(
        "few seeds",
        seeds < settings.seeds,
        f"{seeds} training {'seed' if seeds == 1 else 'seeds'}, at least {settings.seeds} are "
        "needed to tell a difference from luck (train.seeds)"
        if seeds < settings.seeds
        else f"{seeds} training seeds",
    )


def budget_violated(figures: Figures, settings: AuditParams) -> Flag:
    """Nothing may exceed the budget, also after reading it back."""
    used = figures["budget_used"]
    return Flag(
        "budget violated", used > 1, f"the largest stored perturbation is {used:.6f} of the budget"
    )


# By name: what each check needs to have been measured.
CHECKS: dict[str, tuple[Callable[[Figures, AuditParams], Flag], tuple[str, ...]]] = {
    "budget violated": (budget_violated, ("budget_used",)),
    "collapsed": (collapsed, ("collapsed",)),
    "no white box": (no_white_box, ("gate",)),
    "randomized": (randomized, ("repeat_difference",)),
    "zero gradients": (zero_gradients, ("gradient",)),
    "wrong gradients": (wrong_gradients, ("gradient",)),
    "NaN on silence": (nan_on_silence, ("gradient",)),
    "separates worse than the mixture": (worse_than_the_mixture, ("bs", "mixture_si_sdr")),
    "no better than noise": (no_better_than_noise, ("noise",)),
    "not converged": (not_converged, ("steps", "restarts")),
    "weak step rule": (weak_step_rule, ("rules",)),
    "weak loss": (weak_loss, ("objectives",)),
    "not monotone": (not_monotone, ("eps",)),
    "does not collapse": (does_not_collapse, ("eps",)),
    "black box beats white box": (black_box_beats_white_box, ("black_box", "gradient")),
    "stronger from elsewhere": (stronger_from_elsewhere, ("transfer",)),
    "weak mask gradient": (weak_mask_gradient, ()),
    "aim not reached": (aim_not_reached, ("aim",)),
    "few seeds": (few_seeds, ("seeds",)),
}


def raise_flags(figures: Figures, settings: AuditParams) -> list[Flag]:
    """Run every check on one system's figures; what was not measured says so."""
    return [
        check(figures, settings)
        if all(need in figures for need in needs)
        else Flag(name, False, "not measured", measured=False)
        for name, (check, needs) in CHECKS.items()
    ]
