"""Which attack an audit is about."""

from __future__ import annotations

from stemproof.attacks.params import AttackParams


def auditable(attack: AttackParams) -> AttackParams:
    """The attack that the audit is about: in a ball, L-inf or L2.

    Methods without such a ball (sparse, minimal) are threat models of their own; what is audited
    beside them is PGD in L2 when they are measured in L2, else in L-inf.
    """
    if not attack.of_method.bounded or attack.norm == "l0":
        norm = "l2" if attack.norm == "l2" else "linf"
        return attack.model_copy(update={"method": "pgd", "norm": norm})
    return attack
