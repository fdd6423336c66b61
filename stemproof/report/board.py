"""The board: all claims in one place, a table for each threat model."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from stemproof.core.files import fingerprint
from stemproof.figures import table
from stemproof.report.checking import read_checked
from stemproof.report.claims import Claim, Figure
from stemproof.report.markdown import cell

RESULTS = Path("results")
# Parameters that are named in the command of a claim, as far as it has them.
NAMED = (
    "data.source",
    "systems",
    "ablations",
    "own",
    "reference",
    "train.seeds",
    "runtime.precision",
    "runtime.threads",
    "attack.method",
    "attack.norm",
)
NORMS = {
    "linf": ("attack.eps",),
    "l2": ("attack.snr",),
    "l0": ("attack.samples", "attack.amplitude"),
}
OF_INFORMED, OF_BLIND = ("attack.mask",), ("attack.excerpt", "attack.rendered")
OF_SEARCH = ("breaks.steps", "breaks.per_track")
OF_TRAINING = ("rsvm.training.epochs",)  # of systems of kind rsvm
OF_AUDIT = (
    "audit.segments",
    "audit.steps",
    "audit.queries",
    "audit.minimal_drops",
    "audit.universal_epochs",
)
OF_EXCERPTS = ("audit.excerpts.segments", "audit.excerpts.steps", "audit.excerpts.queries")
RANKED = "break_3db"
LEVELS = (1, 3, 6)


@dataclass(frozen=True)
class Entry:
    """A claim and where it is.

    Attributes:
        claim: the claim.
        file: as seen from the board.
    """

    claim: Claim
    file: str

    @property
    def is_ranked(self) -> bool:
        """Attacked with gradients: else a low break point says little of the system."""
        return self.claim.white_box is not False and self.has_break_points

    @property
    def has_break_points(self) -> bool:
        """Whether there is anything to rank by."""
        return RANKED in self.claim.attacked

    @property
    def conditions(self) -> tuple[str, str, str]:
        """What must be the same for a rank to mean anything: recordings, cut, and search."""
        claim, parameters = self.claim, self.claim.parameters
        attack = {key: claim.attack.get(key) for key in ("excerpt", "rendered", "mask")}
        searched = [parameters.get("segments"), parameters.get("breaks"), attack]
        return claim.data.source, claim.data.sha256, fingerprint(searched)

    @property
    def order(self) -> tuple[Any, ...]:
        """Most robust first; last those that are not ranked."""
        found = self.claim.attacked.get(RANKED)
        value = 0.0 if found is None else found.value
        return not self.is_ranked, self.conditions, value, self.claim.variant, self.file


@dataclass(frozen=True)
class Row:
    """What is shown of a claim, as text; a pair is a figure and what stands in small beside it."""

    rank: str
    system: tuple[str, str]
    kind: str
    data: tuple[str, str]
    clean: tuple[str, str]
    attacked: tuple[str, str]
    breaks: list[tuple[str, str]]
    search: str
    flags: tuple[str, str]
    file: str
    commit: str
    command: str


@dataclass(frozen=True)
class Part:
    """The claims of one threat model.

    Attributes:
        informed: which one.
        headings: of clean and attacked figure.
        rows: with break points.
        others: without.
    """

    informed: bool
    headings: tuple[str, str]
    rows: list[Row] = field(default_factory=list)
    others: list[Row] = field(default_factory=list)


def find_claims(results: Path = RESULTS) -> list[Path]:
    """The claims in the folder of results, one folder a run."""
    return sorted(results.glob("*/*.json"))


def build_board(files: Sequence[Path], out: Path) -> dict[str, str]:
    """Render the board.

    Args:
        files: claims.
        out: the folder that it will be in, from which its links lead to the claims.

    Returns:
        ``board.md``, and ``board.html``, which stands by itself.

    Raises:
        InputError: a file is no claim, or does not agree with itself.
    """
    entries = [
        Entry(read_checked(file), Path(os.path.relpath(file, out)).as_posix()) for file in files
    ]
    parts = [
        _part(informed, own)
        for informed in (True, False)
        if (own := [entry for entry in entries if entry.claim.informed == informed])
    ]
    environment = Environment(
        loader=PackageLoader("stemproof.report", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell
    return {
        name: environment.get_template(name).render(parts=parts, levels=LEVELS)
        for name in ("board.md", "board.html")
    }


def _part(informed: bool, entries: Sequence[Entry]) -> Part:
    ordered = sorted(entries, key=lambda entry: entry.order)
    clean, attacked = (table.by_key()[key].said(informed) for key in ("bs", "at_bs"))
    found = Part(informed, (clean, attacked))
    for entry in ordered:
        rank = "not ranked"
        if entry.is_ranked:
            beside = [e for e in ordered if e.is_ranked and e.conditions == entry.conditions]
            # As many as are strictly more robust stand before it: equals share a rank.
            value = entry.claim.attacked[RANKED].value
            before = sum(e.claim.attacked[RANKED].value < value for e in beside)
            rank = f"{before + 1} of {len(beside)}"
        rows = found.rows if entry.has_break_points else found.others
        rows.append(_row(entry, rank))
    return found


def _row(entry: Entry, rank: str) -> Row:
    claim = entry.claim
    raised = [flag.name for flag in claim.flags if flag.raised]
    size = "" if claim.eps is None else f", eps {claim.eps:g}"
    value, interval = _figure(claim.attacked.get("at_bs"))
    found = f"{claim.audited_attack}{size}, SNR {claim.perturbation_snr:.1f} dB"
    tracks = claim.data.test_tracks
    marks = {
        "no white box": claim.white_box is False,
        "not recorded by DVC": claim.recorded == "seals",
    }
    return Row(
        rank,
        (claim.variant, ", ".join(mark for mark, holds in marks.items() if holds)),
        _kind(claim),
        (
            claim.data.source,
            f"{claim.data.sha256[:8]}, {tracks} recording{'s' if tracks > 1 else ''}",
        ),
        _figure(claim.clean.get("bs")),
        (value, f"{interval}; {found}" if interval else found),
        [_figure(claim.attacked.get(f"break_{level}db"), 1) for level in LEVELS],
        _search(claim),
        (f"{claim.flags_raised} of {len(claim.flags)}", ", ".join(raised)),
        entry.file,
        claim.git_commit[:8],
        command_of(claim),
    )


def _figure(found: Figure | None, digits: int = 2) -> tuple[str, str]:
    if found is None:
        return "-", ""
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}", "-, one recording"
    return f"{found.value:.{digits}f}", f"{found.low:.{digits}f}, {found.high:.{digits}f}"


def _search(claim: Claim) -> str:
    """How break points were searched, and on what."""
    if RANKED not in claim.attacked:
        return "-"
    said = []
    if "breaks" in claim.parameters:
        said.append(f"{claim.parameters['breaks']['steps']} steps")
    if claim.break_parts is not None:
        said.append(f"{claim.break_parts} parts, {claim.unbroken} not broken")
    if not claim.informed:
        excerpt = claim.excerpt
        said.append("whole recordings" if excerpt is None else f"excerpts of {excerpt:g} s")
    return ", ".join(said) or "-"


def _parameter(claim: Claim, name: str) -> Any:
    value: Any = claim.parameters
    for key in name.split("."):
        value = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
    return value


def _kind(claim: Claim) -> str:
    """Its kind, and for how long one that the run trains was trained."""
    kind = claim.kind or claim.settings.get("kind") or "-"
    epochs = _parameter(claim, OF_TRAINING[0])
    return f"{kind}, {epochs} epochs" if kind == "rsvm" and epochs is not _ABSENT else kind


def command_of(claim: Claim) -> str:
    """What the parameters of a claim say of the command that made it; a dash where nothing."""
    settings = []
    budget = NORMS.get(claim.attack.get("norm", ""), ())
    own = (*OF_INFORMED, *OF_AUDIT) if claim.informed else (*OF_BLIND, *OF_AUDIT, *OF_EXCERPTS)
    steps = f"attack.{claim.attack.get('method')}.steps"
    trained = OF_TRAINING if claim.kind == "rsvm" else ()
    for name in (*NAMED, *trained, steps, *budget, *OF_SEARCH, *own):
        value = _parameter(claim, name)
        if value is not _ABSENT:
            text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
            text = text.removesuffix("\n").removesuffix("\n...").replace(", ", ",")
            settings.append(f"-S {shlex.quote(f'{name}={text}')}")
    if not settings:
        return "-"
    if claim.data.source != "demo":
        settings.insert(1, "-S data.root=/path/to/recordings")
    return " ".join([f"git checkout {claim.git_commit[:8]} && dvc exp run", *settings])


_ABSENT = object()
