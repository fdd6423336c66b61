"""Parameters: typed sections of ``params.yaml``, of which a stage loads only those it declares."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from stemproof.core.errors import InputError
from stemproof.core.files import opened
from stemproof.core.plain_yaml import parse_yaml
from stemproof.core.sections import refuse_unknown

PARAMS = Path("params.yaml")
# Keys and files that stand beside those of systems: ``metrics/comparison.json``, ``plots/audit``.
RESERVED = ("reference", "n_tracks", "n_seeds", "other_threat", "made_with")
PLAIN = r"^[a-z0-9][a-z0-9_-]*$"  # of a name
SHOWN = 200  # characters of a value in a message


def _free(name: str) -> str:
    if name in RESERVED:
        raise ValueError(f"{name} is a name of the results themselves; give it another")
    return name


Name = Annotated[
    str,
    StringConstraints(pattern=PLAIN, max_length=64),
    AfterValidator(_free),
]


def _named_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name stands there twice")
    return names


# The section `systems`: what is attacked and compared, in the order of tables.
Systems = Annotated[list[Name], Field(min_length=1, max_length=1000), AfterValidator(_named_once)]
# DVC names files after what stands there: 218.0 would be another file.
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]


class Section(BaseModel):
    """A part of the parameters; every room owns its own.

    A section is frozen, and refuses unknown keys, NaN, and truth values or texts where numbers
    belong.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_in_the_place_of_another(cls, section: Any) -> Any:
        # Pydantic reads `true` as 1.0, '010' as 10 and 'on' as true; DVC, which names files after
        # what it finds, does not.
        for key, value in section.items() if isinstance(section, dict) else ():
            field = cls.model_fields.get(str(key))
            for item in value if isinstance(value, list) else [value]:
                if field and _is_all(field.annotation, (int, float)):
                    if isinstance(item, bool):
                        raise ValueError(f"{key} must be a number, not {str(item).lower()}")
                    if isinstance(item, str) and _reads_as_number(item):
                        raise ValueError(f"{key} must be a number, not the text {short(item)}")
                elif field and _is_all(field.annotation, (bool,)) and not _is_truth(item):
                    raise ValueError(f"{key} must be true or false, not {short(item)}")
        return section


class Sections(BaseModel):
    """The sections that one stage declares, as fields; the others in the file are not read.

    ``without_effect`` names the sections that change how fast a result comes and not which: they
    are no parameters of the stage in ``dvc.yaml``.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    without_effect: ClassVar[frozenset[str]] = frozenset({"workers"})


Declared = TypeVar("Declared", bound=Sections)


def read_tree(path: Path = PARAMS) -> dict[str, Any]:
    """The whole of a parameter file, not yet checked.

    Raises:
        InputError: the file is missing, or not a mapping in YAML, or a value in it is one on which
            readers of YAML differ.
    """
    with opened(path, "no such file; run from the project's root") as stream:
        text = stream.read().decode()
    tree = parse_yaml(text, str(path))
    if not isinstance(tree, dict):
        raise InputError(f"{path}: a mapping of sections was expected; restore the file")
    return tree


def load_params(sections: type[Declared], path: Path = PARAMS) -> Declared:
    """Read and check the sections that a stage declares, and what DVC makes commands of.

    Raises:
        InputError: the file cannot be read, or a parameter is not allowed; the message names every
            offending key, its value and what is allowed.
    """
    tree = read_tree(path)
    found = validate(sections, tree, str(path))
    validate(_Named, tree, str(path))
    refuse_unknown([name for name in tree if name not in sections.model_fields], path)
    return found


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], tree: Any, where: str) -> Model:
    """Check a tree of values against a model.

    Args:
        model: the section, or the sections.
        tree: what was read.
        where: file or parameter, at which messages begin.

    Raises:
        InputError: a value is not allowed.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: {'; '.join(problems_of(error, model, tree))}") from None


def problems_of(error: ValidationError, model: type[BaseModel], tree: Any) -> list[str]:
    """What is wrong with a tree of values, one clause a problem."""
    found = tree if isinstance(tree, dict) else {}
    return [_explain(problem, model, found) for problem in error.errors()]


def clause(problem: Any) -> str:
    """What pydantic says of one problem, as a clause."""
    message = str(problem["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _explain(problem: Any, model: type[BaseModel], tree: dict[str, Any]) -> str:
    """One pydantic problem as 'key = value: what is allowed'."""
    keys = [str(part) for part in problem["loc"]]
    key = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(keys[-1], _known_keys(model, keys[:-1]), n=1)
        hint = f", did you mean `{close[0]}`?" if close else ""
        return f"unknown parameter {key}{hint}"
    if problem["type"] == "missing":
        close = difflib.get_close_matches(keys[-1], [str(k) for k in tree], n=1) if tree else []
        hint = f"; did you mean it by `{close[0]}`?" if len(keys) == 1 and close else ""
        return f"{key} is missing{hint}"
    message = clause(problem)
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    if problem["type"] in ("model_type", "dict_type"):
        ours = issubclass(model, Section | Sections)
        message = (
            "a section was expected, lines of `key: value`" if ours else "an object was expected"
        )
    if problem["type"] == "string_pattern_mismatch" and problem["ctx"]["pattern"] == PLAIN:
        message = "small letters, digits, - and _ were expected, a letter or digit first"
    return f"{key} = {short(problem['input'])} is not allowed: {message}"


def _known_keys(model: type[BaseModel], path: list[str]) -> list[str]:
    """The keys that are allowed at a place of the tree."""
    here: Any = model
    for part in path:
        here = _inside(here, part)
    return list(here.model_fields) if _is_model(here) else []


def _inside(kind: Any, part: str) -> Any:
    """What stands under a key of a section, or of a mapping or list of sections."""
    if _is_model(kind):
        field = kind.model_fields.get(part)
        return _section_of(field.annotation) if field else None
    inner = typing.get_args(kind)
    return _section_of(inner[-1]) if inner else None


def _section_of(annotation: Any) -> Any:
    """The section, mapping or list behind ``Section | None`` and the like."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [a for a in typing.get_args(annotation) if a is not types.NoneType]
        return parts[0] if len(parts) == 1 else None
    return annotation


def _is_all(annotation: Any, kinds: tuple[type, ...]) -> bool:
    """Whether values of these kinds, or lists of them, are all that is allowed beside None."""
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list):
        parts = [a for a in typing.get_args(annotation) if a is not types.NoneType]
        return all(_is_all(part, kinds) for part in parts)
    return annotation in kinds


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_truth(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def short(value: Any) -> str:
    """A value in a message."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


class TrainParams(Section):
    """The section ``train``: what every trained system has in common."""

    seeds: list[Seed] = Field(default=[218], min_length=1, max_length=100)

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed is named twice")
        return seeds


class _Named(Sections):
    """Names and seeds: parts of commands and of files' names, of whichever stage."""

    systems: Systems = Field(default=["baseline"])
    ablations: list[Name] = Field(default=[])
    own: list[Name] = Field(default=[])
    train: TrainParams = Field(default=TrainParams())


def first_difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """The first parameter that differs, with both values; None when none does.

    Args:
        found: what something was made with.
        wanted: what params.yaml says.
    """
    for key, value in wanted.items():
        there = found.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            if inside := first_difference(there, value):
                return f"{key}.{inside}"
        elif there != value:
            return f"{key} = {there}, but params.yaml says {value}"
    return None
