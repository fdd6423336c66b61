"""Every attack that ``attack.method`` can name: a module, and one entry here."""

from __future__ import annotations

from stemproof.attacks import fgsm, minimal, nes, noise, pgd, search, sparse, universal
from stemproof.attacks.protocol import Method

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (pgd, fgsm, search, nes, noise, universal, minimal, sparse)
}
