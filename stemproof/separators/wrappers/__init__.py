"""Wrappers that compose: a separator inside, a separator outside."""

from stemproof.separators.wrappers.channels import CopiedChannel, EachChannel, with_channels
from stemproof.separators.wrappers.draws import FixedDraws
from stemproof.separators.wrappers.expectation import Expectation
from stemproof.separators.wrappers.rate import Resampled, with_sample_rate
from stemproof.separators.wrappers.windows import Windowed
from stemproof.separators.wrappers.wrapper import Wrapper

__all__ = [
    "CopiedChannel",
    "EachChannel",
    "Expectation",
    "FixedDraws",
    "Resampled",
    "Windowed",
    "Wrapper",
    "with_channels",
    "with_sample_rate",
]
