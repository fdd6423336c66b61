"""From the value of ``data.source`` to the data set: a module of this room with a ``SOURCE``.

There is no list to keep: a data set that is added is a module here, and nothing else changes.
"""

from __future__ import annotations

import difflib

from stemproof.core import plugins
from stemproof.core.errors import InputError
from stemproof.data.recordings.protocol import Source

ROOM = __name__.rpartition(".")[0]


def find_source(name: str) -> Source:
    """The data set of a name.

    Raises:
        InputError: there is none.
    """
    source = plugins.find(ROOM, name, "SOURCE")
    if isinstance(source, Source):
        return source
    known = sources()
    close = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean `{close[0]}`?" if close else ""
    raise InputError(f"data.source = {name} is no data set{hint}; there are {', '.join(known)}")


def sources() -> list[str]:
    """The names of all data sets."""
    return plugins.names(ROOM, "SOURCE")
