"""Where a claim comes from: figures that are up to date with code and data, and a git commit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stemproof.core.documents import read_document
from stemproof.core.errors import InputError
from stemproof.core.influences import said_by
from stemproof.core.made_with import difference
from stemproof.core.params import PARAMS, read_tree
from stemproof.core.plain_yaml import parse_yaml
from stemproof.paper.li2022 import IMPROVED, RSVM
from stemproof.report.documents import MadeAudit, MadeComparison

# What the figures are computed with; changes elsewhere do not touch a claim.
CODE = ("dvc.yaml", "published", "stemproof", "stages")


def check_run(folder: Path, root: Path, stages: Sequence[str] = ("report",)) -> None:
    """Do the figures in a folder come from its parameters, code and data?

    Asks DVC, which compares what every stage read and wrote with ``dvc.lock``.

    Args:
        folder: the project.
        root: the recordings, which need not be at hand any more; what was made of them is.
        stages: the last ones; all that they depend on is asked for.

    Raises:
        InputError: a stage has not been run, or what it reads or wrote has changed since.
    """
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", *stages]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    try:
        found = json.loads(done.stdout) if done.returncode == 0 else None
    except json.JSONDecodeError:
        found = None
    if found is None:
        said = done.stderr.strip() or done.stdout.strip()
        raise InputError(
            f"a claim needs `dvc status`, but it fails ({said}); install DVC and run dvc repro"
        )
    for stage, changes in found.items():
        changed = [path for path in _changed(changes) if Path(path) != root]
        if changed:
            raise InputError(
                f"{stage} is not up to date ({', '.join(changed[:3])}"
                f"{', ...' if len(changed) > 3 else ''}); run dvc repro"
            )


def sealed_parameters(folder: Path) -> dict[str, Any]:
    """The parameters that the figures in a folder were made with, by what its stages sealed.

    For a run that DVC did not record. Of the code the seals say nothing, nor whether comparison and
    audit are of the same models; and who writes hashes anew is not stopped.

    Args:
        folder: with ``params.yaml``, ``metrics`` and ``plots`` of the run.

    Returns:
        The sections that figures depend on, and the lists that DVC makes stages of.

    Raises:
        InputError: a file is missing, was changed since its stage wrote it, or is of other
            parameters or recordings; the message names it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name that of the stored run")
    tree = read_tree(folder / PARAMS)
    sealed: dict[str, Any] = {}
    recordings = set()
    for name, again, form in (
        ("metrics/environment.json", "compare", MadeComparison),
        ("plots/audit/made_with.json", "audit", MadeAudit),
    ):
        try:
            file, record = said_by(folder / name, again, form)
            recordings.add(read_document(file, form)["data"])
        except InputError as error:
            raise InputError(f"{error}; or bring the run anew from where it was made") from None
        if differs := difference(record, tree):
            raise InputError(f"{file}: made with {differs[1]}; restore the {PARAMS} of that run")
        sealed |= record
    if len(recordings) > 1:
        raise InputError(f"{folder}: comparison and audit are of different recordings")
    found: dict[str, Any] = {}
    for name, value in sealed.items():
        section, _, entry = name.partition(".")
        if entry:
            found.setdefault(section, {})[entry] = value
        else:
            found[section] = value
    return found | _lists(folder / PARAMS, tree, found["systems"])


def _lists(file: Path, tree: Mapping[str, Any], systems: Sequence[str]) -> dict[str, list[str]]:
    """``ablations`` and ``own`` as far as they are of the run; no seal holds them."""
    found = {
        name: [system for system in tree.get(name) or () if system in systems]
        for name in ("ablations", "own")
    }
    named = [*found["ablations"], *found["own"]]
    wanted = [system for system in systems if system not in (RSVM, IMPROVED)]
    if sorted(named) != sorted(wanted):
        raise InputError(
            f"{file}: ablations and own name {', '.join(named) or 'nothing'} of systems, and not "
            f"{', '.join(wanted) or 'nothing'}; restore the {PARAMS} of that run"
        )
    return found


def _changed(changes: list[Any]) -> Iterator[str]:
    """Names of what DVC calls changed: files, parameters, or the command."""
    for change in changes:
        if isinstance(change, str):
            yield change
            continue
        for paths in change.values():
            for path, state in paths.items():
                yield from state if isinstance(state, dict) else [path]


def code_commit(folder: Path) -> str:
    """The commit of the code that stands in a folder.

    Raises:
        InputError: it is not a git checkout, or the code differs from its last commit.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        changed = _git(folder, "status", "--porcelain", "--", *CODE).splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or error
        raise InputError(
            f"{folder}: a claim names a git commit, but git fails ({said}); "
            "install git and work in a clone of the repository"
        ) from None
    if changed:
        raise InputError(
            f"a claim names a git commit, but {changed[0][3:]} differs from it; commit first"
        )
    return commit


def known_commit(folder: Path, name: str, sections: Collection[str]) -> str:
    """The whole hash of a commit that may have made a run.

    Args:
        folder: of the repository.
        name: of the commit.
        sections: of the run's parameters.

    Raises:
        InputError: it is no commit there, or its ``params.yaml`` lacks a section.
    """
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    try:
        commit = _git(folder, *asked).strip()
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise InputError(f"--commit {name} is no single commit; name the one that made the run")
        known = parse_yaml(_git(folder, "show", f"{commit}:{PARAMS}"), str(PARAMS))
    except (OSError, subprocess.CalledProcessError):
        raise InputError(
            f"--commit {name}: git finds no such commit with a {PARAMS} here; name the one that "
            "made the run, in a clone that has it (`git fetch --unshallow` brings all)"
        ) from None
    lacking = [section for section in sections if section not in (known or {})]
    if lacking:
        raise InputError(
            f"--commit {name}: its {PARAMS} has no {lacking[0]}, which the run has; name the "
            "commit that made the run"
        )
    return commit


def last_change(folder: Path) -> str:
    """The last commit that changed what figures are computed with, in words.

    Unlike the last commit of all it is the same before and after a report is committed.
    """
    try:
        commit = _git(folder, "log", "-1", "--format=%H", "--", *CODE).strip()
        changed = _git(folder, "status", "--porcelain", "--", *CODE).strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    if not commit:
        return "not known: no git checkout"
    return f"{commit}, with changes that are not committed" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
    )
    return done.stdout
