"""The report's tables, as data: one definition, rendered as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stemproof.figures import table
from stemproof.figures.figure import Figure, Place
from stemproof.paper import li2022

Metrics = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """What is said, and in small beside it an interval or a reason."""

    text: str
    note: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings; the first of each row says whose it is.

    ``kind`` is how it looks in HTML, ``caption`` what it shows.
    """

    header: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    kind: str = ""
    caption: str = ""


def db(value: float, digits: int = 2) -> str:
    """A figure in dB."""
    return f"{value:.{digits}f}"


ABSENT = Cell("-", "not of this system")
COLLAPSED = Cell("-", "all collapsed")
NOT_COMPARED = Cell("-", "not of both systems")
# In place of an interval: how much recordings differ is not known from a single one.
ONE_RECORDING = "-, one recording"
# The figures that a reader looks for stand first, also on a narrow screen.
LEADING = ("rb", "drop", "bs", "at_bs")


def cell(metrics: Metrics, figure: Figure, system: Metrics | None = None) -> Cell:
    """A figure, and its interval where it has one; a dash, and why, where one is missing.

    Args:
        metrics: of a system, or of one of its seeds.
        figure: which one.
        system: the metrics of the system, when those of a seed are shown.
    """
    key, digits = figure.key, figure.digits
    whole = metrics if system is None else system
    if key not in metrics:
        return COLLAPSED if key in whole or key in whole.get("without_value", ()) else ABSENT
    ends = [metrics[end] for end in (f"{key}_low", f"{key}_high") if end in metrics]
    note = ", ".join(db(end, digits) for end in ends)
    if figure.interval and system is None and not ends:
        note = ONE_RECORDING
    return Cell(db(metrics[key], digits), note)


def name_of(system: Metrics) -> Cell:
    """The name of a system; its figures say less where there was no white-box attack."""
    return Cell(system["name"], "" if system["gate"]["passed"] else "no white box")


def are_informed(systems: Sequence[Metrics]) -> bool:
    """Whether the systems of a table, all of one threat model, are informed ones."""
    return bool(systems[0]["informed"])


def heading(figure: Figure, informed: bool) -> str:
    """Its words; SI-SDR is also what all others are measured in."""
    said = figure.said(informed)
    return f"{said} of the reconstruction" if said == "SI-SDR" else said


def _rank(figure: Figure) -> int:
    return LEADING.index(figure.key) if figure.key in LEADING else len(LEADING)


def placed(systems: Sequence[Metrics], place: Place) -> list[Figure]:
    """The figures of one table that any of the systems has, or would have if it put out sound."""
    figures = [figure for figure in table.FIGURES if figure.place == place]
    known = {key for system in systems for key in (*system, *system.get("without_value", ()))}
    return [figure for figure in figures if figure.key in known]


def result(systems: Sequence[Metrics]) -> Table:
    """The systems of one threat model; below informed ones, those of the paper."""
    informed = are_informed(systems)
    figures = sorted(placed(systems, "result"), key=_rank)
    words = "dB: median over a track's segments, then over tracks, then the mean over seeds"
    found = Table(["system", *(heading(f, informed) for f in figures)], caption=f"Result, {words}")
    for system in systems:
        found.rows.append([name_of(system), *(cell(system, figure) for figure in figures)])
    for name, row in li2022.TABLE.items() if informed else ():
        cells = [Cell(db(row[f.key])) if f.key in row else Cell("not given") for f in figures]
        found.rows.append([Cell(name, kind="paper"), *cells])
    return found


def differences(comparison: Metrics, informed: bool) -> Table | None:
    """Every system minus the reference, with adjusted p-values; None where there is no other.

    Args:
        comparison: of one threat model.
        informed: which one.
    """
    others = {name: of for name, of in comparison.items() if isinstance(of, Mapping)}
    if not others:
        return None
    figures = {
        key: figure
        for key, figure in sorted(table.compared().items(), key=lambda item: _rank(item[1]))
        if any(key in entries for entries in others.values())
    }
    words = [heading(figure, informed) for figure in figures.values()]
    caption = "Differences in dB, paired by track and seed"
    found = Table([f"minus {comparison['reference']}", *words], kind="wrap", caption=caption)
    for name, entries in others.items():
        found.rows.append([Cell(name), *(_difference(entries.get(key)) for key in figures)])
    return found


def _difference(entry: Metrics | None) -> Cell:
    if entry is None:
        return NOT_COMPARED
    note = ONE_RECORDING
    if "low" in entry:
        note = f"{entry['low']:+.2f}, {entry['high']:+.2f}"
    if "p_holm" in entry:
        note += f"; p = {entry['p_holm']:.3f}"
    return Cell(f"{entry['difference']:+.3f}", note)


def controls(systems: Sequence[Metrics]) -> Table:
    """What must stand beside a difference of medians."""
    figures, informed = placed(systems, "beside"), are_informed(systems)
    clean, loss = (table.by_key()[key].said(informed) for key in ("bs", "rb"))
    words = [heading(figure, informed) for figure in figures]
    caption = f"What must stand beside {loss}, in dB but for output gain and {loss} / {clean}"
    found = Table(["system", f"{loss} / {clean}", *words], caption=caption)
    for system in systems:
        relative = Cell(f"{clean} is not positive")
        if "rb_relative" in system:
            relative = Cell(db(system["rb_relative"]))
        elif {"bs", "rb"} & {*system.get("without_value", ())}:
            relative = COLLAPSED
        cells = [cell(system, figure) for figure in figures]
        found.rows.append([Cell(system["name"]), relative, *cells])
    return found


def excerpts(systems: Sequence[Metrics]) -> Table | None:
    """Figures of all that a blind system hears at once; None where no system has any."""
    figures = placed(systems, "excerpt")
    if not figures:
        return None
    caption = "Over all that a system hears at once, in dB"
    found = Table(["system", *(figure.words for figure in figures)], caption=caption)
    for system in systems:
        found.rows.append([name_of(system), *(cell(system, figure) for figure in figures)])
    return found


def breaks(systems: Sequence[Metrics]) -> Table | None:
    """Break points; None where none were searched."""
    figures = placed(systems, "break")
    if not figures:
        return None
    header = ["system", *(figure.words for figure in figures), "parts, not broken"]
    found = Table(header, caption="Break points: mixture over perturbation in dB")
    for system in systems:
        cells = [cell(system, figure) for figure in figures]
        parts = Cell("-")
        if "n_break_parts" in system:
            parts = Cell(f"{system['n_break_parts']}, {system['n_unbroken']}")
        found.rows.append([name_of(system), *cells, parts])
    return found


def seeds(systems: Sequence[Metrics]) -> Table:
    """Every training seed by itself."""
    rows = [own for system in systems for own in system["seeds"].values()]
    figures = [figure for figure in table.FIGURES if any(figure.key in own for own in rows)]
    informed = are_informed(systems)
    words = [heading(figure, informed) for figure in figures]
    caption = "Every training seed by itself, in dB"
    found = Table(["system", "seed", *words], caption=caption)
    for system in systems:
        for seed, own in system["seeds"].items():
            cells = [cell(own, figure, system) for figure in figures]
            found.rows.append([Cell(system["name"]), Cell(seed), *cells])
    return found


def bsseval(systems: Sequence[Metrics]) -> Table | None:
    """BSSEval, clean / attacked; None when it was not computed."""
    scored = [system for system in systems if "bsseval" in system]
    if not scored:
        return None
    clean = [system["bsseval"].get("clean", {}) for system in scored]
    figures = list(dict.fromkeys(figure for own in clean for figure in own))
    caption = "BSSEval v4 of the vocals in dB, clean / attacked"
    found = Table(["system", *map(str.upper, figures), "tracks not scored"], caption=caption)
    for system in scored:
        scores = system["bsseval"]
        row = [Cell(system["name"])]
        for figure in figures:
            both = [
                db(scores[condition][figure]) if condition in scores else "-"
                for condition in ("clean", "attacked")
            ]
            row.append(Cell(" / ".join(both)))
        failures = f"{scores['clean_failures']} / {scores['attacked_failures']}"
        found.rows.append([*row, Cell(failures)])
    return found


def models(systems: Sequence[Metrics]) -> Table:
    """Sizes and training, one row a model."""
    rows = [own for system in systems for own in system["training"].values()]
    sizes = list(dict.fromkeys(k for own in rows for k in own if k.startswith("parameters")))
    words = [size.removeprefix("parameters_") for size in sizes]
    header = ["system", "seed", *words, "gate after training", "epochs"]
    found = Table(header, caption="Models: numbers of weights, and training")
    for system in systems:
        for seed, own in system["training"].items():
            counts = [f"{own[size]:,}" if size in own else "-" for size in sizes]
            gate = f"{own['gate']:.3f}" if "gate" in own else "-"
            cells = [system["name"], seed, *counts, gate, str(own["epoch"])]
            found.rows.append([Cell(text) for text in cells])
    return found


def data(splits: Mapping[str, Metrics]) -> Table:
    """What was learned on and tested on."""
    header = ["split", "tracks", "seconds", "segments", "silent segments"]
    found = Table(header, caption="Recordings")
    for split in ("train", "valid", "test"):
        own = splits[split]
        keys = ("tracks", "seconds", "segments", "silent_segments")
        found.rows.append([Cell(split), *(Cell(str(own[key])) for key in keys)])
    return found
