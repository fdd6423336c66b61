"""Every figure of a system, in one table.

Evaluation, summaries, comparisons, claims, report and documentation read this table when they are
asked: a figure is added by a module (or a line) and one entry.
"""

from __future__ import annotations

from torch import Tensor

from stemproof.figures.figure import Figure, Per
from stemproof.figures.played import Played
from stemproof.figures.si_sdr import output_gain, snr


def _reconstruction(played: Played) -> Tensor | None:
    return None if played.reconstruction is None else played.sdr(played.reconstruction)


def _oracle(played: Played) -> Tensor | None:
    return None if played.oracle is None else played.sdr(played.oracle)


FIGURES: tuple[Figure, ...] = (
    Figure(
        "si_sdr",
        "SI-SDR",
        "dB",
        "reconstruction of the true vocals through the system's representation",
        _reconstruction,
        interval=True,
        compared="medians",
        part="clean",
        of_seeds=True,
        place="result",
    ),
    Figure(
        "bs",
        "BS",
        "dB",
        "SI-SDR of the vocals that are separated from the clean mixture",
        lambda played: played.sdr(played.clean),
        interval=True,
        compared="medians",
        song_by_song=True,
        part="clean",
        of_seeds=True,
        place="result",
        blind="clean SI-SDR",
    ),
    Figure(
        "at_bs",
        "AT-BS",
        "dB",
        "SI-SDR of the vocals that are separated from the attacked mixture",
        lambda played: played.sdr(played.attacked),
        interval=True,
        compared="medians",
        song_by_song=True,
        part="attacked",
        of_seeds=True,
        place="result",
        blind="attacked SI-SDR",
    ),
    Figure(
        "rb",
        "RB",
        "dB",
        "`bs` - `at_bs`: a difference of medians, as in the paper",
        minus=("bs", "at_bs"),
        interval=True,
        compared="medians",
        part="attacked",
        of_seeds=True,
        place="result",
        blind="loss of medians",
    ),
    Figure(
        "rb_net",
        "RB minus noise",
        "dB",
        "RB minus that of random noise of the same norm: BS under noise minus AT-BS",
        minus=("noise_bs", "at_bs"),
        interval=True,
        compared="medians",
        part="attacked",
        place="beside",
        blind="loss of medians minus noise",
    ),
    Figure(
        "drop",
        "paired drop",
        "dB",
        "what the attack costs on the same segment: the median of the differences",
        lambda played: played.sdr(played.clean) - played.sdr(played.attacked),
        interval=True,
        compared="paired",
        compared_key="paired_drop",
        part="attacked",
        of_seeds=True,
        place="result",
    ),
    Figure(
        "noise_bs",
        "BS under noise",
        "dB",
        "SI-SDR under random signs of the norm that the perturbation has, mean over draws",
        lambda played: played.noise_sdr.mean(0),
        listed=False,
    ),
    Figure(
        "noise_drop",
        "drop under random noise",
        "dB",
        "what such noise costs on the same segment, mean over draws",
        lambda played: played.sdr(played.clean) - played.noise_sdr.mean(0),
        interval=True,
        part="attacked",
        place="beside",
        digits=4,
    ),
    Figure(
        "noise_worst_drop",
        "worst noise draw",
        "dB",
        "what the worst draw of such noise costs",
        lambda played: played.sdr(played.clean) - played.noise_sdr.amin(0),
        place="beside",
        digits=4,
    ),
    Figure(
        "perturbation_snr",
        "perturbation SNR",
        "dB",
        "mixture over perturbation",
        lambda played: snr(played.mixture, played.perturbation),
        place="beside",
    ),
    Figure(
        "output_gain",
        "output gain",
        "1",
        "change of the output over size of the perturbation",
        lambda played: output_gain(played.clean, played.attacked, played.perturbation),
        place="beside",
    ),
    Figure(
        "mixture_si_sdr",
        "mixture as estimate",
        "dB",
        "SI-SDR of the clean mixture itself as the estimate",
        lambda played: played.sdr(played.mixture),
        interval=True,
        part="clean",
        place="beside",
    ),
    Figure(
        "stft_bs",
        "STFT oracle mask",
        "dB",
        "the oracle that `evaluate.oracle` names, on the same clean segments",
        _oracle,
        interval=True,
        part="clean",
        place="beside",
    ),
    Figure(
        "excerpt_bs",
        "excerpt",
        "dB",
        "SI-SDR of the separated vocals over a whole excerpt, all channels together",
        lambda played: played.sdr(played.clean),
        interval=True,
        part="clean",
        place="excerpt",
        per="excerpt",
    ),
    Figure(
        "excerpt_at_bs",
        "attacked excerpt",
        "dB",
        "the same under attack",
        lambda played: played.sdr(played.attacked),
        interval=True,
        part="attacked",
        place="excerpt",
        per="excerpt",
    ),
    Figure(
        "excerpt_drop",
        "paired drop of an excerpt",
        "dB",
        "what the attack costs on the same excerpt: the median of the differences",
        lambda played: played.sdr(played.clean) - played.sdr(played.attacked),
        interval=True,
        part="attacked",
        place="excerpt",
        per="excerpt",
    ),
    *(
        Figure(
            f"break_{level}db",
            f"break point {level} dB",
            "dB",
            f"SNR of the smallest perturbation found (L2) that costs {level} dB of SI-SDR; a "
            "higher one is a weaker system",
            interval=True,
            song_by_song=True,
            part="attacked",
            place="break",
            digits=1,
            per="search",
        )
        for level in (1, 3, 6)
    ),
)


def by_key() -> dict[str, Figure]:
    """All figures by their keys."""
    return {figure.key: figure for figure in FIGURES}


def per_segment() -> list[Figure]:
    """The figures that are measured, and not the difference of two others."""
    return [figure for figure in FIGURES if figure.measure]


def tabulated() -> list[Figure]:
    """The figures that have a column in the tables per track: measured, or searched for."""
    return [figure for figure in FIGURES if figure.measure or figure.per == "search"]


def compared() -> dict[str, Figure]:
    """What systems are compared by, by the key of the comparison.

    Holm's correction counts all of them.
    """
    medians = {figure.compared_key or figure.key: figure for figure in FIGURES if figure.compared}
    paired = {f"paired_{figure.key}": figure.paired() for figure in FIGURES if figure.song_by_song}
    return medians | paired


def measured(played: Played, per: Per = "segment") -> dict[str, Tensor]:
    """The figures that apply, each with one value a segment or an excerpt."""
    values = {f.key: f.measure(played) for f in FIGURES if f.measure and f.per == per}
    return {key: value for key, value in values.items() if value is not None}
