"""The command ``stemproof``: what there is, songs through systems, and whether a claim is one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from stemproof.cli.attack import attack
from stemproof.cli.audit import audit
from stemproof.cli.separate import separate
from stemproof.core.errors import user_message

app = typer.Typer(
    help="How robust is a music source separator to an adversary, and how do you know?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (separate, attack, audit):
    app.command()(command)


@app.command()
def kinds() -> None:
    """List the kinds of separators that params.yaml can name."""
    from stemproof.separators.registry import find_kind
    from stemproof.separators.registry import kinds as names

    _table([(name, find_kind(name).summary) for name in names()])


@app.command()
def attacks() -> None:
    """List the attacks that `attack.method` can name, and the norms that each works with."""
    from stemproof.attacks.registry import METHODS

    _table([(m.name, f"{m.summary} ({', '.join(m.norms)})") for m in METHODS.values()])


@app.command()
def figures() -> None:
    """List every figure: key, unit, meaning."""
    from stemproof.figures.table import FIGURES

    _table([(f.key, f"{f.words} [{f.unit}]: {f.meaning}") for f in FIGURES])


@app.command()
def claim(
    files: Annotated[list[Path], typer.Argument(help="claims, as stages/claim.py writes them")],
) -> None:
    """Check that files are claims, and say what each claims in one line."""
    from stemproof.report.claims import read_claim

    for file in files:
        found = read_claim(file)
        rb = found.attacked["rb"]
        typer.echo(
            f"{file}: {found.variant}, RB {rb.value:.2f} dB [{rb.low:.2f}, {rb.high:.2f}], "
            f"{found.flags_raised} of {len(found.flags)} flags raised"
        )


def _table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, words in rows:
        typer.echo(f"{name:{width}}  {words}")


def main() -> None:
    """Run the command; a mistake of its user is one line and exit status 2."""
    try:
        app()
    except Exception as error:
        said = user_message(error)
        if said is None:
            raise
        typer.echo(f"error: {said}", err=True)
        sys.exit(2)
