"""The report's tables, as data: one definition, rendered as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Li (2022), Table 1, in dB. The improved system's own figures give 0.42.
PAPER = (
    {"name": "RSVM, Li (2022), MUSDB18", "si_sdr": 29.88, "bs": 4.96, "at_bs": 4.29, "rb": 0.67},
    {
        "name": "improved RSVM, Li (2022), MUSDB18",
        "si_sdr": 28.52,
        "bs": 5.45,
        "at_bs": 5.03,
        "rb": 0.41,
    },
)
COMPARED = {
    "si_sdr": "SI-SDR",
    "bs": "BS",
    "at_bs": "AT-BS",
    "rb": "RB",
    "rb_net": "RB minus noise",
    "paired_drop": "paired drop",
}
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


def with_interval(metrics: Metrics, key: str) -> Cell:
    """A figure and its interval."""
    return Cell(db(metrics[key]), f"{db(metrics[f'{key}_low'])}, {db(metrics[f'{key}_high'])}")


def result(systems: Sequence[Metrics]) -> Table:
    """The paper's table."""
    keys = ("si_sdr", "bs", "at_bs", "rb", "drop")
    table = Table(["system", "SI-SDR", "BS", "AT-BS", "RB = BS - AT-BS", "paired drop"])
    for system in systems:
        table.rows.append([Cell(system["name"]), *(with_interval(system, key) for key in keys)])
    for row in PAPER:
        figures = [Cell(db(float(str(row[key])))) for key in keys[:-1]]
        table.rows.append([Cell(str(row["name"]), kind="paper"), *figures, Cell("not given")])
    return table


def differences(comparison: Metrics) -> Table:
    """Every system minus the reference, with adjusted p-values."""
    table = Table([f"minus {comparison['reference']}", *COMPARED.values()], kind="wrap")
    for name, figures in comparison.items():
        if not isinstance(figures, Mapping):
            continue
        row = [Cell(name)]
        for key in COMPARED:
            entry = figures[key]
            note = f"{entry['low']:+.2f}, {entry['high']:+.2f}"
            if "p_holm" in entry:
                note += f"; p = {entry['p_holm']:.3f}"
            row.append(Cell(f"{entry['difference']:+.3f}", note))
        table.rows.append(row)
    return table


def controls(systems: Sequence[Metrics]) -> Table:
    """What must stand beside RB."""
    table = Table(
        [
            "system",
            "RB / BS",
            "RB minus noise",
            "drop under random noise",
            "worst noise draw",
            "perturbation SNR",
            "output gain",
            "mixture as estimate",
            "STFT oracle mask",
        ]
    )
    for system in systems:
        relative = "BS is not positive"
        if "rb_relative" in system:
            relative = db(system["rb_relative"])
        table.rows.append(
            [
                Cell(system["name"]),
                Cell(relative),
                with_interval(system, "rb_net"),
                Cell(db(system["noise_drop"], 4)),
                Cell(db(system["noise_worst_drop"], 4)),
                Cell(db(system["perturbation_snr"])),
                Cell(db(system["output_gain"])),
                with_interval(system, "mixture_si_sdr"),
                with_interval(system, "stft_bs"),
            ]
        )
    return table


def seeds(systems: Sequence[Metrics]) -> Table:
    """Every training seed by itself."""
    table = Table(["system", "seed", "SI-SDR", "BS", "AT-BS", "RB", "drop"])
    for system in systems:
        for seed, own in system["seeds"].items():
            figures = [Cell(db(own[key])) for key in ("si_sdr", "bs", "at_bs", "rb", "drop")]
            table.rows.append([Cell(system["name"]), Cell(seed), *figures])
    return table


def bsseval(systems: Sequence[Metrics]) -> Table | None:
    """BSSEval, clean / attacked; None when it was not computed."""
    if "bsseval" not in systems[0]:
        return None
    known = [
        figure
        for figure in ("sdr", "isr", "sir", "sar")
        if any(figure in system["bsseval"].get("clean", {}) for system in systems)
    ]
    table = Table(["system", *map(str.upper, known), "tracks not scored"])
    for system in systems:
        scores = system["bsseval"]
        row = [Cell(system["name"])]
        for figure in known:
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


def masks(audits: Mapping[str, Metrics]) -> Table:
    """AT-BS with a fixed and with a recomputed mask, under the attack on either."""
    table = Table(
        [
            "system",
            "fixed mask, its own attack",
            "recomputed mask, its own attack",
            "recomputed mask, attack on the fixed one",
        ]
    )
    for name, audit in audits.items():
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
    table = Table(
        ["system", "seed", "parameters", "encoder", "decoder", "gate after training", "epochs"]
    )
    for system in systems:
        for seed, own in system["training"].items():
            counts = [own[f"parameters{part}"] for part in ("", "_encoder", "_decoder")]
            gate = f"{own['gate']:.3f}" if "gate" in own else "-"
            table.rows.append(
                [
                    Cell(system["name"]),
                    Cell(seed),
                    *(Cell(f"{count:,}") for count in counts),
                    Cell(gate),
                    Cell(str(own["epoch"])),
                ]
            )
    return table


def data(splits: Mapping[str, Metrics]) -> Table:
    """What was learned on and tested on."""
    table = Table(["split", "tracks", "seconds", "segments", "silent segments"])
    for split in ("train", "valid", "test"):
        own = splits[split]
        keys = ("tracks", "seconds", "segments", "silent_segments")
        table.rows.append([Cell(split), *(Cell(str(own[key])) for key in keys)])
    return table
