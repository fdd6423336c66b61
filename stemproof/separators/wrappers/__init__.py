"""Wrappers that compose: a separator inside, a separator outside.

Each is imported when it is asked for: a stage loads no library of a wrapper that it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stemproof.separators.wrappers.channels import CopiedChannel, EachChannel, with_channels
    from stemproof.separators.wrappers.draws import FixedDraws
    from stemproof.separators.wrappers.expectation import Expectation
    from stemproof.separators.wrappers.rate import Resampled, with_sample_rate
    from stemproof.separators.wrappers.remembered import Memory, Remembered
    from stemproof.separators.wrappers.watched import Watched
    from stemproof.separators.wrappers.windows import Windowed
    from stemproof.separators.wrappers.wrapper import Wrapper

_MODULES = {
    "CopiedChannel": "channels",
    "EachChannel": "channels",
    "Expectation": "expectation",
    "FixedDraws": "draws",
    "Memory": "remembered",
    "Remembered": "remembered",
    "Resampled": "rate",
    "Watched": "watched",
    "Windowed": "windows",
    "Wrapper": "wrapper",
    "with_channels": "channels",
    "with_sample_rate": "rate",
}
__all__ = [
    "CopiedChannel",
    "EachChannel",
    "Expectation",
    "FixedDraws",
    "Memory",
    "Remembered",
    "Resampled",
    "Watched",
    "Windowed",
    "Wrapper",
    "with_channels",
    "with_sample_rate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
