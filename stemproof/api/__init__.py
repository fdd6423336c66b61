"""Five calls for a notebook: load, attack, score, audit, claim.

All of them take recordings as batch x channels x samples: PyTorch tensors or NumPy arrays of
floats, full scale 1. An array with a single axis is one mono recording; two axes could be batch or
channels, and are refused. Everything is computed in float32 and where the arrays are (NumPy's on
the CPU), with the system there as well. What comes out are tensors on the same device.

A sixth takes files: :func:`protect` makes of a finished song one that separators stumble over.

Bad input raises :class:`stemproof.core.errors.InputError`, with one sentence that says what to do.
"""

from stemproof.api.attacking import Attacked, attack
from stemproof.api.auditing import Audit, audit
from stemproof.api.claiming import claim
from stemproof.api.document import LocalClaim
from stemproof.api.loading import load
from stemproof.api.protecting import Protected, protect
from stemproof.api.scoring import Scores, score

__all__ = [
    "Attacked",
    "Audit",
    "LocalClaim",
    "Protected",
    "Scores",
    "attack",
    "audit",
    "claim",
    "load",
    "protect",
    "score",
]
