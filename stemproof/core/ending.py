"""How a command ends that its user must mend something for: one line, and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stemproof.core.errors import user_message
from stemproof.core.progress import close_bars

STATUS = 2  # as of a wrong option; a bug ends with a traceback and 1


@contextmanager
def one_line() -> Iterator[None]:
    """Print an error of the user in the block as one line and exit with :data:`STATUS`.

    Raises:
        SystemExit: after such an error; any other is a bug and passes with its traceback.
    """
    try:
        yield
    except Exception as error:
        close_bars()
        said = user_message(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        sys.exit(STATUS)
