"""stempeg without an ffmpeg program: musdb and museval import it, and may not need the program."""

from __future__ import annotations

import importlib
import shutil
import sys
from types import ModuleType
from unittest import mock

import numpy as np


def import_stempeg() -> ModuleType:
    """Import ``stempeg.read``, past its check for the programs, which it makes once, at import."""
    if "stempeg.read" in sys.modules:
        return sys.modules["stempeg.read"]
    found = shutil.which
    with mock.patch.object(shutil, "which", lambda name, *rest: found(name, *rest) or name):
        return importlib.import_module("stempeg.read")


def import_museval() -> ModuleType:
    """Import museval (which imports musdb), with its fallback for singular frames restored.

    museval catches ``np.linalg.linalg.LinAlgError``, a name that NumPy 2 removed: a singular
    frame would end in AttributeError instead of the least-squares solution.
    """
    import_stempeg()
    if not hasattr(np.linalg, "linalg"):
        np.linalg.linalg = np.linalg  # type: ignore[attr-defined]
    import museval

    module: ModuleType = museval
    return module
