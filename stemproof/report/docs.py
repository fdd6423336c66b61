"""Tables and pictures of the documentation, from the code, params.yaml, and what results/ holds.

``python -m stemproof.report.docs`` refreshes them: tables between their markers in the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stemproof.attacks.registry import METHODS
from stemproof.core.ending import one_line
from stemproof.core.errors import InputError
from stemproof.core.files import opened, write_text
from stemproof.figures import table
from stemproof.paper.li2022 import RSVM
from stemproof.protecting.summary import Measured
from stemproof.report import (
    graphs,
    lengths,
    parameters,
    power,
    protection_tables,
    stored_audit,
    stored_runs,
)
from stemproof.report.front import front
from stemproof.report.markdown import as_table
from stemproof.report.paper_claims import against_paper
from stemproof.separators.registry import find_kind, kinds

RESULTS = Path("results")


def _tracks(run: Path, system: str) -> Path:
    return run / f"plots/tracks/{system}.csv"


def _minus_baseline(run: Path, *systems: str) -> dict[str, tuple[Path, Path]]:
    return {f"{name} minus {RSVM}": (_tracks(run, name), _tracks(run, RSVM)) for name in systems}


AGAINST_BASELINE = _minus_baseline(
    stored_runs.LONG,
    *("improved", "attention-only", "dropout-only", "conv-control"),
    *("elementwise-dropout", "robust", "separation-only", "stft"),
)
# Beside each other, apart from the reference.
PARTS = {
    f"{first} minus {second}": (_tracks(stored_runs.LONG, first), _tracks(stored_runs.LONG, second))
    for first, second in (
        ("improved", "attention-only"),
        ("improved", "dropout-only"),
        ("improved", "elementwise-dropout"),
        ("improved", "conv-control"),
        ("attention-only", "dropout-only"),
        ("conv-control", "dropout-only"),
        ("robust", "separation-only"),
    )
}
OF_PARTS = ("paired_bs", "paired_at_bs", "paired_drop", *stored_runs.COMPARED_BREAKS)
# Seed 218 of the same recipe, trained and attacked on a CPU.
AGAIN = {
    f"{name}, {words} minus the above": (_tracks(folder, name), _tracks(stored_runs.LONG, name))
    for words, folder, names in (
        ("float32", stored_runs.FLOAT32, ("baseline", "improved")),
        (
            "bfloat16",
            stored_runs.BFLOAT16,
            ("baseline", "improved", "attention-only", "dropout-only"),
        ),
    )
    for name in names
}
# Two trainings of those on a CPU that went on.
LONGER = {
    "improved minus baseline, 64 epochs": (
        _tracks(stored_runs.BFLOAT16, "improved"),
        _tracks(stored_runs.BFLOAT16, "baseline"),
    ),
    "improved minus baseline, 100 epochs": (
        _tracks(stored_runs.LONGER, "improved"),
        _tracks(stored_runs.LONGER, "baseline"),
    ),
    **{
        f"{name}, 100 minus 64 epochs": (
            _tracks(stored_runs.LONGER, name),
            _tracks(stored_runs.BFLOAT16, name),
        )
        for name in ("baseline", "improved")
    },
}
# One training of each on a CPU: the other regularizer of RSVM, and what an attack in L2 costs.
ON_A_CPU = ("improved", "attention-only", "dropout-only", "sinkhorn")
IN_LINF = _minus_baseline(stored_runs.BFLOAT16, *ON_A_CPU)
IN_L2 = _minus_baseline(stored_runs.L2, *ON_A_CPU)
OF_AGAIN = ("si_sdr", "paired_bs", "paired_at_bs", "paired_drop", *stored_runs.COMPARED_BREAKS)
FIRST_SCREEN = ("si_sdr", "bs", "at_bs", "rb", "drop", "break_3db")


def figures() -> str:
    """Every figure of the summaries, with key, unit and meaning."""
    known = [figure for figure in table.FIGURES if figure.listed]
    return as_table(
        ("key", "unit", "meaning"),
        [(f"`{figure.key}`", figure.unit, f"{figure.words}: {figure.meaning}") for figure in known],
    )


def methods() -> str:
    """Every value of ``attack.method``, with its norms."""
    return as_table(
        ("`attack.method`", "norms", "what it is"),
        [
            (f"`{name}`", ", ".join(method.norms), method.summary)
            for name, method in METHODS.items()
        ],
    )


def separators() -> str:
    """Every value of ``kind`` of an entry under ``separators``."""
    return as_table(
        ("`kind`", "what it is"), [(f"`{name}`", find_kind(name).summary) for name in kinds()]
    )


def board() -> str:
    """What the claims say that have break points."""
    return front(RESULTS)


def _of_protection(
    table: Callable[[Sequence[Measured]], str], study: Path = protection_tables.STUDY
) -> Callable[[], str]:
    """A table of the documents that were published of the stage ``protect``."""
    return lambda: table(protection_tables.published(study))


TABLES: dict[Path, dict[str, Callable[[], str]]] = {
    Path("docs/definitions.md"): {
        "figures": figures,
        "attacks": methods,
        "separators": separators,
    },
    Path("docs/parameters.md"): {"parameters": parameters.sections},
    Path("README.md"): {
        "board": board,
        "rsvm": lambda: stored_runs.systems(stored_runs.LONG, FIRST_SCREEN, with_paper=True),
    },
    Path("docs/results.md"): {
        "paper": against_paper,
        "epochs": lengths.over_epochs,
        "lengths": lengths.by_length,
        "two": lengths.of_two,
        "longer": lengths.beyond,
        "longer-differences": lambda: stored_runs.contrasts(LONGER, OF_AGAIN),
        "short": lambda: stored_runs.systems(
            stored_runs.SHORT, (*stored_runs.FIGURES, "noise_drop"), with_paper=True
        ),
        "short-differences": lambda: stored_runs.differences(
            stored_runs.SHORT, ("bs", "at_bs", "rb", "rb_net", "paired_drop"), digits=3
        ),
        "systems": lambda: stored_runs.systems(stored_runs.LONG, with_paper=True),
        "bsseval": lambda: stored_runs.bsseval(stored_runs.LONG),
        "differences": lambda: stored_runs.differences(stored_runs.LONG),
        "differences-of-breaks": lambda: stored_runs.differences(
            stored_runs.LONG, stored_runs.COMPARED_BREAKS
        ),
        "parts": lambda: stored_runs.contrasts(PARTS, OF_PARTS),
        "power": lambda: power.power(AGAINST_BASELINE, OF_PARTS),
        "power-of-parts": lambda: power.power(PARTS, OF_PARTS),
    },
    Path("docs/more-results.md"): {
        "again": lambda: stored_runs.contrasts(AGAIN, OF_AGAIN, seed=218),
        "choices": lengths.by_choice,
        "mixtures": lengths.of_mixtures,
        "budgets": lengths.by_budget,
        "songs": lengths.by_songs,
        "sinkhorn": lambda: stored_runs.contrasts(IN_LINF, OF_AGAIN),
        "l2": lambda: stored_runs.systems(stored_runs.L2, ("bs", "at_bs", "rb", "drop")),
        "l2-differences": lambda: stored_runs.contrasts(
            IN_L2, ("paired_at_bs", "rb", "paired_drop")
        ),
    },
    Path("docs/audit-musdb18-7.md"): {
        **{
            key: partial(stored_audit.table, stored_runs.LONG, columns)
            for key, columns in stored_audit.PAGE.items()
        },
        "audit-transfer": lambda: stored_audit.transfer(stored_runs.LONG, ("218", "218")),
        "audit-transfer-seeds": lambda: stored_audit.transfer(stored_runs.LONG, ("218", "219")),
        "audit-flags": lambda: stored_audit.flags(stored_runs.LONG),
    },
    Path("docs/protect.md"): {
        "protection-budgets": _of_protection(protection_tables.budgets),
        "protection-truth": _of_protection(protection_tables.against_truth),
        "protection-transfers": _of_protection(protection_tables.transfers),
        "protection-survival": _of_protection(protection_tables.survival),
        "protection-ensembles": _of_protection(
            protection_tables.transfers, protection_tables.TRANSFERS
        ),
        "protection-ensembles-truth": _of_protection(
            protection_tables.against_truth, protection_tables.TRANSFERS
        ),
        "protection-fine-tuning": _of_protection(protection_tables.taught),
    },
}


def refreshed(name: Path, page: str) -> str:
    """A page with all of its tables as they are now.

    Args:
        name: of the page, as in :data:`TABLES`.
        page: its text.

    Raises:
        InputError: the page lacks the markers of a table, or a claim cannot be read.
    """
    for key, render in TABLES[name].items():
        start, end = (
            f"<!-- {key}: written by stemproof.report.docs -->\n",
            f"<!-- end of {key} -->\n",
        )
        before, found, rest = page.partition(start)
        _, ended, after = rest.partition(end)
        if not (found and ended):
            raise InputError(
                f"{name}: the lines `{start.strip()}` and `{end.strip()}` are missing; restore them"
            )
        page = before + start + render() + end + after
    return page


def main() -> None:
    """Refresh pages and pictures of the project in this folder."""
    pages = {}
    for name in TABLES:
        with opened(name, "no such file; run from the project's root") as stream:
            pages[name] = refreshed(name, stream.read().decode())
    pages |= {name: graphs.document(name) for name in graphs.GRAPHS}
    for name, page in pages.items():
        write_text(name, page)


if __name__ == "__main__":
    with one_line():
        main()
