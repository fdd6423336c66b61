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
    """Rows of cells under headings; ``kind`` is how it looks in HTML."""

    header: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    kind: str = ""


def db(value: float, digits: int = 2) -> str:
    """A figure in dB."""
    return f"{value:.{digits}f}"


ABSENT = Cell("-", "not of this system")
COLLAPSED = Cell("-", "all collapsed")
NOT_COMPARED = Cell("-", "not of both systems")
# In place of an interval: how much recordings differ is not known from a single one.
ONE_RECORDING = "-, one recording"


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
    """Its words; of a difference, what is subtracted."""
    if not figure.minus:
        return figure.said(informed)
    first, second = (table.by_key()[key].said(informed) for key in figure.minus)
    return f"{figure.said(informed)} = {first} - {second}"


def placed(systems: Sequence[Metrics], place: Place) -> list[Figure]:
    """The figures of one table that any of the systems has, or would have if it put out sound."""
    figures = [figure for figure in table.FIGURES if figure.place == place]
    known = {key for system in systems for key in (*system, *system.get("without_value", ()))}
    return [figure for figure in figures if figure.key in known]


def result(systems: Sequence[Metrics]) -> Table:
    """The systems of one threat model; below informed ones, those of the paper."""
    figures, informed = placed(systems, "result"), are_informed(systems)
    found = Table(["system", *(heading(figure, informed) for figure in figures)])
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
        for key, figure in table.compared().items()
        if any(key in entries for entries in others.values())
    }
    words = [figure.said(informed) for figure in figures.values()]
    found = Table([f"minus {comparison['reference']}", *words], kind="wrap")
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
    words = [figure.said(informed) for figure in figures]
    found = Table(["system", f"{loss} / {clean}", *words])
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
    found = Table(["system", *(figure.words for figure in figures)])
    for system in systems:
        found.rows.append([name_of(system), *(cell(system, figure) for figure in figures)])
    return found


def breaks(systems: Sequence[Metrics]) -> Table | None:
    """Break points; None where none were searched."""
    figures = placed(systems, "break")
    if not figures:
        return None
    header = ["system", *(figure.words for figure in figures), "parts, not broken"]
    found = Table(header)
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
    found = Table(["system", "seed", *(figure.said(informed) for figure in figures)])
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
    found = Table(["system", *map(str.upper, figures), "tracks not scored"])
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
    found = Table(["system", "seed", *words, "gate after training", "epochs"])
    for system in systems:
        for seed, own in system["training"].items():
            counts = [f"{own[size]:,}" if size in own else "-" for size in sizes]
            gate = f"{own['gate']:.3f}" if "gate" in own else "-"
            cells = [system["name"], seed, *counts, gate, str(own["epoch"])]
            found.rows.append([Cell(text) for text in cells])
    return found


def data(splits: Mapping[str, Metrics]) -> Table:
    """What was learned on and tested on."""
    found = Table(["split", "tracks", "seconds", "segments", "silent segments"])
    for split in ("train", "valid", "test"):
        own = splits[split]
        keys = ("tracks", "seconds", "segments", "silent_segments")
        found.rows.append([Cell(split), *(Cell(str(own[key])) for key in keys)])
    return found
