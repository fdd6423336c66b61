"""Which system somebody means by a name: a model file, an entry of params.yaml, or a kind."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stemproof.core.errors import InputError
from stemproof.core.params import PARAMS, Section, Sections, load_params, read_tree
from stemproof.separators import checkpoint
from stemproof.separators.kind import Kind, ReadyFor
from stemproof.separators.protocol import MaskKind, Separator
from stemproof.separators.ready import checked, kind_of, made_ready, ready
from stemproof.separators.registry import Entries, entry, kinds

MODEL_FILE = ".safetensors"


class _Here(Sections):
    separators: Entries


@dataclass(frozen=True)
class Chosen:
    """A system that is not made yet.

    Attributes:
        name: what tables call it.
        file: its model file, if it is one.
        kind: of the separator, otherwise.
        settings: of that kind.
        where: what messages about the settings begin with.
        trained: whether the luck of a training is in it.
    """

    name: str
    file: Path | None = None
    kind: Kind | None = None
    settings: Section | None = None
    where: str = ""
    trained: bool = False

    def separator(
        self, sample_rate: int, device: torch.device, mask: MaskKind = "fixed"
    ) -> Separator:
        """The system behind the protocol.

        Args:
            sample_rate: of the recordings in Hz, for a kind that takes any.
            device: where to compute.
            mask: where the mask of an informed system comes from.

        Raises:
            InputError: it has to be trained, or its files, packages or settings are not what it
                needs.
        """
        if self.file is not None:
            return checkpoint.load(self.file, mask, device)
        assert self.kind is not None and self.settings is not None
        return ready(self.kind, self.settings, ReadyFor(self.where, sample_rate, 1.0, device), mask)

    def stored(self, folder: Path, sample_rate: int, device: torch.device) -> Path:
        """Its model file, which is written into a folder where there is none yet.

        Raises:
            InputError: as :meth:`separator`.
        """
        if self.file is not None:
            return self.file
        assert self.kind is not None and self.settings is not None
        wanted = ReadyFor(self.where, sample_rate, 1.0, device)
        made = made_ready(self.kind, self.settings, wanted)
        path = folder / f"{self.name}{MODEL_FILE}"
        checkpoint.save(path, self.kind, made.model, self.name, 0, made.settings, made.trained)
        return path


def entries_here() -> Mapping[str, Mapping[str, Any]]:
    """The section ``separators`` of params.yaml in the current folder; empty where there is none.

    Raises:
        InputError: it cannot be read.
    """
    if not PARAMS.is_file() or read_tree().get("separators") is None:
        return {}
    return load_params(_Here).separators


def choose(
    name: str,
    settings: Mapping[str, Any] | None = None,
    entries: Mapping[str, Mapping[str, Any]] | None = None,
    where: str = "",
) -> Chosen:
    """Find the system that is meant.

    Args:
        name: path of a model file (.safetensors), name of an entry, or of a kind. An entry goes
            before a kind of the same name, unless there are settings.
        settings: of a kind; an entry and a model file have their own.
        entries: those that can be named; by default :func:`entries_here`.
        where: what messages about settings of a kind begin with.

    Raises:
        InputError: there is none of that name, or a setting is not allowed.
    """
    entries = entries_here() if entries is None else entries
    known = kinds()
    if name.endswith(MODEL_FILE) or (name in entries and (name not in known or not settings)):
        if settings:
            what = "a model file" if name.endswith(MODEL_FILE) else "an entry of params.yaml"
            raise InputError(
                f"{name} is {what}, which has settings of its own; name a kind with settings "
                f"({', '.join(known)}), or leave {', '.join(settings)} out"
            )
        if name.endswith(MODEL_FILE):
            header = checkpoint.read_header(Path(name))
            label = f"{header.name}-{header.seed}" if header.trained else header.name
            return Chosen(label, Path(name), trained=header.trained)
        kind, own = entry(entries, name)
        return Chosen(name, None, kind, own, f"separators.{name}")
    if name not in known:
        names = [*entries, *known]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f", did you mean `{close[0]}`?" if close else ""
        here = f"entries of params.yaml: {', '.join(entries)}; " if entries else ""
        raise InputError(
            f"unknown system `{name}`{hint}; there are {here}kinds: {', '.join(known)}; or name a "
            f"model file ({MODEL_FILE})"
        )
    kind = kind_of(name)
    where = where or f"kind = {name}"
    return Chosen(name, None, kind, checked(kind, settings or {}, where), where)
