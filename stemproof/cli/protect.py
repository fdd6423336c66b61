"""``stemproof protect``: a song that sounds the same, and that separators stumble over."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemproof.cli.options import SYSTEM, Device, Force, OnDevice, Set, SongFile, place, settings
from stemproof.cli.writing import show
from stemproof.core.errors import InputError

if TYPE_CHECKING:
    from stemproof.api.choosing import Chosen


class Mix(StrEnum):
    """What a protection is made to survive."""

    file = "file"
    streaming = "streaming"
    everything = "everything"


Out = Annotated[Path, typer.Argument(help="the protected song: a .wav or .flac file")]
Against = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help=f"{SYSTEM}; repeat it for several; without it all that are at hand"
    ),
]
Also = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="a system to measure, and not to aim at; repeat it"),
]
Stems = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="folder with vocals.wav: the true vocals")
]
Masking = Annotated[
    float | None,
    typer.Option(
        min=-40,
        max=60,
        metavar="DB",
        help="budget: so far below the song's masking threshold; 3 if no budget is given",
    ),
]
SNR = Annotated[
    float | None,
    typer.Option(
        "--snr", min=0, max=100, help="budget: song over perturbation in every window, dB"
    ),
]
Eps = Annotated[
    float | None, typer.Option(max=1, help="budget: largest change of a sample, full scale 1")
]
For = Annotated[Mix, typer.Option("--for", help="what it shall survive")]


def protect(
    song: SongFile,
    protected: Out,
    against: Against = None,
    set_: Set = None,
    also: Also = None,
    stems: Stems = None,
    masking: Masking = None,
    snr: SNR = None,
    eps: Eps = None,
    for_: For = Mix.streaming,
    diverse: Annotated[
        bool, typer.Option("--diverse", help="draw more changes, for better transfer")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="gradient steps in each window")] = 30,
    window: Annotated[
        float, typer.Option(min=0.25, max=600, metavar="SECONDS", help="protected at once")
    ] = 11.5,
    bits: Annotated[int, typer.Option(help="16 or 24, of the samples that are written")] = 24,
    gain: Annotated[
        float, typer.Option(min=-60, max=20, metavar="DB", help="make the song louder beforehand")
    ] = 0.0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a page with players and figures")
    ] = None,
    device: OnDevice = Device.auto,
    force: Force = False,
) -> None:
    """Make of a finished song one that sounds the same, and that separators stumble over.

    What was bought (what separators make of it, beside noise of the same size) and what it cost
    are printed, and written beside it as JSON. It raises the cost of one use of the song and
    forbids nothing: see docs/protect.md. A run that is ended goes on where it was when it is
    started again; until it is done it keeps its windows in .stemproof-protect beside the output.
    No listening test was made.
    """
    from stemproof.api.protecting import json_of
    from stemproof.api.protecting import protect as protect_song

    if set_ and len(against or []) != 1:
        raise InputError(
            f"--set {set_[0]}: name the one system that it belongs to with --against; for several "
            "make entries under `separators` of params.yaml"
        )
    found = protect_song(
        song,
        protected,
        against=_chosen(against, set_),
        also=_chosen(also, None) or [],
        vocals=None if stems is None else _vocals(stems),
        report=report,
        progress=True,
        force=force,
        device=place(device),
        mix=for_.value,
        diverse=diverse,
        steps=steps,
        window=window,
        fade=min(0.5, window / 4),
        bits=bits,
        gain=gain,
        **_budget(masking, snr, eps),
    )
    _say(found.document)
    written = [str(protected), str(json_of(protected)), *([] if report is None else [str(report)])]
    typer.echo(f"written to {', '.join(written)}")


def _budget(masking: float | None, snr: float | None, eps: float | None) -> dict[str, Any]:
    given = {"masking": masking, "snr": snr, "eps": eps}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise InputError(f"--{' and --'.join(named)} are several budgets; name one")
    if not named:
        return {}
    return {"budget": named[0], "size": given[named[0]]}


def _chosen(names: list[str] | None, set_: list[str] | None) -> list[Chosen] | None:
    from stemproof.api.choosing import choose

    if not names:
        return None
    return [choose(name, settings(set_), where=f"--against {name}") for name in names]


def _vocals(folder: Path) -> Path:
    from stemproof.data.songs import SUFFIXES, VOCALS

    if folder.is_file():
        return folder
    found = [file for end in SUFFIXES if (file := folder / f"{VOCALS}{end}").is_file()]
    if not found:
        raise InputError(f"{folder}: no {VOCALS}.wav in it; name the folder of the true stems")
    return found[0]


def _say(document: dict[str, Any]) -> None:
    """What was bought, and what it cost."""
    from stemproof.report.protection_words import conclusions, cost_rows, effect_rows

    for note in document["notes"]:
        typer.echo(f"note: {note}", err=True)
    show(cost_rows(document))
    typer.echo("")
    show(effect_rows(document))
    typer.echo("")
    for sentence in conclusions(document):
        typer.echo(sentence)
