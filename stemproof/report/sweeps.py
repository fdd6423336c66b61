"""The robustness curve: what perturbations of many sizes cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from stemproof.report.drawing import INK, PAPER, SOFT, Picture, drawn, look

Metrics = Mapping[str, Any]
Ends = tuple[float, float] | None
CAPTION = (
    "Further right the perturbation is louder; further up the attack costs more, as a paired drop. "
    "Lines: the audit's attacks of many sizes, on the segments, or whole excerpts, that it took "
    "(how many is said at the flags), without intervals. Hollow markers: this run's own size "
    "(dashed line), by segments of all tracks, with interval. Upright ticks: break points, "
    "the smallest perturbations found (L2) that cost 1, 3 and 6 dB, with intervals as thick bars. "
    "Dotted: all that separation gains over the mixture; beyond it nothing is left to lose."
)


@dataclass(frozen=True)
class Point:
    """A measured point of the curve.

    Attributes:
        snr: mixture over perturbation in dB.
        loss: what the perturbation costs, in dB.
        ends: of the interval.
    """

    snr: float
    loss: float
    ends: Ends = None


@dataclass(frozen=True)
class Sweep:
    """What perturbations of many sizes cost one system.

    Attributes:
        points: of the audit, from small to large.
        default: the paired drop at the parameters' own size; the interval is of the drop.
        breaks: break points; the intervals are of the SNR.
        everything: what separation gains over the mixture in dB: all that there is to lose.
    """

    points: Sequence[Point]
    default: Point | None = None
    breaks: Sequence[Point] = ()
    everything: float | None = None


def sweep_of(system: Metrics, audit: Metrics) -> Sweep:
    """The curve of one system.

    Args:
        system: ``metrics/systems/NAME.json``.
        audit: ``plots/audit/NAME.json``.
    """
    sizes = audit.get("eps_snr", {})
    points = [
        Point(sizes[factor], drop)
        for factor, drop in audit.get("eps_drop", {}).items()
        if factor in sizes
    ]
    breaks = [
        Point(system[key], level, _ends(system, key))
        for level in (1, 3, 6)
        if (key := f"break_{level}db") in system
    ]
    default = everything = None
    if "drop" in system and "perturbation_snr" in system:
        default = Point(system["perturbation_snr"], system["drop"], _ends(system, "drop"))
    if "bs" in system and "mixture_si_sdr" in system:
        everything = system["bs"] - system["mixture_si_sdr"]
    return Sweep(points, default, breaks, everything)


def _ends(metrics: Metrics, key: str) -> Ends:
    low, high = metrics.get(f"{key}_low"), metrics.get(f"{key}_high")
    return None if low is None or high is None else (low, high)


def robustness(
    name: str, sweeps: Mapping[str, Sweep], places: Mapping[str, int], eps: float | None
) -> Picture | None:
    """Loss against the size of the perturbation; None where nothing is known of it.

    Args:
        name: of the picture.
        sweeps: by system.
        places: of the systems in the tables, by which they look the same in all pictures.
        eps: the parameters' own, where it is what bounds the perturbation.
    """
    marked = [sweep.default for sweep in sweeps.values() if sweep.default]
    losses = [point.loss for sweep in sweeps.values() for point in (*sweep.points, *sweep.breaks)]
    losses += [point.loss for point in marked]
    if not losses:
        return None
    # Behind the loss of everything there is nothing more to be told.
    gains = [sweep.everything for sweep in sweeps.values() if sweep.everything]
    highest = min(1.5 * max(gains, default=math.inf), 1.1 * max(*losses, 1.0))
    # The audit's own attack of that size is some dB off where it is of other parts.
    near = [p for sweep in sweeps.values() for p in sweep.points if p.snr >= _middle(marked) - 1]
    highest = max(highest, *(1.1 * point.loss for point in (*marked, *near)), 7.0)
    with drawn(name, _says(sweeps), height=4.2) as canvas:
        axes = canvas.axes
        for own, sweep in sweeps.items():
            _draw(axes, sweep, look(places[own]), own)
        axes.set(
            xlabel="mixture over perturbation in dB",
            ylabel="loss of SI-SDR in dB",
            ylim=(min(0.0, *losses) - 0.03 * highest, highest),
        )
        axes.invert_xaxis()
        if marked:
            middle = _middle(marked)
            axes.axvline(middle, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
            said = "this run" if eps is None else f"this run, eps {eps:g}"
            # Where no marker stands.
            below = any(point.loss > highest / 2 for point in (*marked, *near))
            height, end = (0.03, "bottom") if below else (0.97, "top")
            about: Any = {"ha": "right", "va": end, "rotation": 90, "fontsize": 10}
            axes.text(middle, height * highest, said, color=INK, **about)
            if eps is not None:
                _scale_of_eps(axes, eps, middle)
        canvas.figure.legend(loc="outside lower left", ncols=3)
    return Picture(canvas.svg, CAPTION)


def _middle(marked: Sequence[Point]) -> float:
    """Where this run's own size is drawn; infinitely small where no system has one."""
    return sorted(point.snr for point in marked)[len(marked) // 2] if marked else math.inf


def _draw(axes: Axes, sweep: Sweep, style: dict[str, Any], own: str) -> None:
    color = style["color"]
    axes.plot(
        [point.snr for point in sweep.points],
        [point.loss for point in sweep.points],
        label=own,
        markersize=4,
        **style,
    )
    for point in sweep.breaks:
        if point.ends:
            axes.plot(point.ends, [point.loss] * 2, color=color, linewidth=4, alpha=0.4)
        axes.plot([point.snr], [point.loss], color=color, marker="|", markersize=12)
    if sweep.default:
        point = sweep.default
        if point.ends:
            axes.plot([point.snr] * 2, point.ends, color=color, linewidth=2)
        axes.plot([point.snr], [point.loss], markersize=8, markerfacecolor=PAPER, **style)
    if sweep.everything:
        axes.axhline(sweep.everything, color=color, linewidth=1.2, linestyle=":")


def _scale_of_eps(axes: Axes, eps: float, snr: float) -> None:
    """A second scale: with the SNR of the default go larger and smaller eps."""
    right, left = sorted(axes.get_xlim())
    places = {factor: snr - 20 * math.log10(factor) for factor in (0.01, 0.1, 1, 10, 100, 1000)}
    shown = {factor: place for factor, place in places.items() if right <= place <= left}
    top = axes.secondary_xaxis("top")
    top.set_xticks(list(shown.values()), [f"{eps * factor:g}" for factor in shown])
    top.set_xlabel("eps, about (full scale 1; logarithmic)")


def _says(sweeps: Mapping[str, Sweep]) -> str:
    said = []
    for own, sweep in sweeps.items():
        points = [*sweep.points, *sweep.breaks]
        found = ", ".join(f"{p.loss:.2f} dB at {p.snr:.0f} dB" for p in points)
        if sweep.default:
            point = sweep.default
            found += f"; at this run's own size {point.loss:.2f} dB at {point.snr:.0f} dB"
        said.append(f"{own}: {found}.")
    return "Loss of SI-SDR against mixture over perturbation. " + " ".join(said)
