"""How a segment is padded so that it has ``ceil(samples / hop)`` frames."""

from __future__ import annotations


def frame_count(samples: int, hop: int) -> int:
    """Number of frames of a segment."""
    return -(-samples // hop)


def padding(samples: int, kernel: int, hop: int) -> tuple[int, int]:
    """Zeros to put before and after a segment.

    The total is what ``frame_count`` frames need beyond the segment. The reference code pads
    ``int(-N/2 + L/2 - hop/2 + ceil(N/hop) * hop/2)`` on both sides, which is the same whenever
    the total is even; when it is odd, the extra zero goes to the end, so that any segment
    length gives the same number of frames.
    """
    total = (frame_count(samples, hop) - 1) * hop + kernel - samples
    return total // 2, total - total // 2
