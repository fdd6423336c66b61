"""The report's tables, as data: one definition, rendered as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stemproof.figures import table
from stemproof.figures.table import Figure
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


def cell(metrics: Metrics, figure: Figure, system: Metrics | None = None) -> Cell:
    """A figure, and its interval where it has one; a dash, and why, where there is none.

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
    return Cell(db(metrics[key], digits), ", ".join(db(end, digits) for end in ends))


def heading(figure: Figure) -> str:
    """Its words; of a difference, what is subtracted."""
    if not figure.minus:
        return figure.words
    first, second = (table.by_key()[key].words for key in figure.minus)
    return f"{figure.words} = {first} - {second}"


def placed(systems: Sequence[Metrics], place: table.Place) -> list[Figure]:
    """The figures of one table that any of the systems has, or would have if it put out sound."""
    figures = [figure for figure in table.FIGURES if figure.place == place]
    known = {key for system in systems for key in (*system, *system.get("without_value", ()))}
    return [figure for figure in figures if figure.key in known]


def result(systems: Sequence[Metrics]) -> Table:
    """The paper's table: the systems of the run, then the paper's own rows."""
    figures = placed(systems, "result")
    found = Table(["system", *(heading(figure) for figure in figures)])
    for system in systems:
        found.rows.append([Cell(system["name"]), *(cell(system, figure) for figure in figures)])
    for name, row in li2022.TABLE.items():
        cells = [Cell(db(row[f.key])) if f.key in row else Cell("not given") for f in figures]
        found.rows.append([Cell(name, kind="paper"), *cells])
    return found


def differences(comparison: Metrics) -> Table:
    """Every system minus the reference, with adjusted p-values."""
    others = {name: of for name, of in comparison.items() if isinstance(of, Mapping)}
    figures = {
        key: figure
        for key, figure in table.compared().items()
        if any(key in entries for entries in others.values())
    }
    words = [figure.words for figure in figures.values()]
    found = Table([f"minus {comparison['reference']}", *words], kind="wrap")
    for name, entries in others.items():
        row = [Cell(name)]
        for key in figures:
            if key not in entries:
                row.append(NOT_COMPARED)
                continue
            entry = entries[key]
            note = f"{entry['low']:+.2f}, {entry['high']:+.2f}"
            if "p_holm" in entry:
                note += f"; p = {entry['p_holm']:.3f}"
            row.append(Cell(f"{entry['difference']:+.3f}", note))
        found.rows.append(row)
    return found


def controls(systems: Sequence[Metrics]) -> Table:
    """What must stand beside RB."""
    figures = placed(systems, "beside")
    found = Table(["system", "RB / BS", *(figure.words for figure in figures)])
    for system in systems:
        relative = Cell("BS is not positive")
        if "rb_relative" in system:
            relative = Cell(db(system["rb_relative"]))
        elif {"bs", "rb"} & {*system.get("without_value", ())}:
            relative = COLLAPSED
        cells = [cell(system, figure) for figure in figures]
        found.rows.append([Cell(system["name"]), relative, *cells])
    return found


def seeds(systems: Sequence[Metrics]) -> Table:
    """Every training seed by itself."""
    rows = [own for system in systems for own in system["seeds"].values()]
    figures = [figure for figure in table.FIGURES if any(figure.key in own for own in rows)]
    found = Table(["system", "seed", *(figure.words for figure in figures)])
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


def flags(audits: Mapping[str, Metrics]) -> Table:
    """One row a check, one column a system."""
    found = Table(["check", *audits], kind="flags")
    for checks in zip(*(audit["reasons"] for audit in audits.values()), strict=True):
        row = [Cell(str(checks[0][0]))]
        for _, word, reason in checks:
            row.append(Cell(word, reason, word.replace("not measured", "unmeasured").lower()))
        found.rows.append(row)
    return found


def transfer(audits: Mapping[str, Metrics]) -> Table:
    """What every model (column) loses by what was crafted on every model (row)."""
    audited = [audit["transfer"] for audit in audits.values() if "transfer" in audit]
    played = {name: cells for models in audited for name, cells in models.items()}
    found = Table(["crafted on", *played])
    for source in dict.fromkeys(source for cells in played.values() for source in cells):
        row = [Cell(source)]
        for cells in played.values():
            cell = cells.get(source, {})
            parts = cell.get("parts", 0)
            row.append(Cell(db(cell["drop"], 3), f"on {parts} parts") if "drop" in cell else NONE)
        found.rows.append(row)
    return found


NONE = Cell("-", "nothing to compare")


def _level(levels: Metrics, key: str, digits: int = 2) -> Cell:
    """AT-BS of an audit, which is absent where most of what was put out has collapsed."""
    return Cell(db(levels[key], digits)) if key in levels else Cell("-", "collapsed")


def masks(audits: Mapping[str, Metrics]) -> Table | None:
    """AT-BS with a fixed and with a recomputed mask, under the attack on either.

    None when no system has a mask.
    """
    masked = {name: audit for name, audit in audits.items() if "masks" in audit}
    if not masked:
        return None
    found = Table(
        [
            "system",
            "fixed mask, its own attack",
            "recomputed mask, its own attack",
            "recomputed mask, attack on the fixed one",
        ]
    )
    for name, audit in masked.items():
        crossed = audit["masks"]
        figures = [
            _level(crossed.get(crafted, {}), played, 3)
            for crafted, played in (
                ("fixed", "fixed"),
                ("recomputed", "recomputed"),
                ("fixed", "recomputed"),
            )
        ]
        found.rows.append([Cell(name), *figures])
    return found


def elsewhere(audits: Mapping[str, Metrics]) -> Table:
    """Other threat models, not comparable with each other."""
    first = next(iter(audits.values()))
    # A level that one system does not reach is still a column.
    reached = [audit["minimal_snr"] for audit in audits.values() if "minimal_snr" in audit]
    levels = list(dict.fromkeys(level for norms in reached for level in norms["l2"]))
    sparse = next((a["sparse"]["samples"] for a in audits.values() if "sparse" in a), 0)
    found = Table(
        [
            "system",
            *(f"SNR that costs {level} dB, L2 / L-inf" for level in levels),
            f"AT-BS, {sparse} samples changed",
            "AT-BS, one universal perturbation",
            f"AT-BS, random search ({first['black_box']['queries']} queries)",
        ]
    )
    for name, audit in audits.items():
        row = [Cell(name)]
        for level in levels:
            norms = audit.get("minimal_snr", {})
            both = [
                db(norms[norm][level]) if level in norms.get(norm, {}) else "not reached"
                for norm in ("l2", "linf")
            ]
            row.append(Cell(" / ".join(both) if norms else "-", "" if norms else "not measured"))
        row += [
            _level(audit[key], "at_bs") if key in audit else Cell("-", "not measured")
            for key in ("sparse", "universal", "black_box")
        ]
        found.rows.append(row)
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
