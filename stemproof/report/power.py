"""How small a difference between two stored runs could have been shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from stemproof.figures.compare import contrast
from stemproof.figures.params import StatisticsParams
from stemproof.figures.statistics import detectable
from stemproof.figures.table import compared
from stemproof.report.markdown import as_table
from stemproof.report.stored_runs import contrasted, read_pair

KEYS = ("paired_bs", "paired_at_bs", "paired_drop")
QUICK = StatisticsParams(bootstrap=100)  # where the interval is not looked at


def power(pairs: Mapping[str, tuple[Path, Path]], keys: Sequence[str] = KEYS) -> str:
    """The smallest true differences that such a study would mostly show.

    Args:
        pairs: tables per track, one and the one that is subtracted, by the words of the row.
        keys: of the comparison, in the order of the columns.

    Returns:
        Markdown, a row a pair: the size at which an interval leaves out zero in four of five
        studies, and in brackets the size at which the p-value is below 0.05 in as many, adjusted
        for all comparisons of all pairs.

    Raises:
        InputError: a file is missing or damaged, or two tables do not compare.
    """
    shown = read_power(pairs, keys)
    rows = [
        [words, *("{:.2f} ({:.2f})".format(*own[key]) if key in own else "-" for key in keys)]
        for words, own in shown.items()
    ]
    return as_table(["difference", *(compared()[key].words for key in keys)], rows)


def read_power(
    pairs: Mapping[str, tuple[Path, Path]], keys: Sequence[str] = KEYS
) -> dict[str, dict[str, tuple[float, float]]]:
    """The sizes of :func:`power`, before and after correction, in dB by row and figure."""
    found = contrasted(pairs)
    comparisons = sum("p" in entry for own in found.values() for entry in own.values())
    result: dict[str, dict[str, tuple[float, float]]] = {}
    for words, files in pairs.items():
        by_seed = _by_seed(*read_pair(files))
        result[words] = {}
        for key in keys:
            if key not in found[words]:
                continue
            low, high = found[words][key]["low"], found[words][key]["high"]
            of_seeds = [own[key]["difference"] for own in by_seed if key in own]
            result[words][key] = (
                detectable(low, high),
                detectable(low, high, comparisons=comparisons, of_seeds=of_seeds),
            )
    return result


def _by_seed(first: pd.DataFrame, second: pd.DataFrame) -> list[dict[str, dict[str, float]]]:
    """The differences of every training seed; one model stands beside all seeds of another."""
    seeds = sorted({*first["seed"]} | {*second["seed"]})
    tables = [
        {seed: one[one["seed"] == seed] if one["seed"].nunique() > 1 else one for seed in seeds}
        for one in (first, second)
    ]
    return [contrast(tables[0][seed], tables[1][seed], QUICK) for seed in seeds]
