"""What is printed never ends what is computed."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class Unheard(io.FileIO):
    """A stream of bytes whose reader may go: what cannot be written is dropped."""

    def write(self, data: Any, /) -> int:
        """Write some bytes; none where nobody reads any more, or the disk of a log is full."""
        try:
            return super().write(data) or 0
        except OSError:
            return len(memoryview(data).cast("B"))


def keep_printing() -> None:
    """Let no print fail, for want of a letter or of a reader: the work behind it would be lost.

    A letter that the encoding of the terminal does not have is shown by its number, as
    ``\\u0414``. Standard output and error stay the files that they are; a stream that is not open
    at all is opened to nowhere, so that no result takes its number.
    """
    _open_standard_numbers()
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream: TextIO | None = getattr(sys, name)
        # A stream that someone put there (a test, a notebook) is theirs.
        if stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _kept(stream, number))


def _kept(stream: TextIO | None, number: int) -> TextIO:
    if stream is not None:
        with suppress(OSError):
            stream.flush()
        if os.name == "nt" and stream.isatty() and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a console is no file
            return stream
    return io.TextIOWrapper(
        io.BufferedWriter(Unheard(number, "wb", closefd=False)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        # What is said of an error shall be there before the process ends, however it ends.
        line_buffering=number == 2 or os.isatty(number),
        write_through=bool(os.environ.get("PYTHONUNBUFFERED")),
    )


def _open_standard_numbers() -> None:
    """Files are given the lowest free number: 0, 1 and 2 shall not be a result's."""
    while True:
        handle = os.open(os.devnull, os.O_RDWR)
        if handle > 2:
            os.close(handle)
            return
        os.set_inheritable(handle, True)
