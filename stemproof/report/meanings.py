"""What parameters mean: the comments of params.yaml, and the docstrings of the models.

``params.yaml`` is where people read and change a parameter, so its comments come first. What no
comment tells, such as the settings of a kind that has no entry there, stands under ``Attributes``
in the docstring of its model.
"""

from __future__ import annotations

import inspect
import re

import yaml
from yaml import MappingNode, Node

from stemproof.core.params import Section

BEHIND = re.compile(r":?\s*#\s*(.*)")  # of a value, or of a key whose value is on other lines
ATTRIBUTE = re.compile(r"    (\w+): (.*)")
MARKED = re.compile(r"(?::\w+:)?`+~?([^`]+)`+")  # code and roles of reStructuredText


def comments(text: str) -> dict[str, str]:
    """The comments of a file of YAML, by dotted key.

    Args:
        text: a mapping of YAML, in block style.

    Returns:
        What stands behind a key on its line. A key of the outermost mapping that has nothing there
        has the comment at the head of its paragraph, if there is one.
    """
    found: dict[str, str] = {}
    lines = text.splitlines()

    def go(node: Node | None, path: str) -> None:
        if not isinstance(node, MappingNode) or node.flow_style:
            return
        for key, value in node.value:
            name = f"{path}{key.value}"
            row = key.end_mark.line
            end = value.end_mark if value.end_mark.line == row else key.end_mark
            behind = BEHIND.fullmatch(lines[row][end.column :])
            said = behind[1].strip() if behind else "" if path else _above(lines, row)
            if said:
                found[name] = said
            go(value, f"{name}.")

    go(yaml.compose(text, Loader=yaml.SafeLoader), "")
    return found


def _above(lines: list[str], row: int) -> str:
    """The comment at the head of a paragraph, as one line."""
    while row and lines[row - 1].strip():
        row -= 1
    head = []
    while lines[row].startswith("#"):
        head.append(lines[row].lstrip("# "))
        row += 1
    return " ".join(head)


def attributes(model: type[Section]) -> dict[str, str]:
    """What the docstrings of a model, and of those that it extends, say of its fields."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        _, _, listed = _docstring(base).partition("\nAttributes:\n")
        name = ""
        for line in listed.splitlines():
            begins = ATTRIBUTE.fullmatch(line)
            if line and not line.startswith(" "):  # the next part of the docstring
                break
            if begins:
                name, found[begins[1]] = begins[1], begins[2]
            elif name:
                found[name] += f" {line}"
    return {name: _markdown(said) for name, said in found.items()}


def prose(model: type[Section]) -> str:
    """What the docstring of a model says before it comes to the fields."""
    docstrings = (_docstring(base) for base in model.__mro__)
    own = next((docstring for docstring in docstrings if docstring), "")
    return _markdown(own.partition("\nAttributes:\n")[0])


def _docstring(base: type) -> str:
    """The docstring of a section; empty for what a section itself extends."""
    is_ours = issubclass(base, Section) and base is not Section
    return inspect.cleandoc(base.__dict__.get("__doc__") or "") if is_ours else ""


def _markdown(text: str) -> str:
    return MARKED.sub(r"`\1`", " ".join(text.split()))
