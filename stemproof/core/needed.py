"""The packages that every stage needs, looked for before one of them is imported."""

from __future__ import annotations

import importlib.util
import sys

# DVC runs stages by the first `python` of the shell's search path, whichever that is.
NEEDED = (
    "av jinja2 joblib julius lightning_fabric matplotlib musdb museval numpy pandas pydantic "
    "safetensors scipy soundfile stempeg torch tqdm typer yaml"
)


def refuse_other_python() -> None:
    """End with one sentence where this Python is not that of the project."""
    for name in NEEDED.split():
        if importlib.util.find_spec(name) is None:
            cure = "activate its environment (`make setup`, then source .venv/bin/activate)"
            said = f"{sys.executable} has no {name}: not the Python of this project; {cure}"
            print(f"error: {said}", file=sys.stderr)
            sys.exit(2)
