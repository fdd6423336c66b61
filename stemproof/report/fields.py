"""Every field of the models that check params.yaml, with where it stands and what it is there."""

from __future__ import annotations

import importlib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from stemproof.attacks.broken import BreakParams
from stemproof.attacks.params import AttackSection
from stemproof.auditing.params import AuditParams
from stemproof.core.errors import InputError
from stemproof.core.machine import ProcessParams, RuntimeParams, WorkerParams
from stemproof.core.params import PARAMS, Name, Section, Sections, Systems, TrainParams
from stemproof.data.params import DataParams, DemoParams, SegmentParams
from stemproof.evaluation.params import EvaluateParams
from stemproof.figures.params import StatisticsParams
from stemproof.protecting.section import ProtectSection
from stemproof.report.params import ReportParams
from stemproof.separators.kind import Kind
from stemproof.separators.registry import Entries, find_kind, kinds

# Every section but those that belong to a kind of separator.
SECTIONS: dict[str, Any] = {
    "demo": DemoParams,
    "data": DataParams,
    "segments": SegmentParams,
    "systems": Systems,
    "ablations": list[Name],
    "own": list[Name],
    "reference": Name,
    "train": TrainParams,
    "separators": Entries,
    "attack": AttackSection,
    "breaks": BreakParams,
    "evaluate": EvaluateParams,
    "statistics": StatisticsParams,
    "audit": AuditParams,
    "protect": ProtectSection,
    "report": ReportParams,
    "runtime": RuntimeParams,
    "processes": ProcessParams,
    "workers": WorkerParams,
}
REQUIRED = PydanticUndefined  # in the place of a default


@dataclass(frozen=True)
class Parameter:
    """A field of a model, where it stands.

    Attributes:
        key: dotted name.
        model: it has the field.
        siblings: what is set of that model's fields.
        value: what is set, or else the model's default; :data:`REQUIRED` where there is neither.
        inside: the model of what stands under it, if it is a section.
    """

    key: str
    model: type[BaseModel]
    siblings: Mapping[str, Any]
    value: Any
    inside: type[Section] | None

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.rpartition(".")[2]


def whole(tree: Mapping[str, Any]) -> type[Sections]:
    """A model of all the sections that stand in params.yaml, in its order.

    Raises:
        InputError: there is one that no model checks.
    """
    models: dict[str, Any] = {}
    for name in tree:
        if name not in SECTIONS and name not in kinds():
            raise InputError(
                f"{PARAMS}: unknown section {name}; remove it, or name its model in "
                "stemproof/report/fields.py"
            )
        models[name] = (SECTIONS[name] if name in SECTIONS else shared(find_kind(name)), ...)
    return create_model("Whole", __base__=Sections, **models)


def shared(kind: Kind) -> type[Section]:
    """The model of the section that is named after a kind: what all of its entries share.

    It stands beside the settings of the kind, and is part of no other model there.

    Raises:
        InputError: the kind has none.
    """
    module = importlib.import_module(kind.settings.__module__)
    models = [
        own
        for own in vars(module).values()
        if isinstance(own, type) and issubclass(own, Section) and own.__module__ == module.__name__
    ]
    used = {_section_in(field.annotation) for own in models for field in own.model_fields.values()}
    used |= {base for own in models for base in own.__mro__[1:]}
    left = [own for own in models if own not in used and own is not kind.settings]
    if len(left) != 1:
        raise InputError(
            f"{PARAMS}: unknown section {kind.name}: entries of that kind share none; remove it"
        )
    return left[0]


def walk(model: type[BaseModel], values: Mapping[str, Any], path: str = "") -> Iterator[Parameter]:
    """All fields of a model, and of the sections in it; those that are set first, in their order.

    Args:
        model: where to begin.
        values: what is set, and allowed; the model's own defaults stand for the rest.
        path: what the keys begin with, dot and all.
    """
    fields = model.model_fields
    for name in [*values, *(own for own in fields if own not in values)]:
        value = values[name] if name in values else _default(fields[name])
        inside = _section_in(fields[name].annotation)
        yield Parameter(f"{path}{name}", model, values, value, inside)
        if inside:
            under = value if isinstance(value, Mapping) else {}
            yield from walk(inside, under, f"{path}{name}.")


def _default(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True)
    return default if default is REQUIRED else to_jsonable_python(default)


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that an annotation allows, by itself or beside None."""
    for own in (annotation, *typing.get_args(annotation)):
        if isinstance(own, type) and issubclass(own, Section):
            return own
    return None
