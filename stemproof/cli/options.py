"""Options that several commands have, and what their texts mean."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemproof.core.errors import InputError
from stemproof.core.plain_yaml import parse_yaml

if TYPE_CHECKING:
    import torch

    from stemproof.api.choosing import Chosen

SYSTEM = (
    "the system: an entry under `separators` of params.yaml in this folder, a model file "
    "(.safetensors), or a kind (`stemproof kinds`), whose settings --set gives"
)


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Subtype(StrEnum):
    """Samples of the wav files that are written."""

    FLOAT = "FLOAT"
    PCM_16 = "PCM_16"
    PCM_24 = "PCM_24"


SongFile = Annotated[
    Path,
    typer.Argument(help="wav, flac, mp3, m4a, ogg or .stem.mp4 (its mixture), of any sample rate"),
]
With = Annotated[str, typer.Option("--with", metavar="NAME", help=SYSTEM)]
Several = Annotated[
    list[str], typer.Option("--with", metavar="NAME", help=f"{SYSTEM}; repeat it for several")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="a setting of the kind; VALUE is YAML; repeat it"
    ),
]
OutFolder = Annotated[Path | None, typer.Option("--out", help="folder for what is written")]
Window = Annotated[
    float | None,
    typer.Option(
        min=0.05,
        max=3600,
        metavar="SECONDS",
        help="let the system hear so much at once, cross-faded; all of the song without",
    ),
]
Samples = Annotated[Subtype, typer.Option(help="samples of the wav files")]
Force = Annotated[bool, typer.Option("--force", help="write over files that are there")]
OnDevice = Annotated[Device, typer.Option(help="where to compute")]
Eps = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="largest change of a sample, full scale 1; 0.003 by default"),
]
SNR = Annotated[
    float | None,
    typer.Option("--snr", help="instead of --eps: song over perturbation, dB (L2)"),
]
Steps = Annotated[int, typer.Option(min=1, help="gradient steps")]
Queries = Annotated[
    int, typer.Option(min=1, help="passes of the attack without gradients, where one is needed")
]


def place(device: Device) -> torch.device:
    """The device, with repeatable arithmetic.

    Raises:
        InputError: it is not there.
    """
    import torch

    from stemproof.core.machine import ProcessParams, RuntimeParams
    from stemproof.core.runtime import make_place

    runtime = RuntimeParams(accelerator=device.value, threads=torch.get_num_threads())
    return make_place(runtime, ProcessParams()).device


def settings(given: Sequence[str] | None) -> dict[str, Any]:
    """What ``--set`` says; dots lead into sections.

    Raises:
        InputError: one is no KEY=VALUE, or its value no YAML.
    """
    tree: dict[str, Any] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key or "" in key.split("."):
            raise InputError(f"--set {text}: KEY=VALUE was expected, such as weights=folder")
        found = parse_yaml(value, f"--set {text}")
        here = tree
        *sections, last = key.split(".")
        for section in sections:
            here = here.setdefault(section, {})
            if not isinstance(here, dict):
                raise InputError(f"--set {text}: {section} has a value already; leave one out")
        if last in here:
            raise InputError(f"--set {text}: {key} is set twice; leave one out")
        here[last] = found
    return tree


def chosen(name: str, given: Sequence[str] | None) -> Chosen:
    """The system that ``--with`` and ``--set`` mean.

    Raises:
        InputError: there is none, or a setting is not allowed.
    """
    from stemproof.api.choosing import choose

    return choose(name, settings(given), where=f"--with {name}")


def several(names: Sequence[str], given: Sequence[str] | None) -> list[Chosen]:
    """The systems that ``--with`` means; settings can only be those of a single one.

    Raises:
        InputError: as :func:`chosen`, or settings for several.
    """
    if given and len(names) > 1:
        raise InputError(
            f"--set {given[0]}: of which of {', '.join(names)} is not said; make entries under "
            "`separators` of params.yaml and name those"
        )
    return [chosen(name, given) for name in names]


def attack_section(eps: float | None, snr: float | None, steps: int, queries: int) -> Any:
    """The section ``attack`` that the options mean.

    Raises:
        InputError: both budgets are named, or a value is not allowed.
    """
    from stemproof.attacks.params import AttackSection
    from stemproof.core.params import validate

    if eps is not None and snr is not None:
        raise InputError("--eps and --snr are two budgets; name one")
    if eps == 0:
        raise InputError("--eps 0 leaves the song as it is; give more, such as 0.003")
    budget: dict[str, Any] = {"norm": "linf"} if snr is None else {"norm": "l2", "snr": snr}
    if eps is not None:
        budget["eps"] = eps
    own = {"pgd": {"steps": steps}, "search": {"queries": queries}}
    return validate(AttackSection, {**budget, **own}, "options")


def close_to(path: Path) -> str:
    """A file beside ``path`` whose name is like it, as a question's answer; empty for none."""
    try:
        there = [file.name for file in path.parent.iterdir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, there, n=1)
    return f", did you mean {path.parent / close[0]}?" if close else ""
