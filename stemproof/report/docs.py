"""Tables of the documentation that are written from the code: figures, attacks, kinds.

``python -m stemproof.report.docs`` refreshes them, between their markers in the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from stemproof.attacks.registry import METHODS
from stemproof.core.errors import InputError
from stemproof.core.files import opened, write_text
from stemproof.figures import table
from stemproof.separators.registry import find_kind, kinds

PAGE = Path("docs/definitions.md")


def figures() -> str:
    """Every figure of the summaries, with key, unit and meaning."""
    known = [figure for figure in table.FIGURES if figure.listed]
    return _table(
        ("key", "unit", "meaning"),
        [(f"`{figure.key}`", figure.unit, f"{figure.words}: {figure.meaning}") for figure in known],
    )


def methods() -> str:
    """Every value of ``attack.method``, with its norms."""
    return _table(
        ("`attack.method`", "norms", "what it is"),
        [
            (f"`{name}`", ", ".join(method.norms), method.summary)
            for name, method in METHODS.items()
        ],
    )


def separators() -> str:
    """Every value of ``kind`` of an entry under ``separators``."""
    return _table(
        ("`kind`", "what it is"), [(f"`{name}`", find_kind(name).summary) for name in kinds()]
    )


TABLES: dict[str, Callable[[], str]] = {
    "figures": figures,
    "attacks": methods,
    "separators": separators,
}


def refreshed(page: str) -> str:
    """A page with all of its tables as the code has them.

    Raises:
        InputError: the page lacks the markers of a table.
    """
    for name, render in TABLES.items():
        start, end = f"<!-- {name}: from the code -->\n", f"<!-- end of {name} -->\n"
        before, found, rest = page.partition(start)
        _, ended, after = rest.partition(end)
        if not (found and ended):
            raise InputError(
                f"{PAGE}: the lines `{start.strip()}` and `{end.strip()}` are missing; restore them"
            )
        page = before + start + render() + end + after
    return page


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Refresh the page of the project in this folder."""
    with opened(PAGE, "no such file; run from the project's root") as stream:
        page = stream.read().decode()
    write_text(PAGE, refreshed(page))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
