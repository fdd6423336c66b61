"""Which stages run again when a parameter changes: what dvc.yaml lists under ``params``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stemproof.core.errors import InputError
from stemproof.core.params import read_tree

PIPELINE = Path("dvc.yaml")
TEMPLATE = re.compile(r"\$\{([^}]+)\}")
PART = re.compile(r"(?:\$\{[^}]+\}|[^.])+")  # of a dotted name; there are dots inside of templates
ITEM = "item."  # what begins the names of a stage's own matrix


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, as far as parameters touch it.

    Attributes:
        name: without an item of its matrix.
        listed: names under ``params``, which may hold templates.
        matrix: the parameter behind each name of its matrix that lists one.
        filled: parameters that dvc.yaml puts into its command, dependencies and outputs.
    """

    name: str
    listed: Sequence[str]
    matrix: Mapping[str, str]
    filled: frozenset[str]

    def covers(self, key: str) -> str | None:
        """When the stage runs again after a change of a parameter, or of one inside of it.

        Args:
            key: dotted name of the parameter.

        Returns:
            None for never, an empty text for always, or the parameters that have to name the part
            of the key for which a template stands.
        """
        if key in self.filled:
            return ""
        found = [self._names(name, key) for name in self.listed]
        conditions = [condition for condition in found if condition is not None]
        if not conditions:
            return None
        return "" if "" in conditions else " or ".join(conditions)

    def _names(self, listed: str, key: str) -> str | None:
        where = []
        for part, own in zip(PART.findall(listed), key.split("."), strict=False):
            template = TEMPLATE.fullmatch(part)
            if template:
                where.append(f"`{self._parameter(template[1])}`")
            elif part != own:
                return None
        return " and ".join(where)

    def _parameter(self, name: str) -> str:
        return self.matrix.get(name.removeprefix(ITEM), name) if name.startswith(ITEM) else name


def read_stages(path: Path = PIPELINE) -> list[Stage]:
    """The stages of a pipeline, in its order.

    Raises:
        InputError: the file is missing or no pipeline, or a stage has parameters of another file.
    """
    stages = read_tree(path).get("stages")
    if not isinstance(stages, dict):
        raise InputError(f"{path}: no stages in it; restore the file")
    return [_stage(path, name, stage) for name, stage in stages.items()]


def _stage(path: Path, name: str, stage: Any) -> Stage:
    if not isinstance(stage, dict) or "foreach" in stage:
        raise InputError(f"{path}: stages.{name} is no stage with a matrix or without; make it one")
    listed = stage.get("params", [])
    if not all(isinstance(own, str) for own in listed):
        raise InputError(
            f"{path}: stages.{name}.params names another file; the table of parameters is of "
            "params.yaml alone"
        )
    templates = {
        axis: TEMPLATE.fullmatch(str(values)) for axis, values in stage.get("matrix", {}).items()
    }
    body = {part: own for part, own in stage.items() if part != "matrix"}
    filled = TEMPLATE.findall(yaml.safe_dump(body, width=10_000))
    return Stage(
        name,
        listed,
        {axis: found[1] for axis, found in templates.items() if found},
        frozenset(own for own in filled if not own.startswith(ITEM)),
    )


def run_again(key: str, stages: Sequence[Stage]) -> str:
    """The stages that a change of a parameter runs again, in Markdown; ``none`` for none."""
    again = "; ".join(_clauses(key, stages))
    return again or "none"


def _clauses(key: str, stages: Sequence[Stage]) -> Iterator[str]:
    found = {stage.name: stage.covers(key) for stage in stages}
    names = [
        f"`{name}`" + (f" (where {condition} names it)" if condition else "")
        for name, condition in found.items()
        if condition is not None
    ]
    if names:
        yield ", ".join(names)
    added = [f"`{stage.name}`" for stage in stages if key in stage.matrix.values()]
    if added:
        yield f"for what is added: {', '.join(added)}"
