"""The report's tables, as data: one definition, rendered as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stemproof.figures.table import BY_KEY, COMPARED
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


def with_interval(metrics: Metrics, key: str) -> Cell:
    """A figure and its interval; a dash for a system that has no such figure."""
    if key not in metrics:
        return ABSENT
    return Cell(db(metrics[key]), f"{db(metrics[f'{key}_low'])}, {db(metrics[f'{key}_high'])}")


def plain(metrics: Metrics, key: str, digits: int = 2) -> Cell:
    """A figure without an interval; a dash for a system that has no such figure."""
    return Cell(db(metrics[key], digits)) if key in metrics else ABSENT


def known(systems: Sequence[Metrics], keys: Sequence[str]) -> list[str]:
    """The figures that any of the systems has."""
    return [key for key in keys if any(key in system for system in systems)]


def result(systems: Sequence[Metrics]) -> Table:
    """The paper's table: the systems of the run, then the paper's own rows."""
    keys = known(systems, ("si_sdr", "bs", "at_bs", "rb", "drop"))
    words = {"rb": "RB = BS - AT-BS"}
    table = Table(["system", *(words.get(key, BY_KEY[key].words) for key in keys)])
    for system in systems:
        table.rows.append([Cell(system["name"]), *(with_interval(system, key) for key in keys)])
    for name, row in li2022.TABLE.items():
        figures = [Cell(db(row[key])) if key in row else Cell("not given") for key in keys]
        table.rows.append([Cell(name, kind="paper"), *figures])
    return table


def differences(comparison: Metrics) -> Table:
    """Every system minus the reference, with adjusted p-values."""
    others = {name: of for name, of in comparison.items() if isinstance(of, Mapping)}
    keys = [key for key in COMPARED if any(key in figures for figures in others.values())]
    header = [f"minus {comparison['reference']}", *(COMPARED[key].words for key in keys)]
    table = Table(header, kind="wrap")
    for name, figures in others.items():
        row = [Cell(name)]
        for key in keys:
            if key not in figures:
                row.append(ABSENT)
                continue
            entry = figures[key]
            note = f"{entry['low']:+.2f}, {entry['high']:+.2f}"
            if "p_holm" in entry:
                note += f"; p = {entry['p_holm']:.3f}"
            row.append(Cell(f"{entry['difference']:+.3f}", note))
        table.rows.append(row)
    return table


def controls(systems: Sequence[Metrics]) -> Table:
    """What must stand beside RB."""
    cells = {
        "rb_net": with_interval,
        "noise_drop": lambda system, key: plain(system, key, 4),
        "noise_worst_drop": lambda system, key: plain(system, key, 4),
        "perturbation_snr": plain,
        "output_gain": plain,
        "mixture_si_sdr": with_interval,
        "stft_bs": with_interval,
    }
    keys = known(systems, list(cells))
    table = Table(["system", "RB / BS", *(BY_KEY[key].words for key in keys)])
    for system in systems:
        relative = "BS is not positive"
        if "rb_relative" in system:
            relative = db(system["rb_relative"])
        figures = [cells[key](system, key) for key in keys]
        table.rows.append([Cell(system["name"]), Cell(relative), *figures])
    return table


def seeds(systems: Sequence[Metrics]) -> Table:
    """Every training seed by itself."""
    rows = [own for system in systems for own in system["seeds"].values()]
    keys = known(rows, list(BY_KEY))
    table = Table(["system", "seed", *(BY_KEY[key].words for key in keys)])
    for system in systems:
        for seed, own in system["seeds"].items():
            figures = [plain(own, key) for key in keys]
            table.rows.append([Cell(system["name"]), Cell(seed), *figures])
    return table


def bsseval(systems: Sequence[Metrics]) -> Table | None:
    """BSSEval, clean / attacked; None when it was not computed."""
    scored = [system for system in systems if "bsseval" in system]
    if not scored:
        return None
    figures = known(
        [system["bsseval"].get("clean", {}) for system in scored], ("sdr", "isr", "sir", "sar")
    )
    table = Table(["system", *map(str.upper, figures), "tracks not scored"])
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
        table.rows.append([*row, Cell(failures)])
    return table


def flags(audits: Mapping[str, Metrics]) -> Table:
    """One row a check, one column a system."""
    table = Table(["check", *audits], kind="flags")
    for checks in zip(*(audit["reasons"] for audit in audits.values()), strict=True):
        row = [Cell(str(checks[0][0]))]
        for _, raised, reason in checks:
            row.append(
                Cell("RAISED" if raised else "clear", reason, "raised" if raised else "clear")
            )
        table.rows.append(row)
    return table


def transfer(audits: Mapping[str, Metrics]) -> Table:
    """AT-BS of every model (column) under what was crafted on every model (row)."""
    played = {name: of for audit in audits.values() for name, of in audit["transfer"].items()}
    table = Table(["crafted on", *played])
    for source in next(iter(played.values())):
        cells = [Cell(db(scores[source], 3)) for scores in played.values()]
        table.rows.append([Cell(source), *cells])
    return table


def masks(audits: Mapping[str, Metrics]) -> Table | None:
    """AT-BS with a fixed and with a recomputed mask, under the attack on either.

    None when no system has a mask.
    """
    masked = {name: audit for name, audit in audits.items() if "masks" in audit}
    if not masked:
        return None
    table = Table(
        [
            "system",
            "fixed mask, its own attack",
            "recomputed mask, its own attack",
            "recomputed mask, attack on the fixed one",
        ]
    )
    for name, audit in masked.items():
        crossed = audit["masks"]
        figures = (
            crossed["fixed"]["fixed"],
            crossed["recomputed"]["recomputed"],
            crossed["fixed"]["recomputed"],
        )
        table.rows.append([Cell(name), *(Cell(db(figure, 3)) for figure in figures)])
    return table


def elsewhere(audits: Mapping[str, Metrics]) -> Table:
    """Other threat models, not comparable with each other."""
    first = next(iter(audits.values()))
    # A level that one system does not reach is still a column.
    levels = list(dict.fromkeys(k for a in audits.values() for k in a["minimal_snr"]["l2"]))
    table = Table(
        [
            "system",
            *(f"SNR that costs {level} dB, L2 / L-inf" for level in levels),
            f"AT-BS, {first['sparse']['samples']} samples changed",
            "AT-BS, one universal perturbation",
            f"AT-BS, random search ({first['black_box']['queries']} queries)",
        ]
    )
    for name, audit in audits.items():
        row = [Cell(name)]
        for level in levels:
            both = [
                db(audit["minimal_snr"][norm][level])
                if level in audit["minimal_snr"][norm]
                else "not reached"
                for norm in ("l2", "linf")
            ]
            row.append(Cell(" / ".join(both)))
        row += [Cell(db(audit[key]["at_bs"])) for key in ("sparse", "universal", "black_box")]
        table.rows.append(row)
    return table


def models(systems: Sequence[Metrics]) -> Table:
    """Sizes and training, one row a model."""
    rows = [own for system in systems for own in system["training"].values()]
    sizes = list(dict.fromkeys(k for own in rows for k in own if k.startswith("parameters")))
    words = [size.removeprefix("parameters_") for size in sizes]
    table = Table(["system", "seed", *words, "gate after training", "epochs"])
    for system in systems:
        for seed, own in system["training"].items():
            counts = [f"{own[size]:,}" if size in own else "-" for size in sizes]
            gate = f"{own['gate']:.3f}" if "gate" in own else "-"
            cells = [system["name"], seed, *counts, gate, str(own["epoch"])]
            table.rows.append([Cell(text) for text in cells])
    return table


def data(splits: Mapping[str, Metrics]) -> Table:
    """What was learned on and tested on."""
    table = Table(["split", "tracks", "seconds", "segments", "silent segments"])
    for split in ("train", "valid", "test"):
        own = splits[split]
        keys = ("tracks", "seconds", "segments", "silent_segments")
        table.rows.append([Cell(split), *(Cell(str(own[key])) for key in keys)])
    return table
