"""What the help of a stage says beside its options: a command, what it reads and what it writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stemproof.core.params import PARAMS, read_tree

PIPELINE = Path("dvc.yaml")
CODE = ("stages/", "stemproof/")
NAMES = {"item.system": "SYSTEM", "item.seed": "SEED"}


def manual(script: str) -> str:
    """Example, inputs, parameters and outputs of a stage, as the pipeline in this folder has them.

    Args:
        script: its path from the project's root, ``stages/train.py``.

    Returns:
        Paragraphs; empty for a script that is no stage, and where there is no pipeline.
    """
    if not (PIPELINE.is_file() and PARAMS.is_file()):
        return ""
    tree = read_tree()
    stages = read_tree(PIPELINE)["stages"].values()
    own = [stage for stage in stages if stage["cmd"].split()[1] == script]
    if not own:
        return ""
    # What trains two systems by their names trains any system.
    own = [stage for stage in own if "system" in stage.get("matrix", ())] or own
    of = {key: _unique(_names(stage.get(key, ())) for stage in own) for key in ("deps", "outs")}
    reads = [name for name in of["deps"] if not name.startswith(CODE)]
    touched = _unique(_names(stage.get("params", ())) for stage in own)
    firsts = {"system": tree["systems"][0], "seed": tree["train"]["seeds"][0]}
    options = (f"--{key} {firsts[key]}" for key in own[0].get("matrix", ()))
    # As DVC does it: an item of a matrix becomes options.
    example = own[0]["cmd"].replace("${item}", " ".join(options))
    lines = {
        "Example": example,
        "Reads": _listed(reads, tree),
        "Parameters": _listed(touched, tree),
        "Writes": _listed(of["outs"], tree),
    }
    return "\n\n".join(f"{word}: {said}" for word, said in lines.items() if said)


def _names(entries: Iterable[Any]) -> list[str]:
    """Of dependencies or outputs, which are names, or names with settings."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _unique(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(name for names in lists for name in names))


def _listed(names: list[str], tree: Mapping[str, Any]) -> str:
    return ", ".join(dict.fromkeys(_said(name, tree) for name in names))


def _said(name: str, tree: Mapping[str, Any]) -> str:
    """A name with what its parameters are; the model of a stage of many stays a word."""

    def value(found: re.Match[str]) -> str:
        key = found.group(1)
        if key in NAMES:
            return NAMES[key]
        place: Any = tree
        for part in key.split("."):
            place = place[part]
        return str(place)

    return re.sub(r"\$\{([\w.]+)\}", value, name)
