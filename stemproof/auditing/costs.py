"""What an audit will take: passes of a system, and what is held in memory."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from stemproof.attacks.params import AttackParams
from stemproof.attacks.passes import Passes, passes_of
from stemproof.attacks.pgd import build_pgd
from stemproof.auditing.auditable import auditable
from stemproof.auditing.bench import Bench
from stemproof.auditing.checks import Auditor
from stemproof.auditing.material import Material
from stemproof.auditing.params import AuditParams
from stemproof.separators.protocol import Separator

REMEMBERED = 256 * 2**20  # bytes of what one system answered, at most


def passes_of_audit(
    suite: AuditParams, attack: AttackParams, white: bool, channels: int, known: bool
) -> Passes:
    """Passes of one part through a system that is audited.

    Args:
        suite: the section ``audit`` as it is for such a system (:meth:`AuditParams.of`).
        attack: the section ``attack``.
        white: whether its gradient is of use.
        channels: of what it hears.
        known: whether what the audited attack found is known.
    """

    def run(system: Separator, mixture: Tensor, vocals: Tensor) -> None:
        material = Material(["song"], mixture, vocals, (0,))
        found = mixture.flatten(1) if known else None
        bench = Bench(system, material, material, attack, found=found)
        Auditor(bench, suite, white).figures()

    return passes_of(run, channels)


def held(
    parts: Sequence[Material],
    searched: Sequence[tuple[AuditParams, Material]],
    attack: AttackParams,
) -> int:
    """Bytes of the parts that are audited, and of what attacks find for one system, at least.

    Args:
        parts: of the test and the training split, of all systems.
        searched: how much of each system whose gradient is of use is audited, and on which parts.
        attack: the section ``attack``.
    """
    own = build_pgd(auditable(attack)).steps
    found = [
        len({*suite.steps, own, 2 * own}) + len({*suite.eps_factors} - {1.0})
        for suite, _ in searched
    ]
    kept = [
        count * material.mixture.nbytes
        for count, (_, material) in zip(found, searched, strict=True)
    ]
    # The systems of a threat model share theirs.
    once = {id(one): one.mixture.nbytes + one.vocals.nbytes for one in parts}
    return sum(once.values()) + max(kept, default=0)


def remembered(suite: AuditParams, material: Material, attack: AttackParams) -> int:
    """Bytes of the answers that are remembered of one system, as many as there is room for.

    Args:
        suite: the section ``audit`` as it is for such a system.
        material: the parts that it is audited on.
        attack: the section ``attack``.
    """
    passes = passes_of_audit(suite, attack, True, material.mixture.shape[1], known=True)
    answers = passes.forward + 2 * passes.gradient  # an output, and a gradient
    return min(REMEMBERED, answers * material.mixture.nbytes)
