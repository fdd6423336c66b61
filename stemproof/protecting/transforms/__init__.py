"""Transforms by name, and the mixes that a protection is made to survive."""

from __future__ import annotations

from stemproof.core.errors import InputError
from stemproof.protecting.transforms.codecs import AAC, MP3, OPUS, through
from stemproof.protecting.transforms.handling import HANDLING
from stemproof.protecting.transforms.opponent import OPPONENT
from stemproof.protecting.transforms.protocol import Transform, straight_through

__all__ = ["MIXES", "SURVIVAL", "TRANSFORMS", "UNDOING", "Transform", "straight_through", "tuned"]

BY_CODEC = (
    *(through(MP3, kilobits) for kilobits in (128, 192, 320)),
    *(through(AAC, kilobits) for kilobits in (128, 256, 320)),
    *(through(OPUS, kilobits) for kilobits in (128, 192)),
)
TRANSFORMS = {one.name: one for one in (*HANDLING, *BY_CODEC, *OPPONENT)}
# What is reported of every protection: what it survives, and what undoes it.
SURVIVAL = tuple(one.name for one in (*BY_CODEC, *HANDLING))
UNDOING = (*(one.name for one in OPPONENT), "mp3-128")
# What a protection is made for; "file" is the quickest, and promises least.
MIXES = {
    "file": ("none",),
    "streaming": ("none", "mp3-192", "aac-128", "opus-128", "gain", "shift"),
    "everything": (
        *("none", "mp3-128", "aac-128", "opus-128", "resampling", "gain", "shift", "fade"),
        *("mono", "tilt", "low-pass-16k", "low-pass-11k", "noise"),
    ),
}
DIVERSITY = ("shift", "gain", "tilt", "fade")


def tuned(mix: str, diverse: bool = False) -> tuple[str, ...]:
    """Names of what a protection is made to survive.

    Args:
        mix: one of :data:`MIXES`.
        diverse: whether drawn changes come on top, as in input diversity (Xie et al., 2019), so
            that it depends less on the very system that it is made for.

    Raises:
        InputError: there is no such mix.
    """
    if mix not in MIXES:
        raise InputError(f"mix = {mix}: there is {', '.join(MIXES)}; name one of them")
    own = MIXES[mix]
    return own + tuple(name for name in DIVERSITY if diverse and name not in own)
