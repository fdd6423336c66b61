"""YAML that means the same to every reader: what readers differ on is refused, by its key.

DVC reads ``params.yaml`` by YAML 1.2 and names files after what it finds; PyYAML reads YAML 1.1,
to which ``010`` is eight and ``no`` is false. The numbers that DVC itself writes, as 1e-05, are
read as it reads them.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from stemproof.core.errors import InputError

BOOL, INT, FLOAT, TEXT, MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "str", "merge")
)
# What YAML 1.1 or 1.2, or one of their readers, takes for a number.
NUMBER = re.compile(
    r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*|(?<=[-+])_[0-9_]*"
    r"|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9_]+|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?)"
)
# What all of them take for the same number.
PLAIN = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
# Of a name between braces: to YAML 1.2 the colon is its last letter here.
CLOSE_COLON = re.compile(r"[ \t]*:[],[{}]")
LARGEST = 100_000  # values, each alias counted as what it stands for


def parse_yaml(text: str, where: str) -> Any:
    """Read a text of YAML.

    Args:
        text: the text.
        where: file or option, at which messages begin.

    Raises:
        InputError: it is not YAML, has a key twice, or a value on which readers differ.
    """
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _Check(loader, text, where).size(node, ())
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"{where}: not valid YAML ({error}); correct it") from None


class _Check:
    """Goes through the nodes of a document, before anything is made of them."""

    def __init__(self, loader: yaml.SafeLoader, text: str, where: str) -> None:
        self.loader, self.text, self.where = loader, text, where
        self.sizes: dict[int, int] = {}

    def size(self, node: Node, keys: tuple[str, ...]) -> int:
        """How many values a node stands for; nodes are refused where readers differ."""
        if id(node) in self.sizes:  # an alias
            return self.sizes[id(node)]
        self.sizes[id(node)] = LARGEST + 1  # of what holds itself
        if isinstance(node, ScalarNode):
            self._scalar(node, keys)
            total = 1
        elif isinstance(node, SequenceNode):
            self._tag(node, keys, self.loader.DEFAULT_SEQUENCE_TAG)
            total = sum(self.size(own, (*keys, str(n))) for n, own in enumerate(node.value))
        else:
            assert isinstance(node, MappingNode)
            self._tag(node, keys, self.loader.DEFAULT_MAPPING_TAG)
            total = self._mapping(node, keys)
        if total > LARGEST:
            raise InputError(
                f"{self._at(keys)} stands for more than {LARGEST} values; write less, without "
                "aliases of aliases"
            )
        self.sizes[id(node)] = total + 1
        return total + 1

    def _mapping(self, node: MappingNode, keys: tuple[str, ...]) -> int:
        if node.flow_style and self.text[node.start_mark.index] not in "{&":
            raise InputError(f"{self._at(keys)}: put braces around key and value, or quotes")
        seen: set[Any] = set()
        total = 0
        for key, value in node.value:
            # To YAML 1.2 the mark in `&a: 1` is `a:`, and nothing there is a key.
            if not isinstance(key, ScalarNode) or (key.style is None and not key.value):
                raise InputError(f"{self._at(keys)} has a key that is no text; correct it")
            below = (*keys, key.value)
            self._scalar(key, below)
            plain = node.flow_style and key.style is None
            if plain and CLOSE_COLON.match(self.text, key.end_mark.index):
                raise InputError(
                    f"{self._at(below)}: readers of YAML differ on whether the colon belongs to "
                    "the name; put a space behind it"
                )
            name = MERGE if key.tag == MERGE else self.loader.construct_object(key)
            if name in seen:
                raise InputError(f"{self._at(below)} stands there twice; leave one of them out")
            seen.add(name)
            total += self.size(value, below)
        return total

    def _scalar(self, node: ScalarNode, keys: tuple[str, ...]) -> None:
        plain, text = node.style is None, node.value
        implied = self.loader.resolve(ScalarNode, text, (plain, not plain))  # type: ignore[no-untyped-call]
        self._tag(node, keys, implied)
        if not plain:
            return
        if NUMBER.fullmatch(text):
            if PLAIN.fullmatch(text):
                if node.tag in (INT, FLOAT):
                    return
                value = float(text)
                # As DVC writes them; of whole numbers there is a plain way.
                if math.isfinite(value) and not value.is_integer():
                    node.tag = FLOAT
                    return
            raise InputError(
                f"{self._at(keys)} = {text}: readers of YAML differ on what that is; write a "
                f"number in decimal digits, without zeros in front, or a text as '{text}'"
            )
        if node.tag == BOOL and text.lower() not in ("true", "false"):
            raise InputError(
                f"{self._at(keys)} = {text}: readers of YAML differ on what that is; write true "
                f"or false, or a text as '{text}'"
            )

    def _tag(self, node: Node, keys: tuple[str, ...], implied: str) -> None:
        if node.tag != implied:
            raise InputError(f"{self._at(keys)} has the tag {node.tag}; write it without a tag")

    def _at(self, keys: tuple[str, ...]) -> str:
        return f"{self.where}: {'.'.join(keys) or 'the whole of it'}"
