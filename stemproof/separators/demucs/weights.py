"""Weights that the user names: files of the package's layouts, which are read with its loaders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import safetensors
import torch
from pydantic import Field, StringConstraints

from stemproof.core.errors import InputError, explaining, out_of_memory
from stemproof.core.files import is_there, opened
from stemproof.core.params import Section, read_tree, validate
from stemproof.separators.demucs.models import (
    MODULES,
    VOCALS,
    bag_of,
    is_model,
    package,
    why_not,
)

BAGS, TENSORS, PICKLE = (".yaml", ".yml"), ".safetensors", ".th"
CLASSES = {f"{module}.{name}" for name, module in MODULES.items()}
ALIKE = ("sources", "samplerate", "audio_channels")
MISSING = "no such file; separators.NAME.weights is a path from the project's root"
QUANTISED = "its weights are quantised, which needs a package of its own; name a model that is not"


@dataclass(frozen=True)
class Source:
    """Where weights come from.

    Attributes:
        where: the entry stands, for messages.
        allow_pickle: whether its pickles may be loaded.
    """

    where: str
    allow_pickle: bool


class Bag(Section):
    """A bag of models, as the package writes it in YAML.

    Attributes:
        models: names of files beside it, without suffix.
        weights: a row a model, of a number a source; all ones by default.
        segment: length of a window in seconds, for all models that were not trained on less.
    """

    models: list[Annotated[str, StringConstraints(pattern=r"^[\w-]+$")]] = Field(min_length=1)
    weights: list[list[float]] | None = None
    segment: float | None = Field(default=None, gt=0, le=3600)


def read(path: Path, source: Source) -> tuple[list[Any], list[float]]:
    """Models, and the weight of each one's vocals; without those whose vocals do not count.

    Args:
        path: a file, or a folder with a single bag or a single model.
        source: which entry asks, and what it allows.

    Raises:
        InputError: it cannot be read, is a pickle that is not allowed, or holds no model that can
            be a separator here.
    """
    if is_there(path) and path.is_dir():
        path = _inside(path)
    if path.suffix in BAGS:
        models, weights = _bag(path, source)
    else:
        models, weights = [_model(path, source)], [1.0]
    kept = [(model, weight) for model, weight in zip(models, weights, strict=True) if weight]
    return [model for model, _ in kept], [weight for _, weight in kept]


def _inside(folder: Path) -> Path:
    """The one bag of a folder, or else its one model."""
    with explaining(folder, "read"):
        files = sorted(folder.iterdir())
    found = [file for file in files if file.suffix in BAGS]
    found = found or [file for file in files if file.suffix in (TENSORS, PICKLE)]
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise InputError(
            f"{folder}: one bag (.yaml) or one model (.safetensors, .th) was expected in it, found "
            f"{names}; name the file that is meant"
        )
    return found[0]


def _bag(path: Path, source: Source) -> tuple[list[Any], list[float]]:
    bag = validate(Bag, read_tree(path), str(path))
    models = [_model(_beside(path, name), source) for name in bag.models]
    first = models[0]
    for name, model in zip(bag.models, models, strict=True):
        for what in ALIKE:
            own, wanted = getattr(model, what), getattr(first, what)
            if own != wanted:
                raise InputError(
                    f"{path}: {name} has {what} = {own}, but {bag.models[0]} has {wanted}; a bag "
                    "is of models that are alike"
                )
    rows = bag.weights
    if rows is not None and [len(row) for row in rows] != [len(first.sources)] * len(models):
        raise InputError(
            f"{path}: weights must have {len(models)} row(s), one a model, of "
            f"{len(first.sources)} numbers, one a source"
        )
    together = bag_of(models, rows, bag.segment)
    column = [float(row[first.sources.index(VOCALS)]) for row in together.weights]
    if min(column) < 0 or sum(column) == 0:
        raise InputError(
            f"{path}: the weights of {VOCALS} are {column}; none may be below 0, and not all of "
            "them 0"
        )
    return list(together.models), column


def _beside(path: Path, name: str) -> Path:
    """The file of a model of a bag; safetensors before pickles."""
    tensors = path.with_name(name + TENSORS)
    if is_there(tensors):
        return tensors
    found = [path.with_name(name + PICKLE)] if is_there(path.with_name(name + PICKLE)) else []
    found += sorted(path.parent.glob(f"{name}-*{PICKLE}"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise InputError(
            f"{path}: the model {name} needs the file {tensors.name}, or one {name}{PICKLE}, "
            f"beside it; found {names}"
        )
    return found[0]


def _model(path: Path, source: Source) -> Any:
    if path.suffix == TENSORS:
        model = _from_tensors(path)
    elif path.suffix == PICKLE:
        model = _from_pickle(path, source)
    else:
        raise InputError(
            f"{path}: no model of demucs by its name; {source.where}.weights must be a "
            ".safetensors file, the .yaml of a bag, a folder with one of them, or a .th file"
        )
    reason = why_not(model)
    if reason is not None:
        raise InputError(f"{path}: {reason}; name another model")
    return model


def _from_tensors(path: Path) -> Any:
    """A model whose class and arguments stand in the metadata, as the package writes it.

    The package's loader imports and calls whatever they name: they are held against the three
    classes first.
    """
    with opened(path, MISSING):
        try:
            with safetensors.safe_open(str(path), framework="pt") as stream:
                metadata = stream.metadata() or {}
                names = list(stream.keys())
                kinds = {str(stream.get_slice(key).get_dtype()): key for key in names}
        except safetensors.SafetensorError as error:
            raise InputError(
                f"{path}: not a safetensors file, or truncated ({error}); fetch it again"
            ) from None
    absent = [key for key in ("klass", "args", "kwargs") if key not in metadata]
    if absent:
        raise InputError(
            f"{path}: its metadata have no {', '.join(absent)}; a model in the layout of demucs "
            "4.1 was expected"
        )
    if metadata["klass"] not in CLASSES:
        raise InputError(
            f"{path}: its class is {metadata['klass']}, which is none of "
            f"{', '.join(sorted(CLASSES))}; name a model of demucs"
        )
    strange = [f"{key} is of {kind}" for kind, key in kinds.items() if kind[0] not in "FBIU"]
    if strange:
        raise InputError(f"{path}: {strange[0]}, which is no real number; name another model")
    if "structure" in metadata:
        raise InputError(f"{path}: {QUANTISED}")
    with _building(path), opened(path, MISSING):
        for key in ("args", "kwargs"):
            json.loads(metadata[key])
        return package("demucs.hf").load_safetensors_model(path)


def _from_pickle(path: Path, source: Source) -> Any:
    with opened(path, MISSING) as stream:
        if not source.allow_pickle:
            raise InputError(
                f"{path}: a pickle, and to load one is to run whatever code is in it; name a "
                f".safetensors file, or, if you trust its origin, set "
                f"{source.where}.allow_pickle to true"
            )
        _check_name(path)
        # Its classes are those of the package.
        for module in MODULES.values():
            package(module)
        try:
            content = torch.load(stream, map_location="cpu", weights_only=False)
        except (OSError, MemoryError):
            raise
        except Exception as error:  # a pickle may raise anything
            if out_of_memory(error):
                raise
            raise InputError(
                f"{path}: not a pickle that can be loaded ({type(error).__name__}: {error}); "
                "fetch it again"
            ) from None
    found = content if isinstance(content, dict) else {}
    if not is_model(found.get("klass")):
        raise InputError(
            f"{path}: it holds no model of demucs ({type(content).__name__}); a dictionary with "
            "klass, args, kwargs and state was expected"
        )
    with _building(path):
        if found["state"].get("__quantized"):
            raise InputError(f"{path}: {QUANTISED}")
        for key, weight in found["state"].items():
            if torch.is_tensor(weight) and (weight.is_complex() or weight.is_sparse):
                raise InputError(f"{path}: {key} is sparse or complex; name another model")
        return package("demucs.states").load_model(found)


def _check_name(path: Path) -> None:
    """A name that ends in a hash, as those of the package's own files do, must tell the truth."""
    named = re.search(r"-([0-9a-f]{8,64})$", path.stem)
    if named:
        repo = package("demucs.repo")
        try:
            repo.check_checksum(path, named[1])
        except repo.ModelLoadingError:
            raise InputError(
                f"{path}: its SHA-256 does not begin with {named[1]}, as its name says; fetch it "
                "again"
            ) from None


@contextmanager
def _building(path: Path) -> Iterator[None]:
    """What is wrong with arguments or weights fails in many ways."""
    try:
        yield
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InputError(
            f"{path}: its arguments and weights make no model ({type(error).__name__}: {error}); "
            "fetch it again"
        ) from None
