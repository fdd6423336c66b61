"""What unfinished work was made by: is a run that goes on the same run?"""

from __future__ import annotations

import sys
from pathlib import Path

from stemproof.core.files import fingerprint, sha256

PACKAGE = __name__.partition(".")[0]


def code_fingerprint() -> str:
    """A SHA-256 of the source of this package's modules that the process has imported.

    Unfinished work of other code is not gone on with; modules that this process does not use may
    change meanwhile.
    """
    sources = []
    for name, module in list(sys.modules.items()):  # a thread may import meanwhile
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] == PACKAGE and file:
            sources.append((name, sha256(Path(file))))
    return fingerprint(sorted(sources))
