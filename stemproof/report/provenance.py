"""Where a claim comes from: figures that are up to date with code and data, and a git commit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stemproof.core.documents import read_document
from stemproof.core.errors import InputError
from stemproof.core.influences import said_by
from stemproof.core.made_with import difference
from stemproof.core.params import PARAMS, read_tree
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


def check_seals(folder: Path) -> None:
    """Do the figures in a folder come from its parameters, and from the same recordings?

    For a run that DVC did not record. Of the code the seals say nothing.

    Args:
        folder: with ``params.yaml``, ``metrics`` and ``plots`` of the run.

    Raises:
        InputError: a file is missing, was changed since its stage wrote it, or is of other
            parameters or recordings; the message names it.
    """
    tree = read_tree(folder / PARAMS)
    recordings = set()
    for name, again, form in (
        ("metrics/environment.json", "compare", MadeComparison),
        ("plots/audit/made_with.json", "audit", MadeAudit),
    ):
        file, record = said_by(folder / name, again, form)
        if found := difference(record, tree):
            raise InputError(f"{file}: made with {found[1]}; restore the {PARAMS} of that run")
        recordings.add(read_document(file, form)["data"])
    if len(recordings) > 1:
        raise InputError(f"{folder}: comparison and audit are of different recordings")


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


def known_commit(folder: Path, name: str) -> str:
    """The whole hash of a commit.

    Raises:
        InputError: the repository in the folder does not have it.
    """
    try:
        return _git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    except (OSError, subprocess.CalledProcessError):
        raise InputError(
            f"--commit {name} is no commit of this repository; name the one that made the run"
        ) from None


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
