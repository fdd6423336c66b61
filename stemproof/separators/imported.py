"""Functions of the user's own modules, by name."""

from __future__ import annotations

import copy
import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stemproof.core.errors import InputError, out_of_memory

# Packages that lie in the project's folder and are no part of anybody's system; who calls it.
NOT_OWN = ("stemproof", "__main__")


def check_name(function: str) -> str:
    """The name of a function, as it is, where it is one.

    Raises:
        ValueError: it is not MODULE:FUNCTION, names with dots in between.
    """
    module, colon, name = function.partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not colon or module.endswith(".py") or not all(part.isidentifier() for part in parts):
        raise ValueError(
            f"{function!r} must be MODULE:FUNCTION with dots between packages and without .py, as "
            "in my_package.my_module:my_function"
        )
    return function


@contextmanager
def in_project() -> Iterator[None]:
    """Modules of the current folder can be imported in the block, as by ``python -c``.

    What PyTorch draws at random in the block is the same every time, and no draw outside changes.
    """
    folder = str(Path.cwd())
    importlib.invalidate_caches()  # a module may be younger than what was last looked up
    sys.path.insert(0, folder)
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(0)
            yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def find(function: str) -> tuple[Callable[..., Any], Path | None]:
    """What a name stands for, and the file that it is written in, if there is one.

    A class or function is looked for in the file that defines it, anything else (an object that
    can be called) in that of the module which is named.

    Args:
        function: MODULE:FUNCTION.

    Raises:
        InputError: there is no such module or function, it cannot be imported, or not be called.
    """
    where, _, name = function.partition(":")
    about = f"function = {function}"
    try:
        with in_project():
            module = importlib.import_module(where)
    except (Exception, SystemExit) as error:  # whatever somebody's own module raises
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{where}.".startswith(f"{missing}."):
            raise InputError(
                f"{about}: there is no module {missing}, neither in this folder nor installed; "
                "correct the name"
            ) from None
        raise InputError(
            f"{about}: the module {where} cannot be imported ({type(error).__name__}: {error}); "
            f'correct it: python -c "import {where}" shows the place'
        ) from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            close = difflib.get_close_matches(part, dir(found), n=1)
            hint = f", did you mean {close[0]}?" if close else ""
            raise InputError(
                f"{about}: no {part} in {getattr(module, '__file__', None) or where}{hint}; "
                "correct the name"
            )
        found = getattr(found, part)
    if not callable(found):
        raise InputError(
            f"{about}: it is of type {type(found).__name__} and cannot be called; name a function, "
            "a class or a module of PyTorch"
        )
    return found, _source(found, module)


def sources(function: str, source: Path | None) -> list[Path]:
    """Files that a function is written in: its own, and what it has imported from the project.

    Args:
        function: its name, MODULE:FUNCTION.
        source: the file that :func:`find` gave.
    """
    folder = Path.cwd()
    found = {source} if source is not None else set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] in NOT_OWN or not file or not Path(file).is_relative_to(folder):
            continue
        inside = Path(file).relative_to(folder).parts
        if not any(part.startswith(".") or part in ("site-packages", "stages") for part in inside):
            found.add(Path(file))
    return sorted(path for path in found if path.is_file())


def _source(found: Any, module: Any) -> Path | None:
    try:
        name = inspect.getsourcefile(found)
    except TypeError:
        name = None
    name = name or getattr(module, "__file__", None)
    return Path(name) if name and Path(name).is_file() else None


def system_of(
    found: Callable[..., Any], function: str, arguments: Mapping[str, Any] | None
) -> Callable[[Tensor], Any]:
    """The system: what is found itself, or what it gives when it is called with arguments.

    A module is put into evaluation mode, and its weights need no gradient. One that stands in the
    user's code ready-made is copied: the weights of another model file may be loaded into it.

    Args:
        found: what the name stands for.
        function: its name, for messages.
        arguments: by name; None when it is the system itself.

    Raises:
        InputError: it is a class and there are no arguments, it fails, or gives nothing that can
            be called.
    """
    about = f"function = {function}"
    if arguments is None:
        if isinstance(found, type):
            raise InputError(
                f"{about}: it is a class; give the arguments that make it (arguments: {{}} for "
                "none)"
            )
        try:
            inspect.signature(found).bind(None)
        except ValueError:  # what is written in C has none
            pass
        except TypeError as error:
            raise InputError(
                f"{about}: it cannot be called with a mixture alone ({error}); where it makes the "
                "system, give its arguments (arguments: {} for none)"
            ) from None
        return _ready(copy.deepcopy(found) if isinstance(found, nn.Module) else found, about)
    try:
        with in_project():
            made = found(**arguments)
    except Exception as error:  # whatever somebody's own function raises
        if out_of_memory(error):
            raise
        raise InputError(
            f"{about}: it fails with these arguments ({type(error).__name__}: {error}); correct "
            "it, or them"
        ) from error
    if not callable(made) or isinstance(made, type):
        what = "a class" if isinstance(made, type) else type(made).__name__
        raise InputError(
            f"{about}: with these arguments it gives {what}; it must give a module of PyTorch, or "
            "a function from mixtures to vocals"
        )
    return _ready(made, about)


def _ready(system: Callable[[Tensor], Any], about: str) -> Callable[[Tensor], Any]:
    """A module in evaluation mode, its weights without gradients; a function as it is."""
    if isinstance(system, nn.Module):
        try:
            system.eval()
        except NotImplementedError as error:  # of torch.export
            raise InputError(
                f"{about}: its module has no evaluation mode ({error}); save it by "
                "torch.export.save and name the file"
            ) from error
        # Not `system.requires_grad_`, which TorchScript has not.
        for weight in system.parameters():
            weight.requires_grad_(False)
    return system
