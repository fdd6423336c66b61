"""A song that separators stumble over: protected, written, measured, reported."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stemproof import protecting
from stemproof.api.at_hand import AtHand, named_once, opened, systems_at_hand
from stemproof.api.choosing import Chosen, choose
from stemproof.api.song import fit
from stemproof.core.errors import InputError, explaining
from stemproof.core.files import fingerprint, sha256, write_json, write_text
from stemproof.core.params import validate
from stemproof.core.progress import Progress
from stemproof.core.room import counted, in_time
from stemproof.data.checks import check_held
from stemproof.data.long import LongAudio, lay_out
from stemproof.data.tags import copy_tags
from stemproof.protecting import run
from stemproof.protecting.aims import Aim
from stemproof.protecting.costs import costs
from stemproof.protecting.params import ProtectParams
from stemproof.protecting.preparing import check_song, checked_aims
from stemproof.protecting.stored import check_format
from stemproof.protecting.work import check_room, scratch
from stemproof.separators.own import noise
from stemproof.separators.protocol import Separator
from stemproof.separators.repeating import Repeating

SCHEMA = "protection-1"
ROOMS = ("protecting", "attacks", "separators/wrappers")
BYSTANDER = "repeating"
# Of a song while it is worked on: it, its windows, what is stored, noise, and the file.
COPIES = 6
System = str | Chosen | Separator


@dataclass(frozen=True)
class Protected:
    """What :func:`protect` did.

    Attributes:
        document: everything that was measured, as it is in the JSON file.
        song: the protected file.
        report: the page; None where none was asked for.
    """

    document: dict[str, Any]
    song: Path
    report: Path | None


def protect(
    song: str | Path,
    out: str | Path,
    *,
    against: Sequence[System] | None = None,
    also: Sequence[System] = (),
    vocals: str | Path | None = None,
    report: str | Path | None = None,
    params: ProtectParams | None = None,
    progress: bool = False,
    force: bool = False,
    device: torch.device | str = "cpu",
    **settings: Any,
) -> Protected:
    """Protect a finished song against separators, and say what was bought and what it cost.

    Args:
        song: wav, flac, mp3, m4a, ogg or .stem.mp4 (its mixture), of one or two channels.
        out: wav or flac file, as long as the song to the sample; its figures are written beside
            it, as JSON.
        against: systems that it is made for: names as of ``--with``, or separators; by default
            all that are at hand.
        also: further systems on which it is measured.
        vocals: the true vocals, of the song's rate, channels and length, if there are any.
        report: file for a page with players and figures.
        params: how, instead of settings.
        progress: whether a bar is shown.
        force: whether files that are there are written over.
        device: where to compute.
        settings: of :class:`stemproof.protecting.params.ProtectParams`.

    Raises:
        InputError: the song, a system or a setting cannot be used, or a file not be written.
    """
    path, out = Path(song), Path(out)
    page = None if report is None else Path(report)
    if params is None:
        params = validate(ProtectParams, settings, "protect")
    elif settings:
        raise InputError("name either params or settings of the protection, not both")
    _check_files([path, *([] if vocals is None else [Path(vocals)])], out, page, force)
    where = torch.device(device)
    with explaining(path, "read"):
        if not path.exists():
            raise InputError(f"{path}: no such file; correct its name")
        size = path.stat().st_size
    with scratch(out, _source_key(path, params, vocals)) as work:
        check_room(work, COPIES * size)
        held = lay_out(path, work / "song.f32", 10 ** (params.gain / 20))
        check_song(path, held, params.gain)
        check_room(work, COPIES * 4 * held.samples * held.channels)
        stem = None if vocals is None else _stem(Path(vocals), held, path, work, params)
        aims, others, notes = _systems(against, also, held, where, params)
        own = work / fingerprint(_behaviour([*aims], where))[:16]
        own.mkdir(exist_ok=True)
        job = run.Job(held, stem, aims, others, params, own, where)
        document = _worked(job, path, out, page, notes, progress)
    return Protected(document, out, page)


def _worked(
    job: run.Job, path: Path, out: Path, page: Path | None, notes: list[str], progress: bool
) -> dict[str, Any]:
    steps, passes = run.passes(job)
    done = len(job.windows.starts) - len(run.unfinished(job))
    if progress:
        much = in_time(run.estimated_seconds(job))
        again = f", done before: {counted(done, 'window')}" if done else ""
        names = ", ".join(aim.name for aim in job.aims)
        Progress.write(f"{job.song.seconds:.0f} s against {names}: {much}{again}", file=sys.stderr)
    with Progress(total=steps, desc="protect", unit="step", disable=not progress) as bar:
        run.perturb(job, bar.update)
    stored = run.store(job, out)
    copied = copy_tags(path, out)
    ways = run.played(job, stored)
    with Progress(total=passes, desc="measure", unit="pass", disable=not progress) as bar:
        found = run.measured(job, ways, bar.update)
    document = {
        "schema_version": SCHEMA,
        "song": path.name,
        "protected": out.name,
        "seconds": job.song.seconds,
        "sample_rate": job.song.sample_rate,
        "channels": job.song.channels,
        "params": job.params.model_dump(mode="json"),
        "budget": job.params.words,
        "against": [aim.name for aim in job.aims],
        "true_vocals": job.stem is not None,
        "costs": costs(job.song, stored, job.params.bits),
        "effects": found,
        "tags": copied,
        "notes": notes,
        "sha256": sha256(out),
    }
    write_json(json_of(out), document)
    if page is not None:
        from stemproof.report.protection import build_page

        write_text(page, build_page(document, ways, job.aims, job.others))
    return document


def json_of(out: Path) -> Path:
    """Where the figures of a protected song stand."""
    return out.with_suffix(".json")


def _check_files(heard: Sequence[Path], out: Path, page: Path | None, force: bool) -> None:
    check_format(out)
    files = [out, json_of(out), *([] if page is None else [page])]
    for number, file in enumerate(files):
        with explaining(file, "used"):
            if file.exists() and any(one.exists() and file.samefile(one) for one in heard):
                raise InputError(
                    f"{file}: the song itself, or its vocals; name another file to write to"
                )
            if file.absolute() in [other.absolute() for other in files[:number]]:
                raise InputError(f"{file}: two things shall be written there; name two files")
            if file.is_dir():
                raise InputError(f"{file}: a folder, where a file shall be written; name a file")
            if file.exists() and not force:
                raise InputError(f"{file}: there already; name another file, or add --force")
            place = file.absolute().parent
            if not place.is_dir():
                raise InputError(f"{place}: no such folder; make it, or name another")
            if not os.access(place, os.W_OK | os.X_OK):
                raise InputError(f"{place}: not writable for this user; name another folder")


def _source_key(path: Path, params: ProtectParams, vocals: str | Path | None) -> str:
    """All that the work is of, but for the systems."""
    files = [sha256(path), None if vocals is None else sha256(Path(vocals))]
    return fingerprint([files, params.model_dump(mode="json"), _code()])


def _code() -> str:
    """Of the modules that windows are computed by; systems are known by what they give."""
    package = Path(protecting.__file__).parent.parent
    sources = [file for room in ROOMS for file in sorted((package / room).rglob("*.py"))]
    return fingerprint([[str(file.relative_to(package)), sha256(file)] for file in sources])


def _behaviour(aims: Sequence[Aim], device: torch.device) -> list[Any]:
    """Names of systems, and what they make of a second of noise: other weights, other work."""
    found = []
    for aim in aims:
        heard = noise(1, aim.separator.channels, aim.separator.sample_rate, device)
        with torch.no_grad():
            given = aim.vocals(heard).cpu().contiguous().numpy()
        found.append([aim.name, hashlib.sha256(given.tobytes()).hexdigest()])
    return found


def _stem(path: Path, song: LongAudio, of: Path, work: Path, params: ProtectParams) -> LongAudio:
    stem = lay_out(path, work / "vocals.f32", 10 ** (params.gain / 20))
    told = (stem.sample_rate, stem.channels, stem.samples)
    wanted = (song.sample_rate, song.channels, song.samples)
    if told != wanted:
        raise InputError(
            f"{path}: {told[0]} Hz, {told[1]} channel(s), {told[2]} samples, but {of} has "
            f"{wanted[0]} Hz, {wanted[1]} channel(s), {wanted[2]} samples; the vocals must be as "
            "they are in the song"
        )
    if not any(block.any() for block in stem.blocks()):
        raise InputError(f"{path}: silent from beginning to end; leave --stems out")
    check_held(path, of, zip(song.blocks(), stem.blocks(), strict=True))
    return stem


def _systems(
    against: Sequence[System] | None,
    also: Sequence[System],
    song: LongAudio,
    device: torch.device,
    params: ProtectParams,
) -> tuple[list[Aim], list[Aim], list[str]]:
    """Systems that are aimed at, others, and notes on those that are left out."""
    notes = list[str]()
    further = [_opened(one, song.sample_rate, device) for one in also]
    if against is None:
        at_hand, left = systems_at_hand(song.sample_rate, device)
        notes += [f"not aimed at: {reason}" for reason in left]
        named = [one for one in at_hand if one.name not in [other.name for other in further]]
    else:
        named = named_once([_opened(one, song.sample_rate, device) for one in against])
        at_hand, _ = systems_at_hand(song.sample_rate, device)
        known = [one.name for one in (*named, *further)]
        further += [one for one in at_hand if one.name not in known]
    wanted = [_fitted(one, song) for one in named]
    good, refused = checked_aims(wanted, song, device, params.seed)
    for name, reason in refused.items():
        if against is not None:
            raise InputError(
                f"{name} cannot be aimed at: {reason}; name another system with --against, and "
                "this one with --also, to measure it"
            )
        notes.append(f"not aimed at: {name}: {reason}")
    if not good:
        said = f" ({'; '.join(notes)})" if notes else ""
        raise InputError(
            "no separator to protect against: name one with --against, install one (pip install "
            f"'stemproof[spleeter]'), or give an entry of params.yaml its weights{said}"
        )
    others = [_fitted(one, song) for one in named_once(further)]
    others += [aim for aim in wanted if aim.name in refused and "nothing" not in refused[aim.name]]
    others.append(Aim(BYSTANDER, Repeating(song.sample_rate, song.channels)))
    return good, others, notes


def _opened(one: System, sample_rate: int, device: torch.device) -> AtHand:
    if isinstance(one, str):
        one = choose(one)
    if isinstance(one, Chosen):
        return opened(one, sample_rate, device)
    return AtHand(type(one).__name__, one)


def _fitted(one: AtHand, song: LongAudio) -> Aim:
    try:
        return Aim(one.name, fit(one.separator, song.sample_rate, song.channels))
    except InputError as error:
        raise InputError(f"{one.name}: {error}") from None
