"""Restarts: the worst of several runs of any attack."""

from __future__ import annotations

from dataclasses import dataclass

from stemproof.attacks.case import Case, Found, worse
from stemproof.attacks.protocol import Attack


@dataclass(frozen=True)
class Restarts:
    """Run an attack again and again with other random numbers; keep the worst for each item.

    Attributes:
        attack: what is run.
        runs: how often.
    """

    attack: Attack
    runs: int

    def __call__(self, case: Case) -> Found:
        """Attack a batch; the losses are the worst of all runs after each step."""
        found = self.attack(case.restarted(0))
        for run in range(1, self.runs):
            found = worse(found, self.attack(case.restarted(run)))
        return found
