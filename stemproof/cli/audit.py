"""``stemproof audit``: systems on a folder of songs with stems, and whether to believe it."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemproof.cli.options import (
    SNR,
    Device,
    Eps,
    Force,
    OnDevice,
    Queries,
    Set,
    Several,
    Steps,
    attack_section,
    place,
    several,
)
from stemproof.cli.writing import refuse_existing, show

if TYPE_CHECKING:
    from stemproof.api.folder import FolderAudit

ROWS = (
    ("clean", "bs"),
    ("attacked", "at_bs"),
    ("paired drop", "drop"),
    ("drop under noise", "noise_drop"),
    ("song over perturbation", "perturbation_snr"),
    ("break point 1 dB", "break_1db"),
    ("break point 3 dB", "break_3db"),
    ("break point 6 dB", "break_6db"),
)


def audit(
    folder: Annotated[
        Path,
        typer.Argument(
            help="songs: a folder a song with mixture.wav and vocals.wav, or .stem.mp4; of "
            "MUSDB18's train/ and test/ the test songs"
        ),
    ],
    with_: Several,
    set_: Set = None,
    excerpt: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="of every song only so much, where its vocals are loudest; whole songs without",
        ),
    ] = None,
    eps: Eps = None,
    snr: SNR = None,
    steps: Steps = 10,
    queries: Queries = 200,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file for all figures")] = None,
    device: OnDevice = Device.auto,
    force: Force = False,
) -> None:
    """Attack systems on songs with stems: figures, break points, and flags.

    Gate, attack, break points, figures and audit are those of the pipeline, on one excerpt (or the
    whole) of every song; the audit is a short one. Figures are SI-SDR in dB, medians over songs,
    with 95 % intervals over songs where there are two or more. Break points are the song over the
    smallest perturbation that costs so many dB: a higher one is a weaker system.
    """
    import torch

    from stemproof.api.folder import audit_folder, document, expected_seconds, open_systems
    from stemproof.api.folder_params import FolderParams
    from stemproof.core.files import write_json
    from stemproof.core.room import counted, in_time
    from stemproof.data.songs import find_songs, prepare_songs

    params = FolderParams(attack_section(eps, snr, steps, queries))
    songs = find_songs(folder)
    systems = several(with_, set_)
    if out is not None:
        refuse_existing([out], force)
    where = place(device)
    # Bars and what stages say are not the result.
    with tempfile.TemporaryDirectory(prefix="stemproof-") as name, redirect_stdout(sys.stderr):
        work = Path(name)
        data = prepare_songs(songs, work / "songs", params.cut, excerpt)
        opened = open_systems(systems, data, work, where)
        much = in_time(expected_seconds(opened, data, params, where))
        heard = sum(track.samples for track in data.tracks("test")) / data.sample_rate
        names = ", ".join(one.name for one in opened)
        said = f"{counted(len(songs), 'song')}, {heard:.0f} s, {names}: {much}"
        typer.echo(said, err=True)
        torch.manual_seed(params.attack.seed)
        found = audit_folder(opened, data, params, work, where)
        if out is not None:
            write_json(out, document(found, data, params))
    _say(found, out)


def _say(found: Sequence[FolderAudit], out: Path | None) -> None:
    """The table, the flags, and the last line."""
    show([["dB", *(one.name for one in found)], *_rows(found)])
    for one in found:
        raised = [flag for flag in one.flags if flag.raised]
        for flag in raised:
            typer.echo(f"{one.name}: RAISED {flag.name}: {flag.reason}")
        measured = sum(flag.measured for flag in one.flags)
        typer.echo(
            f"{one.name} ({one.threat}, {one.attack}): {len(raised)} of {measured} flags raised"
            + _conclusion(one)
        )
    if out is not None:
        typer.echo(f"written to {out}")


def _rows(found: Sequence[FolderAudit]) -> list[list[str]]:
    rows = [[words, *(_figure(one.summary, key) for one in found)] for words, key in ROWS]
    collapsed = [f"{one.summary['n_collapsed']} of {one.summary['n_segments']}" for one in found]
    return [*rows, ["collapsed segments", *collapsed]]


def _figure(summary: Any, key: str) -> str:
    value = summary.get(key, math.nan)
    if math.isnan(value):
        return "none"
    digits = 3 if "drop" in key else 2
    if f"{key}_low" not in summary:
        return f"{value:.{digits}f}"
    low, high = summary[f"{key}_low"], summary[f"{key}_high"]
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _conclusion(one: FolderAudit) -> str:
    if "drop" not in one.summary or "noise_drop" not in one.summary:
        return ""
    drop, noise = one.summary["drop"], one.summary["noise_drop"]
    return f"; the attack costs {drop:.3f} dB, noise as large {noise:.3f} dB"
