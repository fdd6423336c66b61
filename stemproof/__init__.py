"""How robust is a music source separator to an adversary, and how do you know?

The library behind the pipeline in ``dvc.yaml``: systems, attacks on the mixture, figures with
their intervals, and the audit. It holds no paths and no command line; those are in ``stages/`` and
``params.yaml``. Without a pipeline, five calls do it: :func:`load`, :func:`attack`, :func:`score`,
:func:`audit` and :func:`claim` (see :mod:`stemproof.api` and ``docs/python.md``);
:func:`protect` works on a finished song (``docs/protect.md``).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemproof.api import attack, claim, load, protect, score

__version__ = "0.1.0"
__all__ = ["attack", "audit", "claim", "load", "protect", "score"]


def __getattr__(name: str) -> Any:
    # Only who calls them waits for PyTorch.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from stemproof import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
