"""Pictures of the documentation, drawn from runs that are stored under results/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from stemproof.core.files import read_json
from stemproof.paper.li2022 import IMPROVED, RSVM
from stemproof.report import lengths, paper_claims, stored_runs
from stemproof.report.drawing import COLORS, INK, drawn, for_file, look

STYLE = Path(__file__).parent / "templates/style.css"
NEAR = 1.0  # dB of BS, within which names of points might meet
# Trained for more than RSVM's own loss: some 2 dB above the others.
OTHER_LOSS = ("robust", "separation-only")


def claims() -> str:
    """Improved minus baseline by each of the paper's figures: intervals, and the paper's size."""
    found = paper_claims.read_claims()
    said = [
        f"{c.words}, {c.trained}: {c.difference:+.2f} [{c.low:+.2f}, {c.high:+.2f}], "
        f"the paper {c.paper:+.2f}"
        for c in found
    ]
    with drawn("claims", f"Improved minus baseline in dB. {'; '.join(said)}.", 3.8) as canvas:
        axes, runs = canvas.axes, list(dict.fromkeys(claim.trained for claim in found))
        for row, claim in enumerate(found):
            number = runs.index(claim.trained)
            style = look(number) | {"label": claim.trained if row == number else None}
            axes.hlines(row, claim.low, claim.high, color=style["color"], linewidth=3)
            axes.plot([claim.difference], [row], linestyle="", markersize=6, **style)
        firsts = range(0, len(found), len(runs))
        middles = [row + (len(runs) - 1) / 2 for row in firsts]
        star: Any = {"marker": "*", "color": INK, "markersize": 11, "linestyle": ""}
        axes.plot([found[row].paper for row in firsts], middles, label="Li (2022)", **star)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set_yticks(middles, [f"paper: {found[row].words} {found[row].way}" for row in firsts])
        axes.set(ylim=(len(found) - 0.4, -0.6), xlabel="difference of medians over songs in dB")
        axes.grid(visible=False, axis="y")
        canvas.figure.legend(loc="outside upper left", ncols=2)
    return canvas.svg


def trade_off() -> str:
    """Every system minus the baseline, song by song: BS against what the attack costs."""
    stored = read_json(stored_runs.LONG / "metrics/comparison.json")
    found = {
        name: (own["paired_bs"], own["paired_drop"])
        for name, own in stored.items()
        if isinstance(own, dict)
    }
    said = [
        f"{name}: BS {_interval(better)}, paired drop {_interval(costs)}"
        for name, (better, costs) in found.items()
    ]
    with drawn("trade-off", f"Minus the baseline, in dB. {'; '.join(said)}.", 4.2) as canvas:
        for number, (name, (better, costs)) in enumerate(found.items()):
            ends = [
                [[one["difference"] - one["low"]], [one["high"] - one["difference"]]]
                for one in (better, costs)
            ]
            at = [better["difference"]], [costs["difference"]]
            about = look(number)
            canvas.axes.errorbar(*at, xerr=ends[0], yerr=ends[1], linestyle="", **about)
            # On the side where a point of about the same BS is farther away.
            steps = [
                cost["difference"] - costs["difference"]
                for gain, cost in found.values()
                if abs(gain["difference"] - better["difference"]) < NEAR
            ]
            above = min((step for step in steps if step > 0), default=1.0)
            below = min((-step for step in steps if step < 0), default=1.0)
            canvas.axes.annotate(
                name,
                (better["difference"], costs["difference"]),
                (7, 5 if above > below else -14),
                textcoords="offset points",
                color=about["color"],
                fontsize=9,
            )
        for line in (canvas.axes.axhline, canvas.axes.axvline):
            line(0, color=INK, linewidth=1)
        canvas.axes.set(
            xlabel=f"BS minus that of {stored['reference']}, song by song, dB",
            ylabel="paired drop minus its, dB",
        )
    return canvas.svg


def cost_by_length() -> str:
    """What the attack costs every system after so many epochs, on validation tracks."""
    found = lengths.read_lengths()
    said = [f"{row['system']}, epoch {row['epoch']}: {float(row['drop']):.2f}" for row in found]
    with drawn("cost-by-length", f"Paired drop in dB. {'; '.join(said)}.", 4.2) as canvas:
        for number, system in enumerate(dict.fromkeys(row["system"] for row in found)):
            own = [row for row in found if row["system"] == system]
            epochs, drops = [int(row["epoch"]) for row in own], [float(row["drop"]) for row in own]
            dashes = "-" if number < len(COLORS) else "--"  # colours come again
            about = look(number) | {"linestyle": dashes, "label": system}
            canvas.axes.plot(epochs, drops, markersize=4, **about)
        canvas.axes.set(xlabel="epochs", ylabel="paired drop in dB", ylim=(0, None))
        canvas.figure.legend(loc="outside upper left", ncols=3, fontsize=9)
    return canvas.svg


def separation_by_epoch() -> str:
    """BS on validation tracks after every epoch, of what was trained by RSVM's own loss."""
    curves = lengths.read_curves()
    last = lengths.last_of_all(curves)
    others = {name for name, _ in curves} - {*OTHER_LOSS, RSVM, IMPROVED}
    systems = [RSVM, IMPROVED, *sorted(others)]
    values = {
        name: [
            [float(row["valid_bs"]) for row in curves[name, epoch].values()]
            for epoch in range(1, last + 1)
        ]
        for name in systems
    }
    said = [f"{name} {mean(of[0]):.2f} to {mean(of[-1]):.2f}" for name, of in values.items()]
    says = f"BS in dB after 1 to {last} epochs, mean over seeds. {'; '.join(said)}."
    with drawn("separation-by-epoch", says, 3.8) as canvas:
        epochs = list(range(1, last + 1))
        for number, (name, of) in enumerate(values.items()):
            color = look(number - 1)["color"] if number else INK
            canvas.axes.plot(epochs, [mean(seeds) for seeds in of], color=color, label=name)
            low, high = [min(seeds) for seeds in of], [max(seeds) for seeds in of]
            canvas.axes.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
        canvas.axes.set(xlabel="epochs", ylabel="BS in dB, validation tracks")
        canvas.figure.legend(loc="outside upper left", ncols=2)
    return canvas.svg


def budgets() -> str:
    """BS against what the attack costs, over budget and weight of adversarial training."""
    found = lengths.read_budgets()
    epochs = {row["epoch"] for row in found}
    plain = [
        row
        for row in lengths.read_lengths()
        if row["system"] in (RSVM, IMPROVED, "sinkhorn") and row["epoch"] in epochs
    ]
    eps, weight = lengths.BUDGETS["robust"]
    series = {
        f"eps of training, weight {weight}": ("eps", [r for r in found if r["weight"] == weight]),
        f"weight, eps {eps}": ("weight", [r for r in found if r["eps"] == eps]),
        "without that loss": ("system", plain),
    }
    beside = (((6, 5), "left"), ((6, -14), "left"), ((-6, 3), "right"))  # points, for labels
    said = [
        f"{row['system']}: BS {float(row['bs']):.2f}, paired drop {float(row['drop']):.2f}"
        for row in [*found, *plain]
    ]
    says = f"After {', '.join(sorted(epochs))} epochs, in dB. {'; '.join(said)}."
    with drawn("robust-budgets", says, 4.2) as canvas:
        for number, (words, (key, rows)) in enumerate(series.items()):
            points = [(float(row["bs"]), float(row["drop"])) for row in rows]
            line = "" if key == "system" else "-"
            about = look(number) | {"linestyle": line, "label": words}
            canvas.axes.plot(*zip(*points, strict=True), **about)
            place, side = beside[number]
            for row, point in zip(rows, points, strict=True):
                canvas.axes.annotate(
                    row[key],
                    point,
                    place,
                    textcoords="offset points",
                    ha=side,
                    color=about["color"],
                    fontsize=9,
                )
        canvas.axes.set(xlabel="BS in dB, validation tracks", ylabel="paired drop in dB")
        canvas.figure.legend(loc="outside upper left", ncols=3, fontsize=9)
    return canvas.svg


GRAPHS: dict[Path, Callable[[], str]] = {
    Path("docs/figures/claims.svg"): claims,
    Path("docs/figures/trade-off.svg"): trade_off,
    Path("docs/figures/cost-by-length.svg"): cost_by_length,
    Path("docs/figures/separation-by-epoch.svg"): separation_by_epoch,
    Path("docs/figures/robust-budgets.svg"): budgets,
}


def _interval(differs: Mapping[str, float]) -> str:
    return f"{differs['difference']:+.2f} [{differs['low']:+.2f}, {differs['high']:+.2f}]"


def document(name: Path) -> str:
    """A picture as a file.

    Args:
        name: of the file, as in :data:`GRAPHS`.

    Raises:
        InputError: a stored figure is missing or damaged.
    """
    rules, _, _ = STYLE.read_text(encoding="utf-8").partition("\n* {")
    return for_file(GRAPHS[name](), rules)
