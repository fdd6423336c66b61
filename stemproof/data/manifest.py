"""What was prepared, and from what: the manifest of a folder of prepared recordings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from stemproof.core.documents import newer
from stemproof.core.errors import InputError
from stemproof.core.files import opened, read_json, sha256, write_json, write_text

MANIFEST = "manifest.json"
# Its hash, which is that of the data, stands beside it: results name it.
MANIFEST_SHA256 = "manifest.sha256"
VERSION = 2  # of the manifest; data of 1 were prepared with fewer checks


class Entry(BaseModel):
    """What a manifest says of a track."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    split: Literal["train", "valid", "test"]
    name: str = Field(min_length=1)
    file: str = Field(pattern=r"^[\w-]+\.npy$")
    samples: int = Field(ge=1)
    rendered: bool
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What was prepared."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: int
    source: str
    sample_rate: int = Field(ge=1)
    channels: int = Field(ge=1)
    tracks: list[Entry]

    @field_validator("tracks")
    @classmethod
    def _each_once(cls, tracks: list[Entry]) -> list[Entry]:
        for key in ("name", "file"):
            if len({getattr(entry, key) for entry in tracks}) < len(tracks):
                raise ValueError(f"two tracks have one {key}")
        return tracks


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write the manifest of a folder: the fields of :class:`Manifest`, and the present version."""
    write_json(folder / MANIFEST, {"version": VERSION, **about})
    write_text(folder / MANIFEST_SHA256, sha256(folder / MANIFEST))


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Read the manifest of prepared data.

    Returns:
        It, and its hash, by which results name the data.

    Raises:
        InputError: there is none; it is of another version, or not one, or was changed.
    """
    path = folder / MANIFEST
    found, own = manifest_in(path), sha256(path)
    with opened(folder / MANIFEST_SHA256, "no such file; run prepare-musdb18 again") as known:
        if known.read() != own.encode():
            raise InputError(f"{path}: changed since it was written; run prepare-musdb18 again")
    return found, own


def manifest_in(path: Path) -> Manifest:
    """What a file says, whether it was changed or not.

    Raises:
        InputError: there is none; it is of another version, or not one.
    """
    tree = read_json(path)
    version = tree.get("version", 1)
    if version != VERSION:
        older = f"of version {version}, and {VERSION} is read; run prepare-musdb18 again"
        raise InputError(f"{path}: {newer(version, VERSION, 'version') or older}")
    try:
        return Manifest.model_validate(tree)
    except ValidationError as error:
        problem = error.errors()[0]
        where, said = ".".join(map(str, problem["loc"])), problem["msg"]
        raise InputError(
            f"{path}: not a manifest of prepared data ({where}: {said}); run prepare-musdb18 again"
        ) from None
