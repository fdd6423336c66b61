"""Which parameters touch which result, and what a stage may therefore read."""

from __future__ import annotations

from pathlib import Path

from stemproof.core.documents import Document, read_any
from stemproof.core.errors import InputError
from stemproof.core.made_with import Record, carried, difference, merged, record_of
from stemproof.core.params import PARAMS, read_tree
from stemproof.core.seals import check_seal

# Which parameters each stage's result depends on beside what it reads, in the order of the
# pipeline; as in dvc.yaml, where `find-break-points` names parts of `attack` as well.
INFLUENCES: dict[str, tuple[str, ...]] = {
    "render-demo": ("demo",),
    "prepare-musdb18": ("data", "segments"),
    "train": ("segments", "separators.{system}", "{shared}", "runtime", "processes"),
    "generate-pgd-adversarials": ("segments", "attack", "runtime"),
    "find-break-points": ("segments", "breaks", "runtime"),
    "evaluate": (
        "segments",
        "separators.{oracle}",
        "attack",
        "breaks",
        "evaluate",
        "runtime",
    ),
    "compare": (
        "systems",
        "reference",
        "train",
        "segments",
        "attack",
        "breaks",
        "evaluate",
        "statistics",
    ),
    "audit": ("systems", "train", "segments", "attack", "audit", "runtime"),
    "protect": ("systems", "train", "protect", "statistics", "runtime"),
    "listen": ("systems", "reference", "train", "segments", "attack", "evaluate", "runtime"),
    "report": (),
}


def made_of(stage: str, *inputs: tuple[Path, Record], **places: str) -> Record:
    """What the result of a stage is made with, after what it reads was held against params.yaml.

    A stage that DVC runs always passes: DVC has run again what a parameter touches. One that is run
    by hand may find what was made before a parameter changed.

    Args:
        stage: its name in ``dvc.yaml``, without the model.
        inputs: files that it reads, with what each was made with (:func:`said_by`).
        places: what stands for the names in braces in :data:`INFLUENCES`; empty for nothing.

    Raises:
        InputError: what is read was made with another value of a parameter; both are named.
    """
    tree = read_tree()
    for file, record in inputs:
        found = difference(record, tree)
        if found is not None:
            name, said = found
            first = _first_stage(name)
            raise InputError(f"{file}: made with {said}; run {first} again, and all that follows")
    names = [name.format_map(places) for name in INFLUENCES[stage]]
    own = record_of(tree, [name for name in names if name.rpartition(".")[2]])
    return merged(*(record for _, record in inputs), own)


def _first_stage(name: str) -> str:
    """The first stage whose result a parameter touches."""
    section = name.partition(".")[0]
    for stage, names in INFLUENCES.items():
        if section in {own.partition(".")[0] for own in names}:
            return stage
    return "train"  # what kinds have in common


def said_by(
    file: Path,
    again: str,
    form: type[Document] = Document,
    *,
    sealed: bool = True,
    reads: Path | None = None,
) -> tuple[Path, Record]:
    """A file of JSON, and what it says it was made with.

    Args:
        file: of JSON, with a record.
        again: the stage that writes it.
        form: of the file; of this only its formats count, the rest is for who reads on.
        sealed: whether it must be sealed.
        reads: folder of the files, of those that it is sealed with, that the stage reads; None for
            all.

    Raises:
        InputError: it is missing, damaged, of a format that is not read, or says nothing; or it was
            changed since, or a file that was written with it.
    """
    found = read_any(file, form)
    record = carried(found, file, again)
    if sealed:
        check_seal(file, found, again, reads)
    return file, record


def refuse_unnamed(system: str, seed: int, trains: bool = False) -> None:
    """Refuse a model that params.yaml does not ask for: no stage would show what it finds.

    Args:
        system: its name.
        seed: of its training.
        trains: whether it is about to be trained, for which an entry is enough.

    Raises:
        InputError: ``systems`` or ``train.seeds`` does not name it.
    """
    tree = read_tree()
    seeds = tree.get("train", {}).get("seeds", [])
    if seed not in seeds:
        raise InputError(
            f"--seed {seed} is none of train.seeds in {PARAMS} ({', '.join(map(str, seeds))}); "
            "name one of them, or add it there"
        )
    systems = tree.get("systems", [])
    if not trains and system not in systems:
        raise InputError(
            f"--system {system} is none of systems in {PARAMS} ({', '.join(map(str, systems))}); "
            "name one of them, or add it there"
        )


def refuse_other_list(system: str, outside: bool) -> None:
    """Refuse a system that stands in the wrong one of the lists ``own`` and ``ablations``.

    DVC knows when a parameter changes, and not when a file does that an entry names: what is made
    of such files is looked at in every run, and what is trained is not.

    Args:
        system: its name.
        outside: whether it is made of files from outside of the project's own code.

    Raises:
        InputError: it stands in the other list.
    """
    tree = read_tree()
    if outside and system in tree.get("ablations", []):
        raise InputError(
            f"{PARAMS}: ablations names {system}, which is made of files that DVC does not know; "
            f"name it under `own` instead, as in -S 'own=[{system}]': every run looks at those"
        )
    if not outside and system in tree.get("own", []):
        raise InputError(
            f"{PARAMS}: own names {system}, which is made of no file of yours; name it under "
            f"`ablations` instead, as in -S 'ablations=[{system}]'"
        )
