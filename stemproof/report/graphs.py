"""Pictures of the documentation, drawn from runs that are stored under results/."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

from stemproof.paper.li2022 import IMPROVED, RSVM
from stemproof.report import lengths, paper_claims
from stemproof.report.drawing import INK, drawn, for_file, look

STYLE = Path(__file__).parent / "templates/style.css"
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


def cost_by_length() -> str:
    """What the attack costs after so many epochs: paired drop and RB on validation tracks."""
    found = lengths.read_lengths()
    systems = list(dict.fromkeys(row["system"] for row in found))
    said = [
        f"{row['system']}, epoch {row['epoch']}: paired drop {float(row['drop']):.2f}, "
        f"RB {float(row['rb']):.2f}"
        for row in found
    ]
    with drawn("cost-by-length", f"What the attack costs, in dB. {'; '.join(said)}.") as canvas:
        for number, system in enumerate(systems):
            own = [row for row in found if row["system"] == system]
            epochs = [int(row["epoch"]) for row in own]
            for key, words, dashes in (("drop", "paired drop", "-"), ("rb", "RB", ":")):
                values = [float(row[key]) for row in own]
                about = look(number) | {"linestyle": dashes, "label": f"{system}, {words}"}
                canvas.axes.plot(epochs, values, markersize=4, **about)
        canvas.axes.set(xlabel="epochs", ylabel="what the attack costs in dB", ylim=(0, None))
        canvas.axes.legend(loc="lower right", fontsize=9)
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


GRAPHS: dict[Path, Callable[[], str]] = {
    Path("docs/figures/claims.svg"): claims,
    Path("docs/figures/cost-by-length.svg"): cost_by_length,
    Path("docs/figures/separation-by-epoch.svg"): separation_by_epoch,
}


def document(name: Path) -> str:
    """A picture as a file.

    Args:
        name: of the file, as in :data:`GRAPHS`.

    Raises:
        InputError: a stored figure is missing or damaged.
    """
    rules, _, _ = STYLE.read_text(encoding="utf-8").partition("\n* {")
    return for_file(GRAPHS[name](), rules)
