"""``stemproof separate``: the vocals of a song, and the rest."""

from __future__ import annotations

from pathlib import Path

import typer

from stemproof.cli.options import (
    Device,
    Force,
    OnDevice,
    OutFolder,
    Samples,
    Set,
    SongFile,
    Subtype,
    Window,
    With,
    chosen,
    place,
)
from stemproof.cli.writing import name_of, read_song, refuse_existing, write_songs


def separate(
    song: SongFile,
    with_: With,
    set_: Set = None,
    out: OutFolder = None,
    window: Window = None,
    subtype: Samples = Subtype.FLOAT,
    device: OnDevice = Device.auto,
    force: Force = False,
) -> None:
    """Write the vocals of a song, and the rest (song minus vocals).

    They go to separated/SONG unless --out says otherwise. Memory: the song some eight times, and
    what the system needs, which grows with it unless the system works in windows (spleeter,
    demucs, openunmix do) or --window is given.
    """
    folder = out or Path("separated") / name_of(song)
    files = [folder / "vocals.wav", folder / "rest.wav"]
    recording = read_song(song)
    system = chosen(with_, set_)
    refuse_existing(files, force, [song])
    import torch

    from stemproof.api.song import fit, separate_song

    where = place(device)
    separator = system.separator(recording.sample_rate, where)
    separator = fit(separator, recording.sample_rate, recording.channels, window)
    mixture = torch.from_numpy(recording.samples).to(where)
    vocals = separate_song(separator, mixture)
    write_songs(
        dict(zip(files, (vocals, mixture - vocals), strict=True)), recording.sample_rate, subtype
    )
    share = 10 * torch.log10(vocals.square().sum() / mixture.square().sum())
    level = f"{float(share):.1f} dB relative to the song" if vocals.any() else "silence"
    typer.echo(
        f"{recording.seconds:.1f} s separated with {system.name}: vocals ({level}) and rest in "
        f"{folder}"
    )
