"""The licences of what is installed: ``python -m stemproof.report.licences`` writes the page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from stemproof.core.ending import one_line
from stemproof.core.errors import InputError
from stemproof.core.files import opened, write_text

PAGE = Path("docs/licences.md")
PINNED = tuple(
    Path(name)
    for name in ("requirements.txt", "requirements-torch.txt", "requirements-no-deps.txt")
)
LONGEST = 60  # characters; some packages put the whole text where its name belongs
HEADER = """# Licences of the dependencies

What the packages that `make` installs say of themselves, in the versions that are pinned.
Written by `python -m stemproof.report.licences`, in that environment; run it after `make lock`.

| package | version | licence |
|---|---|---|
"""


def pins(files: tuple[Path, ...] = PINNED) -> Iterator[tuple[str, str]]:
    """Name and version of every package that is pinned.

    Raises:
        InputError: a file of requirements is missing.
    """
    for file in files:
        with opened(file, "no such file; run from the project's root") as stream:
            text = stream.read().decode()
        yield from re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.M)


def page() -> str:
    """The whole page.

    Raises:
        InputError: a package is not installed in its pinned version.
    """
    rows = sorted((name.lower(), name, version) for name, version in pins())
    return HEADER + "".join(
        f"| {name} | {version} | {_licence(name, version)} |\n" for _, name, version in rows
    )


def _licence(name: str, version: str) -> str:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise InputError(f"{name} is not installed; run it in the environment of make") from None
    # A build of one's own adds to a version: 2.13.0+cpu.
    if found.version.partition("+")[0] != version:
        raise InputError(
            f"{name} {found.version} is installed, but {version} is pinned; run it in the "
            "environment of make"
        )
    return said_of(found.metadata)  # type: ignore[arg-type]


def said_of(metadata: Message) -> str:
    """What a package says its licence is: an expression, else classifiers, else a line of text.

    Args:
        metadata: of the package.
    """
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classified = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    if classified:
        return ", ".join(classified)
    lines = [line.strip() for line in str(metadata.get("License") or "").splitlines()]
    first = next((line for line in lines if line), "")
    return first.replace("|", "/") if 0 < len(first) <= LONGEST else "see the package"


def main() -> None:
    """Write the page of the project in this folder."""
    write_text(PAGE, page())


if __name__ == "__main__":
    with one_line():
        main()
