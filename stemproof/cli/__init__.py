"""The command ``stemproof``: what there is, songs through systems, and whether a claim is one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemproof import __version__
from stemproof.cli.attack import attack
from stemproof.cli.audit import audit
from stemproof.cli.protect import protect
from stemproof.cli.separate import separate
from stemproof.core.ending import one_line
from stemproof.core.printing import keep_printing

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
EXAMPLES = {
    "separate": (
        "stemproof separate song.wav --with spleeter",
        "stemproof separate song.flac --with model.safetensors --window 30 --out stems",
    ),
    "attack": (
        "stemproof attack song.wav --with spleeter",
        "stemproof attack song.wav --with mine --vocals vocals.wav --snr 35",
    ),
    "audit": (
        "stemproof audit songs --with spleeter --with mine --out figures.json",
        "stemproof audit musdb18 --with unmix --excerpt 7 --steps 40",
    ),
    "protect": (
        "stemproof protect song.wav protected.wav",
        "stemproof protect song.wav protected.flac --against spleeter --snr 35 --for streaming",
    ),
    "kinds": ("stemproof kinds",),
    "attacks": ("stemproof attacks",),
    "figures": ("stemproof figures",),
    "claim": ("stemproof claim results/musdb18-7/*.json",),
    "board": ("stemproof board", "stemproof board results/musdb18-7/*.json --out /tmp"),
}


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="say which, and end")
    ] = False,
) -> None:
    """How robust is a music source separator to an adversary, and how do you know?"""


def _examples(name: str) -> str:
    # The mark keeps lines as they are.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[name])


for command in (separate, attack, audit, protect):
    app.command(epilog=_examples(command.__name__))(command)


@app.command(epilog=_examples("kinds"))
def kinds() -> None:
    """List the kinds of separators that params.yaml can name."""
    from stemproof.separators.registry import find_kind
    from stemproof.separators.registry import kinds as names

    _table([(name, find_kind(name).summary) for name in names()])


@app.command(epilog=_examples("attacks"))
def attacks() -> None:
    """List the attacks that `attack.method` can name, and the norms that each works with."""
    from stemproof.attacks.registry import METHODS

    _table([(m.name, f"{m.summary} ({', '.join(m.norms)})") for m in METHODS.values()])


@app.command(epilog=_examples("figures"))
def figures() -> None:
    """List every figure: key, unit, meaning."""
    from stemproof.figures.table import FIGURES

    _table([(f.key, f"{f.words} [{f.unit}]: {f.meaning}") for f in FIGURES])


@app.command(epilog=_examples("claim"))
def claim(
    files: Annotated[list[Path], typer.Argument(help="claims, as stages/claim.py writes them")],
) -> None:
    """Check that files are claims which agree with themselves, and say what each claims."""
    from stemproof.report.checking import read_checked

    for file in files:
        typer.echo(f"{file}: {read_checked(file).in_words()}")


@app.command(epilog=_examples("board"))
def board(
    claims: Annotated[
        list[Path] | None, typer.Argument(help="claims; those under results/ if none are named")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for board.md and board.html")] = Path("report"),
) -> None:
    """Write a table of claims for each threat model, ranked by break points."""
    from stemproof.core.errors import InputError
    from stemproof.core.files import write_text
    from stemproof.report.board import build_board, find_claims

    files = claims or find_claims()
    if not files:
        raise InputError("no claims under results/; name some, or write one with stages/claim.py")
    for name, text in build_board(files, out).items():
        write_text(out / name, text)
        typer.echo(out / name)


def _table(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, words in rows:
        typer.echo(f"{name:{width}}  {words}")


def main() -> None:
    """Run the command; a mistake of its user is one line and exit status 2."""
    keep_printing()
    with one_line():
        app()
