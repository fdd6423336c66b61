"""The section `attack`: every method is known to it, and what does not fit is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conftest import default_tree

from stemproof.attacks.params import AttackSection
from stemproof.attacks.protocol import Words
from stemproof.attacks.registry import METHODS
from stemproof.core.errors import InputError
from stemproof.core.params import Section

MakeParams = Callable[..., Any]


def test_the_defaults_are_those_of_the_parameters() -> None:
    # A method that is added need not stand in the parameters: it has defaults.
    defaults = AttackSection().model_dump(mode="json")
    written = default_tree()["attack"]
    assert {key: defaults[key] for key in written} == written
    assert set(defaults) - set(written) <= set(METHODS)


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_has_its_settings_words_and_norms(make_params: MakeParams, name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert issubclass(method.settings, Section)
    assert method.summary
    assert method.norms and set(method.norms) <= {"linf", "l2", "l0"}
    for norm in method.norms:
        params = make_params(attack={"method": name, "norm": norm}).attack
        assert isinstance(params.settings, method.settings)
        words = method.words(params)
        assert isinstance(words, Words)
        assert words.how
        # Sentences that the report can fill in.
        assert "{" not in words.knows.format(weights="w", side="s", part="p")
        assert "s" in words.knows.format(weights="", side="s", part="")
        assert "{" not in words.whom.format(length="1 s", part="segment")
        assert ("{weights}" in words.knows) == ("gradient" in method.needs)
        assert params.bound.bounded == method.bounded
        assert callable(method.build(params))


def test_the_settings_of_a_method_are_read_under_its_name(make_params: MakeParams) -> None:
    attack = {"method": "search", "search": {"queries": 7}, "pgd": {"steps": 3}}
    params = make_params(attack=attack).attack
    assert params.settings.queries == 7
    assert params.pgd.steps == 3


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (
            {"method": "pdg"},
            "attack: method = pdg must be one of pgd, fgsm, search, nes, noise, universal, "
            "minimal, sparse",
        ),
        ({"loss": "sdr"}, "attack: loss = sdr must be one of si_sdr, mse, output_distance"),
        (
            {"pgd": {"step_rule": "fast"}},
            "attack.pgd.step_rule: step_rule must be one of constant, decaying, momentum, adam, "
            "auto",
        ),
        ({"pgd": {"step": 3}}, "unknown parameter attack.pgd.step, did you mean `steps`?"),
        ({"steps": 3}, "unknown parameter attack.steps"),
        (
            {"norm": "l3"},
            "attack.norm = 'l3' is not allowed: input should be 'linf', 'l2' or 'l0'",
        ),
        ({"norm": "l0"}, "attack: method = pgd works with norm = linf or l2, not l0"),
        ({"method": "sparse"}, "attack: method = sparse works with norm = l0, not linf"),
        (
            {"method": "universal", "norm": "l2"},
            "attack: method = universal works with norm = linf, not l2",
        ),
        (
            {"method": "minimal", "loss": "mse"},
            "attack: method = minimal works with loss = si_sdr",
        ),
        (
            {"method": "fgsm", "loss": "output_distance"},
            "attack: loss = output_distance has no gradient at the clean mixture; set method = "
            "pgd and pgd.random_start = true",
        ),
        (
            {"loss": "output_distance", "pgd": {"random_start": False}},
            "attack: loss = output_distance has no gradient at the clean mixture; set method = "
            "pgd and pgd.random_start = true",
        ),
        ({"eps": True}, "attack: eps must be a number, not true"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    make_params: MakeParams, attack: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        make_params(attack=attack)
    message = str(error.value)
    assert message.partition("params.yaml: ")[2].startswith(said)
    assert "\n" not in message and "; attack" not in message


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.restarts])
def test_restarts_are_refused_where_another_run_finds_nothing_else(
    make_params: MakeParams, name: str
) -> None:
    attack = {"method": name, "norm": METHODS[name].norms[0]}
    assert make_params(attack=attack).attack.method == name
    with pytest.raises(InputError, match=f"another run of method = {name} finds nothing else; set"):
        make_params(attack={**attack, "restarts": 2})
