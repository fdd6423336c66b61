"""Random numbers belong to the item they are drawn for: the same today, alone and in any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemproof.core.random import Draws, Part, derive_seed

PARTS = st.lists(
    st.one_of(st.text(), st.integers(), st.floats(allow_nan=False)), min_size=1, max_size=4
)
SEEDS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5, unique=True)
PINNED = (3696793467068528757, 3104451551491007940, 2156460394159391553)
UNIFORM = [0.6295861, 0.37297434, 0.9121359, 0.01534534]
NORMAL = [0.1596177, -0.6862487, -1.3385205, 0.8196864]
SIGNS = [1, -1, 1, -1, 1, 1, 1, 1]
INTEGERS = [831, 719, 381, 254]
METHODS = ("uniform", "normal", "signs", "integers")


def draw(draws: Draws, method: str) -> torch.Tensor:
    arguments = (1000, 3, 4) if method == "integers" else (3, 4)
    return getattr(draws, method)(*arguments)


def test_seeds_are_the_same_numbers_for_ever() -> None:
    """Figures that were published depend on them."""
    assert derive_seed(0) == PINNED[0]
    assert derive_seed("attack", 0, "Al James - Schoolboy Facination", 3) == PINNED[1]
    assert derive_seed("budget", 0.003) == PINNED[2]


def test_draws_are_the_same_numbers_for_ever() -> None:
    draws = Draws.of([7, 2**62], "start")
    assert draws.uniform(2).flatten().tolist() == pytest.approx(UNIFORM, abs=1e-7)
    assert draws.normal(2).flatten().tolist() == pytest.approx(NORMAL, abs=1e-6)
    assert draws.signs(4).flatten().tolist() == SIGNS
    assert draws.integers(1000, 2).flatten().tolist() == INTEGERS


@given(first=PARTS, second=PARTS)
def test_other_parts_give_other_seeds(first: list[Part], second: list[Part]) -> None:
    same = [(type(part), str(part)) for part in first] == [(type(p), str(p)) for p in second]
    assert (derive_seed(*first) == derive_seed(*second)) == same
    assert 0 <= derive_seed(*first) < 2**63


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a", "b"), ("ab",)),
        (("a\x1fstr:b",), ("a", "b")),
        (("a\x1f", "b"), ("a", "\x1fb")),
        (("a", ""), ("a\x1fstr:",)),
        ((1,), ("1",)),
        ((1,), (1.0,)),
        (("a", "b"), ("b", "a")),
    ],
)
def test_parts_that_look_alike(first: tuple[Part, ...], second: tuple[Part, ...]) -> None:
    assert derive_seed(*first) != derive_seed(*second)


def test_numbers_of_numpy_are_the_same_numbers() -> None:
    assert derive_seed(np.int64(3), np.float64(0.1)) == derive_seed(3, 0.1)


def test_names_of_files_that_are_no_text() -> None:
    assert derive_seed("song \udcff") != derive_seed("song \udcfe")


@settings(deadline=None, max_examples=30)
@given(seeds=SEEDS, chosen=st.data(), method=st.sampled_from(METHODS))
def test_an_item_draws_alone_what_it_draws_in_a_batch(
    seeds: list[int], chosen: st.DataObject, method: str
) -> None:
    some = chosen.draw(st.permutations(range(len(seeds))))[: 1 + len(seeds) // 2]
    whole, part = Draws.of(seeds, "x"), Draws.of([seeds[number] for number in some], "x")
    for _ in range(2):  # also what comes after
        assert torch.equal(draw(whole, method)[list(some)], draw(part, method))


@pytest.mark.parametrize("method", METHODS)
def test_purposes_and_items_are_independent(method: str) -> None:
    draws = [draw(Draws.of([1, 2], purpose), method).flatten(1) for purpose in ("a", "b")]
    rows = torch.cat(draws)
    assert all(not torch.equal(rows[i], rows[j]) for i in range(4) for j in range(i))


def test_what_the_numbers_are() -> None:
    draws = Draws.of(range(20), "x")
    uniform, normal = draws.uniform(500), draws.normal(500)
    assert 0 <= uniform.min() <= uniform.max() < 1
    assert uniform.mean() == pytest.approx(0.5, abs=0.02)
    assert normal.std() == pytest.approx(1, abs=0.03)
    signs, integers = draws.signs(500), draws.integers(3, 500)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert signs.dtype == torch.float32
    assert abs(signs.mean()) < 0.05
    assert set(integers.unique().tolist()) == {0, 1, 2}
