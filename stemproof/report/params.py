"""The section ``report``."""

from __future__ import annotations

from typing import Literal

from stemproof.core.params import Section

Audio = Literal["demo", True, False]


class ReportParams(Section):
    """What the report embeds.

    ``audio`` is ``demo`` for the clips of rendered songs only, true for all clips, false for none:
    of most recordings the licence does not allow to hand them on.
    """

    audio: Audio = "demo"
