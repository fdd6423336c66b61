"""stempeg, on which musdb and museval stand, imported where there is no ffmpeg program.

stempeg refuses to be imported unless ``ffmpeg`` and ``ffprobe`` are on the PATH.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

_read_by_program: Any = None


def ffmpeg_installed() -> bool:
    """Whether both programs are on the PATH."""
    return bool(shutil.which("ffmpeg") and shutil.which("ffprobe"))


@contextmanager
def stempeg_importable() -> Iterator[None]:
    """Let stempeg pass its check for the programs, once, at import."""
    global _read_by_program
    if _read_by_program is None:
        which = shutil.which if ffmpeg_installed() else (lambda name, *_: name)
        with mock.patch.object(shutil, "which", which):
            import stempeg.read
        _read_by_program = stempeg.read._read_ffmpeg
    yield


def reader_by_program() -> Any:
    """stempeg's own reader, which runs the programs, as it was before any other took its place."""
    with stempeg_importable():
        return _read_by_program


def import_museval() -> ModuleType:
    """Import museval (which imports musdb), with its fallback for singular frames restored.

    museval catches ``np.linalg.linalg.LinAlgError``, a name that NumPy 2 removed: a singular
    frame would end in AttributeError instead of the least-squares solution.
    """
    if not hasattr(np.linalg, "linalg"):
        np.linalg.linalg = np.linalg  # type: ignore[attr-defined]
    with stempeg_importable():
        import museval

    module: ModuleType = museval
    return module
