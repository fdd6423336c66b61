"""Models as the audit takes them, from what the attack stored of them; and its curves as tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemproof.attacks.stored import INDEX, Adversarials, measured
from stemproof.attacks.threat import fitted
from stemproof.auditing.material import Materials
from stemproof.auditing.reached import aim_of
from stemproof.auditing.run import Audited, System
from stemproof.core.files import sha256
from stemproof.core.resume import Parts
from stemproof.separators.checkpoint import load, read_header
from stemproof.separators.registry import code_of

Table = tuple[list[str], list[list[Any]]]


def open_system(
    name: str, seed: int, stored: Adversarials, materials: Materials, compiled: bool
) -> System:
    """A model with what was stored of the attack on it, whose budget is measured.

    Args:
        name: of the system.
        seed: of its training.
        stored: what the attack stored.
        materials: the parts that are audited.
        compiled: ``runtime.compile``.

    Raises:
        InputError: the model or what was stored is damaged, or of something else.
    """
    attack, data, device = materials.attack, materials.data, materials.device
    separator = fitted(load(stored.model, attack.mask, device, compiled, (name, seed)), data)
    found = measured(stored, separator, attack, materials.cut, data)
    test, training = materials.of(separator)
    learned = attack.method == "universal" and stored.gate["passed"]
    universal = stored.universal.to(device) if learned else None
    trained = read_header(stored.model).trained
    aim = aim_of(found, separator, attack, materials.cut, data, device)
    return System(name, seed, separator, test, training, found, trained, universal, aim)


def parts_of(system: System, scratch: Path, code: str, decides: Any) -> Parts:
    """The place of what is measured of a model, which stands by itself: others change nothing.

    Args:
        system: the model, with what the attack stored.
        scratch: the folder of such work.
        code: a hash of the code, but for that of its kind.
        decides: everything else that the figures depend on.
    """
    assert system.stored is not None
    attacked = sha256(system.stored.folder / INDEX)  # it names the model and the perturbations
    kind = code_of(read_header(system.stored.model).kind)
    return Parts(scratch, system.name, attacked, kind, decides, code=code)


def curves(results: Mapping[str, Audited]) -> dict[str, Table]:
    """Header and rows of the curves of all systems side by side, by the name of the table."""
    tables = {}
    for table, axis in (("steps", "steps"), ("eps", "factor")):
        found = [result.figures.get(table, {}) for result in results.values()]
        places = sorted({key for of in found for key in of if key != "fgsm"}, key=float)
        # Where what was put out has collapsed there is no figure.
        rows = [[key, *(curve.get(key) for curve in found)] for key in places]
        tables[table] = [axis, *results], rows
    return tables
