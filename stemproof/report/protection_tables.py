"""Tables of what protection is worth, from documents of the stage ``protect``; also published ones.

Figures are medians over songs with intervals, in dB, and stand beside those of noise that is as
loud as the perturbation at every moment and frequency.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stemproof.core.documents import check_document
from stemproof.core.errors import InputError
from stemproof.core.files import read_json
from stemproof.protecting.summary import AgainstTruth, Beside, Measured
from stemproof.protecting.transforms import TRANSFORMS, tuned
from stemproof.report.markdown import as_table, cell

STUDY = Path("results/protection-musdb18-7/documents")
TRANSFERS = STUDY.with_name("transfers")  # made for one system, another, or both
BESIDE = ("protected", "noise", "difference")


def read_measured(path: Path) -> Measured:
    """A document of the stage ``protect``.

    Raises:
        InputError: it is missing, damaged, or of another format.
    """
    content = read_json(path)
    check_document(path, content, Measured)
    return Measured.model_validate(content)


def published(study: Path = STUDY) -> list[Measured]:
    """All documents of a study, by the name of the system and then by the size of perturbations.

    Args:
        study: folder of the documents.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    found = [read_measured(file) for file in sorted(study.glob("*.json"))]
    if not found:
        raise InputError(f"{study}: no document of the stage protect in it; restore it with git")
    return sorted(found, key=lambda one: (one.system, one.medians.costs.snr.value or 0.0))


def budgets(documents: Sequence[Measured]) -> str:
    """Markdown: what a protection costs and what it buys, a row a document."""
    header = ["against", "budget", "songs", "song over perturbation", "its loudness, LUFS"]
    header += ["below the threshold", *BESIDE]
    rows = []
    for one in documents:
        own, output = one.medians.costs, one.medians.systems[one.system].output
        below = "-" if own.below.value is None else f"{own.below.value:.1%}"
        costs = [cell(one.budget), str(one.n_tracks), str(own.snr), str(own.lufs), below]
        rows.append([one.made_for, *costs, *_beside(output)])
    return as_table(header, rows)


def survival(documents: Sequence[Measured]) -> str:
    """Markdown: what is left after each change, of documents in which that was measured."""
    header = ["against", "budget", "after", "made for it", *BESIDE]
    rows = []
    for one in documents:
        made_for = tuned(one.params["mix"], one.params["diverse"])
        if not one.medians.changes:
            continue
        changes = {"none": one.medians.systems[one.system].output, **one.medians.changes}
        for name, output in changes.items():
            about = [TRANSFORMS[name].words, "yes" if name in made_for else "no"]
            rows.append([one.made_for, cell(one.budget), *about, *_beside(output)])
    return as_table(header, rows)


def transfers(documents: Sequence[Measured]) -> str:
    """Markdown: what is protected against one system, played to all; a row a document."""
    names = list(dict.fromkeys(name for one in documents for name in one.medians.systems))
    header = ["made for", "budget", *(f"{name}: {way}" for name in names for way in BESIDE[::2])]
    rows = []
    for one in documents:
        cells = []
        for name in names:
            own = one.medians.systems.get(name)
            figures = ["-", "-", "-"] if own is None else _beside(own.output)
            cells += figures[::2]
        rows.append([one.made_for, cell(one.budget), *cells])
    return as_table(header, rows)


def taught(documents: Sequence[Measured]) -> str:
    """Markdown: the system before and after its training on protected songs."""
    header = ["system", "budget", "training", "dB", "before", "after", "after minus before"]
    rows = []
    for one in documents:
        own = one.medians.fine_tuning
        if own is None:
            continue
        said = one.params["fine_tuning"]
        training = f"{said['steps']} steps on {said['songs']} protected songs"
        about = [one.made_for, cell(one.budget), training]
        for way, gain in (("protected", own.regained), ("clean", own.price)):
            before, after = (str(getattr(true, way)) for true in (own.before, own.after))
            rows.append([*about, f"SI-SDR of {way} songs", before, after, str(gain)])
        bought = one.medians.systems[one.system].output.difference, own.output.difference
        rows.append([*about, "what aiming buys", *map(str, bought), ""])
    return as_table(header, rows)


def against_truth(documents: Sequence[Measured]) -> str:
    """Markdown: SI-SDR against the true vocals, a row a system and document."""
    ways = tuple(AgainstTruth.model_fields)
    rows = [
        [
            one.made_for,
            cell(one.budget),
            name,
            *(str(getattr(own.true, way)) for way in ways),
        ]
        for one in documents
        for name, own in one.medians.systems.items()
    ]
    return as_table(["made for", "budget", "system", *ways], rows)


def page(one: Measured) -> str:
    """What one run measured, as a page of Markdown."""
    parts = [
        f"# Songs protected against {one.made_for}\n\nMedians over {one.n_tracks} songs of the "
        "test split with intervals over songs, in dB. `protected`: SI-SDR of the vocals that are "
        "separated from the protected song against those of the clean one; `noise`: the same of "
        "noise that is as loud at every moment and frequency; `difference`: what the aiming buys.\n"
    ]
    parts += [budgets([one]), "## On whom\n", transfers([one]), against_truth([one])]
    parts += [f"{name} is left out: {reason}.\n" for name, reason in one.left_out.items()]
    if one.medians.changes:
        parts += ["## What is left after a change\n", survival([one])]
    if one.medians.fine_tuning is not None:
        parts += ["## An opponent who trains the system\n", taught([one])]
    return "\n".join(parts)


def _beside(figures: Beside) -> list[str]:
    return [str(getattr(figures, way)) for way in BESIDE]
