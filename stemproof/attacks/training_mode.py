"""Parts of a system that are in training mode, wherever the system keeps its networks."""

from __future__ import annotations

import dis
import functools
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

# Parts of a network that compute something else while it is trained.
TRAINING_PARTS = ("Dropout", "BatchNorm", "InstanceNorm", "RReLU")
DEEPEST = 10  # wrappers around wrappers around a function around an object around a network
NO_SYSTEMS = (type, ModuleType, Tensor, str, bytes, int, float)


def in_training(system: Any) -> list[str]:
    """Names of the layers that are in training mode, and compute something else then.

    Networks are looked for in attributes, containers, bound methods, partials, closures, defaults
    and the globals that a function names: calling ``eval`` on what is outside does not reach what
    is kept apart from PyTorch's own register of modules.

    Args:
        system: a separator, or anything else.

    Returns:
        Each once, in alphabetical order.
    """
    found: set[str] = set()
    seen: dict[int, Any] = {}  # kept, so that no other object gets the same id
    waiting = [(system, 0)]
    while waiting:
        thing, depth = waiting.pop()
        if id(thing) in seen or isinstance(thing, NO_SYSTEMS):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, nn.Module) and _trains(thing):
            found.add(_name(thing))
        if depth < DEEPEST:
            # Networks count as one thing, however deep they are.
            inner = thing.modules() if isinstance(thing, nn.Module) else ()
            waiting += [(part, depth) for part in inner]
            waiting += [(held, depth + 1) for held in _held(thing)]
    return sorted(found)


def _name(part: nn.Module) -> str:
    return str(getattr(part, "original_name", type(part).__name__))


def _trains(part: nn.Module) -> bool:
    # Of a recurrent layer only its dropout differs; some are kept in training mode, since cuDNN
    # has no backward pass in evaluation mode.
    drops = isinstance(part, nn.RNNBase) and part.dropout > 0
    return part.training and (drops or any(known in _name(part) for known in TRAINING_PARTS))


def _held(thing: Any) -> Iterator[Any]:
    """What an object holds."""
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    elif isinstance(thing, MethodType):
        yield from (thing.__self__, thing.__func__)
    elif isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, FunctionType):
        for cell in thing.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # of a name that has no value yet
                continue
        yield from (thing.__defaults__, thing.__kwdefaults__)
        yield from (thing.__globals__.get(name) for name in _globals(thing.__code__))
    yield from getattr(thing, "__dict__", {}).values()


def _globals(code: CodeType) -> Iterator[str]:
    """Names of the globals that a function reads, also in functions inside it."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals(constant)
