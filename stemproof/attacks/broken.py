"""Break points of the test split for one model: searched, stored, read again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field, JsonValue

from stemproof.attacks.breakpoints import LEVELS, BreakPoints, Broken, ScaledBreakPoints
from stemproof.attacks.budgets import Bound
from stemproof.attacks.craft import case_of
from stemproof.attacks.gate import describe, examine
from stemproof.attacks.params import AttackParams
from stemproof.attacks.score_based import passes as spent
from stemproof.attacks.score_based import score_based
from stemproof.attacks.store import Victim
from stemproof.attacks.threat import excerpts_for, played_to, threat_of
from stemproof.attacks.unfinished import keep_array, kept_names, read_whole
from stemproof.core.documents import ABSENT, Document, Hash, read_document
from stemproof.core.errors import InputError, explaining
from stemproof.core.files import (
    FloatArray,
    fingerprint,
    sha256,
    write_text,
)
from stemproof.core.made_with import MADE_WITH
from stemproof.core.ownership import renewed
from stemproof.core.params import Section, first_difference
from stemproof.core.progress import Progress
from stemproof.core.resume import code_fingerprint, finished
from stemproof.core.room import announce, grown, peak_memory
from stemproof.core.seals import write_sealed
from stemproof.core.shards import WHOLE, Shard
from stemproof.core.tables import read_table
from stemproof.data.excerpts import Excerpts
from stemproof.data.params import SegmentParams
from stemproof.data.store import PreparedData

ABOUT, TABLE = "about.json", "parts.csv"
FILES = (ABOUT, TABLE)
FORMAT = 1
ROW_BYTES = 4 * (1 + 2 * len(LEVELS))  # of a part that is done
AGAIN = "run find-break-points again"
KEYS = tuple(f"break_{level:g}db" for level in LEVELS)
# Parameters of an attack that a break point depends on; there is no budget.
OF_ATTACK = {"excerpt", "rendered", "mask", "without_gradient", "eot_samples", "seed"}


class AboutBreaks(Document):
    """``about.json``; files of before have no hash of the table."""

    formats = (FORMAT, FORMAT)
    cure = AGAIN

    made_with: dict[str, JsonValue]
    model_sha256: Hash
    data: Hash
    table_sha256: Hash = ABSENT


class BreakParams(Section):
    """The section ``breaks``: how long the smallest perturbations are sought, and on how much."""

    steps: int = Field(default=10, ge=1, le=10_000)
    per_track: int | None = Field(default=2, ge=1)
    loudest: float = Field(default=0.0, ge=-20, le=60)
    snr: float = Field(default=30.0, ge=-20, le=100)


def settings_of(params: BreakParams, attack: AttackParams, cut: SegmentParams) -> dict[str, Any]:
    """The parameters that break points are made with."""
    # With the sections of the methods that search where there is no gradient.
    used = OF_ATTACK | set(attack.without_gradient)
    return {
        "breaks": params.model_dump(mode="json"),
        "attack": attack.model_dump(mode="json", include=used),
        "segments": cut.model_dump(mode="json"),
    }


def find_break_points(
    params: BreakParams,
    attack: AttackParams,
    cut: SegmentParams,
    victim: Victim,
    data: PreparedData,
    device: torch.device,
    destination: Path,
    scratch: Path,
    shard: Shard = WHOLE,
    made_with: Mapping[str, Any] | None = None,
) -> None:
    """Search the break points of ``breaks.per_track`` parts of every test track, and store them.

    Parts of which a segment counts are taken, spread over the track. Parts that are done stand in
    ``scratch``, so that a run that was killed goes on where it stopped, until
    :func:`stemproof.core.resume.drop` removes them.

    Args:
        params: the section ``breaks``.
        attack: the section ``attack``, of which only what belongs to no budget is used.
        cut: the section ``segments``.
        victim: the system.
        data: prepared data.
        device: where to compute.
        destination: the folder of the result.
        scratch: for unfinished work, seen by all processes.
        shard: which of the processes this is.
        made_with: parameters that the result carries (:mod:`stemproof.core.made_with`).

    Raises:
        InputError: no segment counts, or what is computed is not a number.
    """
    tracks = played_to(victim.separator, data.tracks("test"), attack)
    excerpts = excerpts_for(victim.separator, tracks, cut, attack, data.sample_rate)
    chosen = _chosen(excerpts, params.per_track, cut.loud_db)
    settings, model = settings_of(params, attack, cut), sha256(victim.file)
    runtime = [torch.get_num_threads(), torch.__version__, device.type]
    run = fingerprint([settings, model, data.fingerprint], runtime, code_fingerprint())
    work = scratch / f"{victim.name}-{run[:16]}"
    with explaining(work, "written"):
        work.mkdir(parents=True, exist_ok=True)
    before = peak_memory()
    if shard.is_first:
        print(f"{victim.name}: checking its gradient", flush=True)
    checked = examine(victim.separator, excerpts, cut.loud_db, attack.seed, device)
    search = _search(params, attack, checked.passed)
    if shard.is_first:
        samples = sum(excerpts.places[part].samples for part in chosen)
        print(describe(checked, victim.name, search.passes, samples), flush=True)
        largest = excerpts.largest_batch(chosen, attack.batch)
        memory = grown(before, largest / checked.samples) if device.type == "cpu" else None
        announce(f"break points {victim.name}", work, ROW_BYTES * len(chosen), memory)
    units = list(excerpts.batches(chosen, attack.batch))
    progress = Progress(
        total=len(chosen),
        desc=f"break points {victim.name}",
        unit="segment" if threat_of(victim.separator) == "informed" else "excerpt",
        disable=not shard.is_first,
    )
    for number, unit in enumerate(units):
        if number % shard.count == shard.rank and _done(work, unit) is None:
            found = _searched(search, case_of(attack, victim.separator, excerpts, unit, device))
            if found is None:
                names = ", ".join(dict.fromkeys(excerpts.track(part) for part in unit))
                raise InputError(
                    f"{names}: output, loss or gradient is not a number; correct the recordings, "
                    "or train the system again"
                )
            keep_array(_file(work, unit), found)
        progress.update(len(unit))
    progress.close()
    shard.wait()
    if not shard.is_first:
        return
    rows = np.concatenate([_stored(work, unit) for unit in units])
    table = pd.DataFrame(rows, columns=["clean", *KEYS, *(f"reached_{key}" for key in KEYS)])
    table.insert(0, "track", [excerpts.track(part) for part in chosen])
    table.insert(1, "part", [excerpts.places[part].number for part in chosen])
    about = {"format": FORMAT, "made_with": settings, "model_sha256": model}
    about |= {"data": data.fingerprint, "gate": checked.document()}
    about |= {"threat": threat_of(victim.separator)}
    about |= {} if made_with is None else {MADE_WITH: dict(made_with)}
    content = table.to_csv(index=False, float_format="%.9g")
    about |= {"table_sha256": hashlib.sha256(content.encode()).hexdigest()}
    with renewed({destination: FILES}):
        write_text(destination / TABLE, content)
        write_sealed(destination / ABOUT, about)
    finished(work, kept_names(_file(work, unit).name for unit in units))
    points = ", ".join(
        f"{level} dB at {table[key].median():.1f} dB"
        for level, key in zip(LEVELS, KEYS, strict=True)
    )
    print(f"{victim.name}: median break points of {len(table)} parts: {points} below the mixture")


def _chosen(excerpts: Excerpts, per_track: int | None, loud_db: float) -> list[int]:
    """Parts that count, so many a track, spread over it."""
    loud = set(excerpts.loud(loud_db))
    if not loud:
        raise InputError("no test segment has audible vocals; see segments.loud_db")
    chosen: list[int] = []
    for track in range(len(excerpts.tracks)):
        own = [part for part in excerpts.of_track(track) if part in loud]
        if per_track is not None and len(own) > per_track:
            # The middles of so many equal shares of the track.
            places = (np.arange(per_track) + 0.5) * len(own) / per_track
            own = [own[int(place)] for place in places]
        chosen += own
    return chosen


def _search(
    params: BreakParams, attack: AttackParams, white_box: bool
) -> BreakPoints | ScaledBreakPoints:
    if white_box:
        return BreakPoints(params.steps, loudest=params.loudest)
    bound = Bound("l2", snr=params.snr)
    # What is held against the levels is what is searched for, in the budget of `bound`.
    own = attack.model_copy(update={"method": "pgd", "loss": "si_sdr"})
    return ScaledBreakPoints(
        score_based(own), bound, loudest=params.loudest, attack_passes=spent(own)
    )


def _searched(search: BreakPoints | ScaledBreakPoints, case: Any) -> FloatArray | None:
    """One row a part: the clean SI-SDR, the break points, and whether each was reached."""
    try:
        found: Broken = search(case)
    except ValueError:
        return None
    columns = [-found.clean[:, None], found.snr, found.reached.to(found.snr)]
    return torch.cat(columns, dim=1).float().cpu().numpy()


def _file(work: Path, unit: list[int]) -> Path:
    return work / f"{unit[0]:06d}.npy"


def _done(work: Path, unit: list[int]) -> FloatArray | None:
    return read_whole(_file(work, unit), (len(unit), 1 + 2 * len(LEVELS)))


def _stored(work: Path, unit: list[int]) -> FloatArray:
    found = _done(work, unit)
    if found is None:
        raise InputError(f"{_file(work, unit)}: gone while it was needed; run it again")
    return found


@dataclass(frozen=True)
class BreakTable:
    """The break points of one model.

    Attributes:
        tracks: one row a track, indexed by its name: medians over its parts, by ``KEYS``.
        counts: ``n_break_parts`` that were searched, and ``n_unbroken`` on which a level was not
            reached; for those the loudest perturbation that was allowed stands.
        made_with: the parameters.
    """

    tracks: pd.DataFrame
    counts: dict[str, int]
    made_with: Mapping[str, Any]


def read_break_points(
    folder: Path, settings: Mapping[str, Any], model: str, data: str
) -> BreakTable:
    """Read what :func:`find_break_points` stored.

    Args:
        folder: where it is.
        settings: what it must have been made with (:func:`settings_of`).
        model: hash of the model file that it must be of.
        data: hash of the recordings that it must be of.

    Raises:
        InputError: it is missing or damaged, or was made with something else.
    """
    about = read_document(folder / ABOUT, AboutBreaks)
    difference = first_difference(about["made_with"], settings)
    if difference:
        raise InputError(f"{folder}: made with {difference}; {AGAIN}")
    if about["model_sha256"] != model:
        raise InputError(f"{folder}: of another model than the adversarials; {AGAIN}")
    if about["data"] != data:
        raise InputError(f"{folder}: of other recordings than the adversarials; {AGAIN}")
    hashed = about.get("table_sha256")
    if hashed is not None and sha256(folder / TABLE) != hashed:
        raise InputError(f"{folder / TABLE}: damaged; {AGAIN}")
    flags = [f"reached_{key}" for key in KEYS]
    table = read_table(folder / TABLE, needs=["track"], filled=["part", *KEYS, *flags])
    reached = table[flags].to_numpy()
    if not np.isin(reached, (0, 1)).all() or table.duplicated(["track", "part"]).any():
        raise InputError(f"{folder / TABLE}: not a table of break points; {AGAIN}")
    counts = {"n_break_parts": len(table), "n_unbroken": int((reached == 0).any(axis=1).sum())}
    medians = table.groupby("track", sort=False)[list(KEYS)].median()
    return BreakTable(medians, counts, about["made_with"])
