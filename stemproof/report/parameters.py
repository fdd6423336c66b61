"""The reference of all parameters: what docs/parameters.md says of every section of params.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stemproof.core.files import opened
from stemproof.core.params import PARAMS, Section, read_tree, validate
from stemproof.report.fields import REQUIRED, Parameter, walk, whole
from stemproof.report.markdown import as_table
from stemproof.report.meanings import attributes, comments, prose
from stemproof.report.ranges import code, range_of
from stemproof.report.reruns import Stage, read_stages, run_again
from stemproof.separators.kind import Kind
from stemproof.separators.registry import entry, find_kind, kinds

ENTRIES = "separators"  # the section of entries, each of which a kind checks
COLUMNS = ("key", "type and range", "default", "unit and meaning")
STAGES = "runs again"
Comments = Mapping[str, str]
Stages = Sequence[Stage]


def sections() -> str:
    """All sections of params.yaml, in its order, with a table each.

    Returns:
        Markdown, from the files ``params.yaml`` and ``dvc.yaml`` of this folder.

    Raises:
        InputError: a file is missing, cannot be read, or has a section or a value that is not
            allowed.
    """
    tree, stages = read_tree(), read_stages()
    with opened(PARAMS, "no such file; run from the project's root") as stream:
        said = comments(stream.read().decode())
    model = whole(tree)
    validate(model, tree, str(PARAMS))
    found: dict[str, list[Parameter]] = {name: [] for name in tree}
    for own in walk(model, tree):
        found[own.key.split(".")[0]].append(own)
    parts = [
        _entries(tree[name], said, stages) if name == ENTRIES else _section(own, said, stages)
        for name, own in found.items()
    ]
    return "\n" + "\n".join(parts)


def _section(found: Sequence[Parameter], said: Comments, stages: Stages) -> str:
    """A section: the first parameter, and all that stands under it; or a single value."""
    first, *inside = found
    about = said.get(first.key) or prose(first.inside) if first.inside else ""
    rows = [
        (*_row(own, said.get(own.key)), run_again(own.key, stages)) for own in inside or [first]
    ]
    return f"## `{first.key}`\n{_sentence(about)}\n" + as_table((*COLUMNS, STAGES), rows)


def _entries(entries: Mapping[str, Any], said: Comments, stages: Stages) -> str:
    """The section of entries, and what those of every kind may set."""
    of_kind: dict[str, list[str]] = {name: [] for name in kinds()}
    rows = []
    for name, own in entries.items():
        kind, _ = entry(entries, name)
        of_kind[kind.name].append(name)
        settings = ", ".join(f"{key} {code(value)}" for key, value in _leaves(own) if key != "kind")
        key = f"{ENTRIES}.{name}"
        what = _cell(said.get(key, ""))
        rows.append((f"`{key}`", code(kind.name), settings, what, run_again(key, stages)))
    header = ("entry", "`kind`", "settings", "what it is", STAGES)
    about = _sentence(said.get(ENTRIES, ""))
    parts = [f"## `{ENTRIES}`\n{about}\n" + as_table(header, rows)]
    parts += [_kind(find_kind(name), names, said) for name, names in of_kind.items()]
    return "\n".join(parts)


def _kind(kind: Kind, names: Sequence[str], said: Comments) -> str:
    """What an entry of a kind may set; defaults are those of its model.

    Args:
        kind: the kind.
        names: of its entries, whose comments may say what a setting means.
        said: all comments.
    """
    rows = []
    for own in walk(kind.settings, {}):
        meanings = (said.get(f"{ENTRIES}.{name}.{own.key}") for name in names)
        rows.append(_row(own, next(filter(None, meanings), None)))
    return f"### Kind `{kind.name}`\n{_sentence(kind.summary)}\n" + as_table(COLUMNS, rows)


def _row(own: Parameter, comment: str | None) -> tuple[str, str, str, str]:
    """Key, type and range, default, and what it means: docstrings tell what no comment does."""
    meaning = comment
    if not meaning and issubclass(own.model, Section):
        meaning = attributes(own.model).get(own.name)
    if not meaning and own.inside:
        meaning = prose(own.inside)
    if own.value is REQUIRED:
        default = "required"
    else:
        # What stands in a section has rows of its own.
        default = "" if own.inside and own.value else code(own.value)
    kind = range_of(own.model, own.name, own.siblings)
    return f"`{own.key}`", kind, default, _cell(meaning or "")


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _sentence(text: str) -> str:
    if not text:
        return ""
    end = "" if text[-1] in ".?!" else "."
    return f"{text[0].upper()}{text[1:]}{end}\n"


def _cell(text: str) -> str:
    """A meaning in a table: without the full stop, as comments are."""
    return text.replace("|", "\\|").removesuffix(".")
