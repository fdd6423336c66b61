"""Figures that stand in sentences, and in no table that a command writes: from the stored runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import pandas as pd
import pytest
from conftest import ROOT

from stemproof.core.files import read_json
from stemproof.report.lengths import STEPS, VALID, read_budgets, read_songs
from stemproof.report.stored_runs import (
    BFLOAT16,
    FLOAT32,
    L2,
    LENGTHS,
    LONG,
    LONGER,
    SHORT,
    of_every_system,
)

SEEDS = (218, 219, 220)
AGAIN = {FLOAT32: ("baseline", "improved"), BFLOAT16: ("attention-only", "dropout-only")}
ROBUST = ("robust", "separation-only")  # and its control
WITH_RSVMS_LOSS = (
    "attention-only",
    "conv-control",
    "dropout-only",
    "elementwise-dropout",
    "improved",
)


@cache
def tracks(name: str, run: str = str(LONG)) -> pd.DataFrame:
    return pd.read_csv(ROOT / run / f"plots/tracks/{name}.csv").set_index("track")


@cache
def curves() -> pd.DataFrame:
    return pd.read_csv(ROOT / LENGTHS / "curves.csv").set_index(["system", "seed", "epoch"])


def per_seed(key: str, minus: str = "") -> dict[str, list[float]]:
    """A median over songs of every system and seed; with ``minus``, of differences song by song."""
    found = {}
    for file in sorted((ROOT / LONG / "plots/tracks").glob("*.csv")):
        own = tracks(file.stem)
        if set(own["seed"]) == set(SEEDS):
            found[file.stem] = [
                float(
                    (
                        own[own["seed"] == seed][key]
                        - (tracks(minus)[tracks(minus)["seed"] == seed][key] if minus else 0)
                    ).median()
                )
                for seed in SEEDS
            ]
    return found


def moved(key: str) -> dict[str, float]:
    """How far a median lies apart between two seeds, at most."""
    return {name: max(of) - min(of) for name, of in per_seed(key).items()}


def last_ten(key: str) -> pd.Series:
    """Mean over seeds and the last ten epochs, minus that of the ten before."""
    by_epoch = curves()[key].groupby(["system", "epoch"]).mean().unstack()
    late = by_epoch[range(55, 65)].mean(axis=1) - by_epoch[range(45, 55)].mean(axis=1)
    assert by_epoch.columns[-1] == 64
    return late


def lost(name: str) -> float:
    """SDR of the clean mixture minus that of the attacked one, each a median."""
    own = of_every_system(ROOT / LONG / "metrics/systems")[name]["bsseval"]
    return float(own["clean"]["sdr"] - own["attacked"]["sdr"])


def of_one_training(name: str, run: str) -> pd.DataFrame:
    """Every figure of a CPU's training of seed 218 minus the GPU's, song by song."""
    ours = tracks(name)
    columns = ["bs", "at_bs", "break_1db", "break_3db", "break_6db"]
    return tracks(name, run)[columns] - ours[ours["seed"] == 218][columns]


def smallest(name: str, form: str = ".1f") -> list[str]:
    """SNR of the smallest perturbations by peak that cost 1, 3 and 6 dB."""
    found = read_json(ROOT / LONG / f"plots/audit/{name}.json")["minimal_snr"]["linf"]
    return [f"{found[level]:{form}}" for level in ("1", "3", "6")]


def breaks_by_seed() -> list[str]:
    said = []
    for key in ("break_3db", "break_6db"):
        first, second, third = per_seed(key, "baseline")["improved"]
        said.append(f"{key[6]} dB by {first:+.1f}, {second:+.1f} and {third:+.1f}")
    return said


def loses_of_sdr() -> list[str]:
    least = f"`robust` ({lost('robust'):.2f} dB) and the STFT oracle ({lost('stft'):.2f})"
    middle = f"`improved` ({lost('improved'):.2f}) and `dropout-only` ({lost('dropout-only'):.2f})"
    assert round(lost("conv-control"), 2) == round(lost("baseline"), 2)
    most = f"most ({lost('attention-only'):.2f} and {lost('separation-only'):.2f})"
    same = f"as much as the baseline ({lost('baseline'):.2f})"
    return [least, middle, same, most]


def not_converged() -> list[str]:
    gains, falls = last_ten("valid_si_sdr"), last_ten("valid_bs")
    return [
        f"of the last ten epochs is {gains.min():.2f} to {gains.max():.2f} dB above",
        f"{falls['improved']:.2f} dB for `improved`, {falls['elementwise-dropout']:.2f} for "
        f"`elementwise-dropout`, {falls['attention-only']:+.2f} for `attention-only`",
    ]


def trained_elsewhere() -> list[str]:
    by_song = {
        name: of_one_training(name, str(run)) for run, names in AGAIN.items() for name in names
    }
    by_song["improved again"] = of_one_training("improved", str(BFLOAT16))
    by_song["baseline again"] = of_one_training("baseline", str(BFLOAT16))
    medians = pd.DataFrame({name: own.median() for name, own in by_song.items()}).abs()
    of_breaks = [key for key in medians.index if key.startswith("break")]
    improved = pd.concat([by_song["improved"], by_song["improved again"]]).abs().max()
    breaks = medians.loc[of_breaks].max().max()
    return [
        f"by up to {medians.loc['bs'].max():.2f} dB of BS and {breaks:.2f} dB of break points",
        f"by up to {improved['bs']:.1f} dB of BS and {improved[of_breaks].max():.0f} dB of break",
    ]


def short_against_long() -> list[str]:
    said = []
    for run in (SHORT, LONG):
        own = of_every_system(ROOT / run / "metrics/systems")["baseline"]
        value, low, high = (f"{own[key]:.2f}" for key in ("drop", "drop_low", "drop_high"))
        said.append((value, f"[{low}, {high}]"))
    (first, its), (then, own_of_then) = said
    return [f"{first} dB {its} after 8 epochs, {then} {own_of_then} after 64"]


def by_peak() -> list[str]:
    (a, b, c), (d, e, f) = smallest("robust"), smallest("baseline")
    return [f"{a}, {b} and {c} dB against {d}, {e} and {f}"]


def trained_on() -> list[str]:
    """Means over ten epochs, of the trainings that went on to 100."""
    means = {}
    for name in ("baseline", "improved"):
        own = pd.read_csv(ROOT / LONGER / f"plots/curves/{name}.csv")
        assert list(own["epoch"]) == list(range(1, 101))
        figures = own[["valid_bs", "valid_si_sdr"]]
        means[name] = figures.groupby((own["epoch"] - 1) // 10).mean()
    plain, improved = (means[name]["valid_bs"] for name in ("baseline", "improved"))
    gains = [means[name]["valid_si_sdr"].diff().iloc[-1] for name in ("baseline", "improved")]
    assert improved.idxmax() == 5 and plain.idxmax() == 8
    return [
        f"is highest from 51 to 60, with {improved[5]:.2f} dB, and {improved[9]:.2f} from 91",
        f"rises to {plain[8]:.2f} from 81 to 90 and stays at {plain[9]:.2f}",
        f"by {gains[0]:.2f} dB (baseline) and {gains[1]:.2f} dB (`improved`) over the last ten",
    ]


def what_comes_back() -> list[str]:
    """Of a mixture, through encoders that only vocals were asked of; and where nothing does."""
    found = pd.read_csv(ROOT / LENGTHS / "mixtures.csv").set_index(["system", "epoch"])
    at_64 = found.xs(64, level="epoch")
    kinds = ("baseline", "dropout-only", "attention-only", "improved")
    baseline, dropout, attention, improved = (f"{at_64['mixture'][kind]:.1f}" for kind in kinds)
    sounding = found.drop(index="position", level="system")
    assert (sounding["accompaniment"] < sounding["mixture"]).all()
    longer = found["mixture"].unstack("epoch")[[64, 80, 100]]
    assert longer.loc["baseline"].is_monotonic_increasing
    assert longer.loc["improved"].is_monotonic_decreasing
    assert (found.loc["position"][["accompaniment", "mixture"]] == 0).all(axis=None)
    curve = pd.read_csv(ROOT / LENGTHS / "position.csv").set_index("epoch")
    assert curve["valid_bs"].idxmax() == 3 and (curve["valid_bs"][12:] < -75).all()
    assert curve["loss"].is_monotonic_decreasing
    late = curve["valid_si_sdr"][12:]
    return [
        f"BS rises to {curve['valid_bs'][3]:.2f} dB at epoch 3, is {curve['valid_bs'][8]:.0f} dB",
        f"reconstructed with {late.min():.1f} to {late.max():.1f} dB",
        f"after 64 epochs {baseline} dB of a mixture come back with the baseline, {dropout} with "
        f"dropout alone, {attention} with attention alone, {improved} with the improved",
        f"vocals with {at_64['vocals'].min():.1f} to {at_64['vocals'].max():.1f} dB",
    ]


def after_100_epochs(key: str, digits: int = 1) -> tuple[str, str]:
    """Improved minus baseline, of the trainings that went on: a value and its interval."""
    found = read_json(ROOT / LONGER / "metrics/comparison.json")["improved"][key]
    value, low, high = (f"{found[part]:.{digits}f}" for part in ("difference", "low", "high"))
    return value, f"[{low}, {high}]"


def breaks_of_longer() -> list[str]:
    value, interval = after_100_epochs("paired_break_6db")
    return [f"{value} dB smaller {interval}"]


def before_and_after() -> list[str]:
    """The same trainings after 64 and after 100 epochs, as the first screen has them."""
    at_64 = read_json(ROOT / BFLOAT16 / "metrics/comparison.json")["improved"]
    gained, smaller = (at_64[key]["difference"] for key in ("paired_bs", "paired_break_6db"))
    value, interval = after_100_epochs("paired_bs", 2)
    return [
        f"from {gained:.2f} dB after 64 epochs to {value} {interval.replace(', ', ', +')} after",
        f"that perturbation from {smaller:.1f} to {breaks_of_longer()[0]}",
    ]


def left_of_longer() -> list[str]:
    value, interval = after_100_epochs("paired_bs", 2)
    at_3db, of_3db = after_100_epochs("paired_break_3db")
    return [
        f"{value} dB {interval.replace(', ', ', +')} are left",
        f"is {at_3db} dB smaller {of_3db}",
        *breaks_of_longer(),
    ]


def of_fewer_songs() -> list[str]:
    fewer = {(row["songs"], row["steps"]): row for row in read_songs(ROOT / LENGTHS)}
    own = curves().loc["baseline"]

    def less(songs: str, steps: int) -> str:
        of_all = own.xs(steps // STEPS, level="epoch")[list(VALID)].mean()
        row = fewer[songs, str(steps)]
        return " and ".join(f"{of_all[key] - float(row[key]):.2f}" for key in VALID)

    seeds = own.xs(1920 // STEPS, level="epoch")[list(VALID)]
    lies = (seeds.max() - seeds.min()).map("{:.2f}".format)
    same = pd.read_csv(ROOT / BFLOAT16 / "plots/curves/baseline.csv").set_index("epoch")
    beside = " and ".join(f"{same.loc[1920 // STEPS, key]:.2f}" for key in VALID)
    half = less("40", 1920).replace(" and ", " dB less reconstruction and ")
    return [
        f"bfloat16 has {beside} dB after 1,920 steps",
        f"1,920 steps give {half} dB less BS than",
        f"lie within {lies.iloc[0]} and {lies.iloc[1]} dB of each other",
        f"with a quarter of the songs it is {less('20', 1920)} dB less (after 960 steps "
        f"{less('40', 960)}, and {less('20', 960)})",
    ]


def of_sinkhorn() -> list[str]:
    """On the test tracks against the baseline, and on validation tracks after so many epochs."""
    found = read_json(ROOT / BFLOAT16 / "metrics/comparison.json")["sinkhorn"]

    def less(key: str) -> str:
        value, *ends = (-found[key][part] for part in ("difference", "high", "low"))
        return f"{value:.2f} dB {{}}[{ends[0]:.2f}, {ends[1]:.2f}]"

    points = [-found[f"paired_break_{level}db"]["difference"] for level in (1, 3, 6)]
    lengths = pd.read_csv(ROOT / LENGTHS / "lengths.csv").set_index(["epoch", "system"])
    figures = lengths[lengths["split"] == "valid"][["bs", "drop"]]
    gained = figures.xs("sinkhorn", level=1) - figures.xs("baseline", level=1)
    assert (gained["drop"] < 0).all() and (gained["bs"][[8, 16, 32]] > 0).all()
    broken = moved("break_3db")
    assert gained["bs"][64] < 0
    return [
        less("paired_drop").format("less than the baseline "),
        "are {:.1f}, {:.1f} and {:.1f} dB larger".format(*points),
        less("paired_bs").format("worse "),
        f"attack by {less('paired_at_bs').format('')}, which",
        f"(by {gained['bs'][8]:.1f} dB after 8), and worse after 64",
        f"move by {broken['baseline']:.1f} dB, those of [other systems](statistics.md) by up to "
        f"{max(broken.values()):.1f}",
    ]


def in_l2() -> list[str]:
    run = ROOT / L2 / "metrics"
    found = read_json(run / "comparison.json")

    def cost(name: str, sign: int) -> str:
        own = found[name]["paired_drop"]
        value, *ends = (sign * own[part] for part in ("difference", "low", "high"))
        return f"{value:.2f} dB {{}}[{min(ends):.2f}, {max(ends):.2f}]"

    improved = found["improved"]["paired_drop"]
    # "3 dB larger than that one and costs about twice as much", with the same signs
    there = read_json(ROOT / BFLOAT16 / "metrics/comparison.json")
    here, of_linf = (
        read_json(ROOT / folder / "metrics/systems/baseline.json") for folder in (L2, BFLOAT16)
    )
    assert f"{of_linf['perturbation_snr'] - here['perturbation_snr']:.0f}" == "3"
    assert 1.8 < here["drop"] / of_linf["drop"] < 2.2
    for name in ("improved", "attention-only", "dropout-only", "sinkhorn"):
        differences = (of[name]["paired_drop"]["difference"] for of in (found, there))
        assert len({difference > 0 for difference in differences}) == 1
    assert found["reference"] == "baseline" and improved["low"] < 0 < improved["high"]
    return [
        f"Of the {read_json(run / 'systems/baseline.json')['drop']:.2f} dB",
        f"dropout alone saves {cost('dropout-only', -1).format('')}",
        f"attention alone loses {cost('attention-only', 1).format('more ')}",
        f"`sinkhorn` {cost('sinkhorn', -1).format('')}",
        f"({improved['difference']:.2f} [{improved['low']:.2f}, {improved['high']:+.2f}])",
    ]


def what_budgets_cost() -> list[str]:
    found = {row["system"]: row for row in read_budgets(ROOT / LENGTHS)}
    bs, drop = ({name: float(row[key]) for name, row in found.items()} for key in ("bs", "drop"))
    least, few, robust = "separation-only", "robust-eps-0-03", "robust"
    many, heavy, light = "robust-eps-0-3", "robust-weight-8", "robust-weight-0-5"
    assert set(found) == {least, few, robust, many, heavy, light}
    of_seeds = curves()["valid_bs"].xs(8, level="epoch")[least]
    seeds = of_seeds.max() - of_seeds.min()
    lengths = pd.read_csv(ROOT / LENGTHS / "lengths.csv")
    valid = lengths[lengths["split"] == "valid"].set_index(["system", "epoch"])
    beside, later, its = (
        valid.loc[which] for which in (("sinkhorn", 8), ("sinkhorn", 64), (robust, 64))
    )
    return [
        f"({bs[few]:.2f} and {bs[least]:.2f} dB of BS; seeds alone differ by {seeds:.2f}), with a "
        f"paired drop of {drop[few]:.2f} dB in place of {drop[least]:.2f}",
        f"has {drop[robust]:.2f} and {bs[least] - bs[robust]:.2f} dB less BS, eps 0.3 has "
        f"{drop[many]:.2f} and {bs[least] - bs[many]:.2f} dB less",
        f"eps 0.3 ({drop[heavy]:.2f}) with {bs[many] - bs[heavy]:.1f} dB less BS",
        f"that of eps 0.03 ({drop[light]:.2f}) with {bs[few] - bs[light]:.1f} dB less",
        f"here (BS {beside['bs']:.2f}, paired drop {beside['drop']:.2f})",
        f"no more ({later['bs']:.2f} and {later['drop']:.2f}; `robust` {its['bs']:.2f} and "
        f"{its['drop']:.2f})",
    ]


def other_choices() -> list[str]:
    """Beside the baseline after as many epochs: a higher rate of dropout, and the one taken."""
    keys = ["system", "epoch"]
    same = pd.read_csv(ROOT / LENGTHS / "lengths.csv").set_index(keys)
    tried = pd.read_csv(ROOT / LENGTHS / "choices.csv").set_index(keys)
    base, improved, rate = (
        of.loc[(name, 32)]
        for of, name in ((same, "baseline"), (same, "improved"), (tried, "rate-30"))
    )
    return [
        f"costs {base['drop'] - rate['drop']:.2f} dB less and BS is {rate['bs'] - base['bs']:.2f} "
        "dB better",
        f"costs {base['drop'] - improved['drop']:.2f} dB less (BS {improved['bs'] - base['bs']:.2f}"
        " dB better)",
    ]


def differ_by_training() -> list[str]:
    """Improved minus baseline, of one seed in three precisions."""
    found = {"drop": [], "break_6db": []}  # type: dict[str, list[float]]
    for run in (LONG, FLOAT32, BFLOAT16):
        improved, base = (
            own[own["seed"] == 218]
            for own in (tracks(name, str(run)) for name in ("improved", "baseline"))
        )
        for key, differences in found.items():
            differences.append(float((improved[key] - base[key]).median()))
    return [
        "is {:.2f}, {:.2f} and {:.2f} dB in".format(*found["drop"]),
        "smaller by {:.1f}, {:.1f} and {:.1f} dB".format(*found["break_6db"]),
    ]


def of_robust() -> list[str]:
    """Its gain and its price beside its control, as the first screen has them."""
    found = read_json(ROOT / LONG / "metrics/comparison.json")["robust"]
    own, broken = found["paired_drop"], found["paired_break_6db"]
    less, low, high = (-own[part] for part in ("difference", "high", "low"))
    robust, control = (tracks(name).set_index("seed", append=True) for name in ROBUST)
    gained, paid = (
        (control[key] - robust[key]).groupby("seed").median().mean() for key in ("drop", "bs")
    )
    return [
        f"by {less:.2f} dB [{low:.2f}, {high:.2f}], p = {own['p_holm']:.2f}",
        f"its control by {gained:.2f} [",
        f"for {paid:.2f} dB of BS",
        f"{broken['difference']:.1f} dB smaller than the baseline does [{broken['low']:.1f}, "
        f"{broken['high']:.1f}], p = {broken['p_holm']:.1f}",
    ]


def luck_of_training() -> list[str]:
    bs, broken, drop = moved("bs"), moved("break_3db"), moved("drop")
    most = [broken[name] for name in ("improved", "elementwise-dropout", "robust")]
    assert f"{max(drop.values()):.2f}" == "0.05"
    return [
        f"median BS moves by {bs['baseline']:.2f} dB after 64 epochs",
        f"`conv-control` by {bs['conv-control']:.2f} dB, that of `dropout-only` by "
        f"{bs['dropout-only']:.2f}",
        f"{bs['attention-only']:.2f} dB in `attention-only`, {bs['elementwise-dropout']:.2f} in "
        f"`elementwise-dropout` and {bs['separation-only']:.2f} in `separation-only`",
        f"by {min(most):.1f} to {max(most):.1f} dB in `improved`, `elementwise-dropout` and "
        f"`robust`, by {broken['separation-only']:.1f} in `separation-only`",
        "moves by 0.05 dB at most in every system",
    ]


SAID: Mapping[Callable[[], list[str]], str] = {
    breaks_by_seed: "docs/results.md",
    loses_of_sdr: "docs/results.md",
    not_converged: "docs/results.md",
    trained_elsewhere: "docs/more-results.md",
    short_against_long: "docs/results.md",
    by_peak: "docs/results.md",
    trained_on: "docs/results.md",
    what_comes_back: "docs/more-results.md",
    of_sinkhorn: "docs/more-results.md",
    of_fewer_songs: "docs/more-results.md",
    what_budgets_cost: "docs/more-results.md",
    in_l2: "docs/more-results.md",
    left_of_longer: "docs/results.md",
    before_and_after: "README.md",
    of_robust: "README.md",
    other_choices: "docs/more-results.md",
    differ_by_training: "docs/more-results.md",
    luck_of_training: "docs/statistics.md",
}


@pytest.mark.parametrize("found", SAID, ids=lambda found: found.__name__)
def test_sentences_say_what_is_stored(found: Callable[[], list[str]]) -> None:
    text = " ".join((ROOT / SAID[found]).read_text(encoding="utf-8").split())
    for words in found():
        assert words in text, words


def test_the_versions_part_when_the_text_says() -> None:
    """With RSVM's own loss, in every seed: alike until epoch 16, apart at 32."""
    by_epoch = curves()["valid_bs"].unstack("epoch")
    means = by_epoch.groupby("system").mean()
    alike = [name for name in WITH_RSVMS_LOSS if name != "elementwise-dropout"]
    apart = means.loc[["baseline", *alike], range(1, 17)]
    assert (apart.max() - apart.min()).max() < 0.3
    late = by_epoch[32].unstack("seed")
    gained = late - late.loc["baseline"]
    for name in ("attention-only", "improved"):
        assert f"{gained.loc[name].mean():.1f}" == "0.7" and gained.loc[name].min() >= 0.5
    assert f"{gained.loc['dropout-only'].mean():.1f}" == "0.2"
