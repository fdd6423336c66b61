"""``stemproof attack``: an attacked song, and what a system makes of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemproof.cli.options import (
    SNR,
    Device,
    Eps,
    Force,
    OnDevice,
    OutFolder,
    Queries,
    Samples,
    Set,
    SongFile,
    Steps,
    Subtype,
    Window,
    With,
    attack_section,
    chosen,
    place,
)
from stemproof.cli.writing import name_of, read_song, refuse_existing, show, write_songs

if TYPE_CHECKING:
    from stemproof.api.song import AttackedSong

NAMES = ("attacked", "vocals-clean", "rest-clean", "vocals-attacked", "rest-attacked")


def attack(
    song: SongFile,
    with_: With,
    set_: Set = None,
    vocals: Annotated[
        Path | None,
        typer.Option(help="the true vocals, of the song's rate, channels and length"),
    ] = None,
    eps: Eps = None,
    snr: SNR = None,
    steps: Steps = 10,
    queries: Queries = 200,
    out: OutFolder = None,
    window: Window = None,
    subtype: Samples = Subtype.FLOAT,
    device: OnDevice = Device.auto,
    force: Force = False,
) -> None:
    """Attack a song, and separate it before and after.

    Writes the attacked song, vocals and rest of both, and attack.json (figures and parameters) to
    attacked/SONG unless --out says otherwise. Without --vocals the attack moves the output away
    from what the clean song gives, and figures are against that. A system whose gradient fails its
    checks is attacked without gradients. Figures are of the samples before a --subtype rounds them.

    Memory: the song some fifteen times, and what a gradient through the system keeps. That grows
    with the song unless the system works in windows by itself (spleeter, demucs, openunmix do) or
    --window is given: then it is that of one window.
    """
    folder = out or Path("attacked") / name_of(song)
    files = {name: folder / f"{name}.wav" for name in NAMES}
    params = attack_section(eps, snr, steps, queries)
    recording = read_song(song)
    true = None if vocals is None else read_song(vocals)
    if vocals is not None and true is not None:
        from stemproof.data.checks import check_held
        from stemproof.data.songs import check_vocals

        check_vocals(vocals, true, song, recording)
        check_held(vocals, song, [(recording.samples, true.samples)])
    system = chosen(with_, set_)
    own_files = [song, *([] if vocals is None else [vocals])]
    refuse_existing([*files.values(), folder / "attack.json"], force, own_files)
    import torch

    from stemproof.api.song import attack_song, fit
    from stemproof.core.files import write_json

    where = place(device)
    separator = system.separator(recording.sample_rate, where)
    separator = fit(separator, recording.sample_rate, recording.channels, window)
    mixture = torch.from_numpy(recording.samples).to(where)
    known = None if true is None else torch.from_numpy(true.samples).to(where)
    found = attack_song(separator, mixture, known, params, progress=True)
    written = (
        found.adversarial,
        found.clean,
        mixture - found.clean,
        found.attacked,
        found.adversarial - found.attacked,
    )
    write_songs(dict(zip(files.values(), written, strict=True)), recording.sample_rate, subtype)
    write_json(folder / "attack.json", _document(found, system.name, song))
    _say(found, system.name, folder)


def _document(found: AttackedSong, system: str, song: Path) -> dict[str, Any]:
    return {
        "system": system,
        "song": song.name,
        "against": found.against,
        # What is silent has no figure.
        "figures": {key: x for key, x in found.figures.items() if math.isfinite(x)},
        "gate": found.gate.document(),
        "attack": found.params.model_dump(mode="json"),
    }


def _say(found: AttackedSong, system: str, folder: Path) -> None:
    """The table, and the last line."""
    figures, params = found.figures, found.params
    if found.against == "output":
        typer.echo("no --vocals: SI-SDR is against the vocals that the clean song gives")
    rows = [["song over perturbation", _db(figures["snr"])]]
    if "clean" in figures:
        rows.append(["SI-SDR of the vocals, clean", _db(figures["clean"])])
    rows.append(["SI-SDR of the vocals, attacked", _db(figures["attacked"])])
    rows.append(["SI-SDR of the vocals, noise as large", _db(figures["noise"])])
    show(rows)
    typer.echo("gate: " + ("passed" if found.gate.passed else f"failed: {found.gate.reason}"))
    how, own = params.method, params.model_dump()
    if "gradient" not in params.of_method.needs:
        how += f" (without gradients, {own['search']['queries']} queries)"
    if math.isnan(figures.get("clean", 0.0)):
        said = f"has no figure: {system} puts out silence for the clean song"
    elif math.isnan(figures["attacked"]):
        said = f"silences {system}"
    elif "clean" in figures:
        cost, noise = (figures["clean"] - figures[key] for key in ("attacked", "noise"))
        said = f"costs {system} {_db(cost)} of SI-SDR, noise as large {_db(noise)}"
    else:
        said = (
            f"leaves {system} {_db(figures['attacked'])} of SI-SDR to its clean output, noise as "
            f"large {_db(figures['noise'])}"
        )
    typer.echo(f"{how} {said}; written to {folder}")


def _db(value: float) -> str:
    return "silence" if math.isnan(value) else f"{value:.2f} dB"
