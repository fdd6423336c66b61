"""The sections of params.yaml: every room of the code owns its own, and there are no others."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from stemproof.core.errors import InputError

# In the order of the file.
SECTIONS = (
    "demo",
    "data",
    "segments",
    "systems",
    "ablations",
    "own",
    "reference",
    "train",
    "separators",
    "rsvm",
    "attack",
    "breaks",
    "evaluate",
    "statistics",
    "audit",
    "protect",
    "report",
    "runtime",
    "processes",
    "workers",
)
NAMED = 3  # unknown names that one message names


def refuse_unknown(names: Iterable[object], path: Path) -> None:
    """Refuse sections that nothing reads: what stands there would have no effect.

    Args:
        names: of the sections of a file.
        path: the file.

    Raises:
        InputError: a section is not known.
    """
    unknown = [name for name in names if name not in SECTIONS]
    if not unknown:
        return
    said = []
    for name in unknown[:NAMED]:
        close = difflib.get_close_matches(str(name), SECTIONS, n=1)
        said.append(f"{str(name)[:80]!r}" + (f", did you mean `{close[0]}`?" if close else ""))
    raise InputError(
        f"{path}: unknown section {'; '.join(said)}"
        f"{f' and {len(unknown) - NAMED} more' if len(unknown) > NAMED else ''}; nothing reads it: "
        "take it out"
    )
