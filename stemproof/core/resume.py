"""Unfinished work: what it was made by, and parts of it that stand until nobody needs them."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from stemproof.core.errors import InputError, explaining
from stemproof.core.files import (
    fingerprint,
    is_there,
    opened,
    read_json,
    sha256,
    write_json,
    write_text,
)
from stemproof.core.ownership import remove_written

FINISHED = ".finished"
CURVES = ".csv"  # beside the state of a training: its curves so far
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


def keep(file: Path, content: Any) -> Any:
    """Write what is known of unfinished work, with its hash: trees of numbers and texts.

    Returns:
        The same as :func:`read_kept` will give, so that both ways are one.
    """
    text = json.dumps(content)
    write_text(file, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
    return json.loads(text)


def read_kept(file: Path) -> Any:
    """What :func:`keep` wrote; None where there is nothing, or where it was damaged since.

    Raises:
        InputError: the system refuses to read it.
    """
    if not is_there(file):
        return None
    with opened(file) as stream:
        digest, _, content = stream.read().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() == digest:
        return json.loads(content)
    print(f"{file}: damaged, computing it again", flush=True)
    return None


class Parts:
    """Figures of parts of a stage's work, which stand by themselves until they are dropped.

    A stage that was killed goes on with those of the same inputs and code. They outlive the stage,
    for it may be killed before DVC has recorded what it wrote: a later stage drops them.
    """

    def __init__(self, scratch: Path, name: str, *decides: Any, code: str | None = None) -> None:
        """Name the place of the parts; nothing is written yet.

        Args:
            scratch: the folder of such work.
            name: of this work, one model for instance.
            decides: everything that the figures depend on, but for this package's code.
            code: a hash of the code that they depend on; of all that is imported by default.
        """
        code = code or code_fingerprint()
        self.folder = scratch / f"{name}-{fingerprint(decides, code)[:16]}"

    def find(self, part: str) -> Any:
        """What was kept of a part, or None.

        Raises:
            InputError: the system refuses to read it.
        """
        return read_kept(self._file(part))

    def keep(self, part: str, content: Any) -> Any:
        """Keep figures of a part: trees of numbers and texts, also such as are not finite.

        Returns:
            The same as :meth:`find` will give, so that both ways are one.
        """
        return keep(self._file(part), content)

    def of(self, part: str, compute: Callable[[], Any]) -> Any:
        """Figures of a part: those that were kept, or those that are computed and kept now."""
        found = self.find(part)
        return self.keep(part, compute()) if found is None else found

    def finished(self) -> None:
        """Say that what the parts were kept for is stored."""
        finished(self.folder, [file.name for file in self.folder.glob("*.json")])

    def _file(self, part: str) -> Path:
        return self.folder / f"{fingerprint(part)[:16]}.json"


def finished(work: Path, files: Iterable[str] = ()) -> None:
    """Say of unfinished work that all of it is stored where it belongs.

    Args:
        work: its file or folder.
        files: names of what is ours in a folder without a marker.
    """
    if is_there(work):
        write_json(_sign(work), {"files": sorted(files)})


def begun(work: Path) -> None:
    """Take back what :func:`finished` said: there is more to do."""
    with explaining(_sign(work), "written"):
        _sign(work).unlink(missing_ok=True)


def drop(scratch: Path, name: str) -> None:
    """Remove what is finished of some work; what is not may be gone on with.

    Args:
        scratch: the folder of such work.
        name: of the work.
    """
    for sign in sorted(scratch.glob(f"*{FINISHED}")):
        work = sign.with_suffix("")
        if not re.fullmatch(rf"{re.escape(name)}(\.ckpt|\.part|-[0-9a-f]{{16}})", work.name):
            continue
        with suppress(InputError, OSError):  # what stays, or another process removes, does no harm
            if work.is_dir():
                remove_written(work, map(str, read_json(sign).get("files", ())))
            else:
                work.unlink(missing_ok=True)
                work.with_suffix(CURVES).unlink(missing_ok=True)
            sign.unlink(missing_ok=True)


def _sign(work: Path) -> Path:
    return work.with_name(work.name + FINISHED)
