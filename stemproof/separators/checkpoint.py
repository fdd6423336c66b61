"""Models on disk: safetensors that rebuild themselves from what their header says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stemproof.core.documents import newer
from stemproof.core.errors import InputError, out_of_memory
from stemproof.core.files import opened, written_aside
from stemproof.core.made_with import MADE_WITH, Record, carried
from stemproof.core.states import SHA256, has_room, is_as_written, weights_sha256
from stemproof.core.strict_json import parse_json
from stemproof.separators.kind import Kind
from stemproof.separators.protocol import MaskKind, Separator
from stemproof.separators.registry import code_of, find_kind

if TYPE_CHECKING:
    from stemproof.data.store import PreparedData

# One entry: safetensors writes several in an order that changes from run to run.
HEADER, OLD_HEADER = "stemproof", "rsvm"
FORMAT = 2
# What a header that is not one of ours fails with: its JSON may be anything.
GARBAGE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Header:
    """What a model file says of itself.

    Attributes:
        kind: of the separator.
        name: of the system.
        seed: of its training.
        trained: whether the seed made a difference.
        settings: what its kind rebuilds it from.
        made_with: parameters that it was made with; None in a file of an older release.
        data: hash of the recordings that it was trained on; None where it was on none.
        whole: all of it, with a hash of it and of the weights; None in a file of an older release.
    """

    kind: Kind
    name: str
    seed: int
    trained: bool
    settings: Mapping[str, Any]
    made_with: Mapping[str, Any] | None = None
    data: str | None = None
    whole: Mapping[str, Any] | None = None


def save(
    path: Path,
    kind: Kind,
    model: nn.Module,
    name: str,
    seed: int,
    settings: Mapping[str, Any],
    trained: bool = True,
    made_with: Mapping[str, Any] | None = None,
    data: str | None = None,
) -> None:
    """Write a model, atomically; the same weights and settings give the same bytes.

    Args:
        path: where to.
        kind: of the separator.
        model: its weights.
        name: of the system.
        seed: of its training.
        settings: what its kind rebuilds it from.
        trained: whether the seed made a difference.
        made_with: parameters that it was made with (:mod:`stemproof.core.made_with`).
        data: hash of the recordings that it was trained on.
    """
    weights: dict[str, Tensor] = {}
    places: set[int] = set()
    for key, tensor in model.state_dict().items():
        weight = tensor.detach().cpu().contiguous()
        # Weights that two parts of a model share are stored twice: safetensors takes no others.
        place = weight.untyped_storage().data_ptr()
        weights[key] = weight.clone() if place in places else weight
        places.add(place)
    header = {
        "format": FORMAT,
        "kind": kind.name,
        "name": name,
        "seed": seed,
        "trained": trained,
        "settings": dict(settings),
        "code": code_of(kind),
    }
    header |= {} if made_with is None else {MADE_WITH: dict(made_with)}
    header |= {} if data is None else {"data": data}
    header |= {SHA256: weights_sha256(weights, header)}
    text = json.dumps(header, sort_keys=True)
    with written_aside(path) as temporary:
        save_file(weights, str(temporary), metadata={HEADER: text})


def read_header(path: Path) -> Header:
    """What a model file says of itself.

    Raises:
        InputError: the file is missing, damaged, of a kind that is not known, or newer than this
            code.
    """
    with opened(path, "no such model; train it first"):
        try:
            with safetensors.safe_open(str(path), framework="pt") as stream:
                metadata = stream.metadata() or {}
        except safetensors.SafetensorError as error:
            raise InputError(
                f"{path}: not a model file, or truncated ({error}); delete it and run dvc repro"
            ) from None
    try:
        if HEADER not in metadata and OLD_HEADER in metadata:
            return _old_header(parse_json(metadata[OLD_HEADER]))
        header = parse_json(metadata[HEADER])
        if header["format"] != FORMAT:
            if said := newer(header["format"], FORMAT):
                raise InputError(said)
            raise ValueError(f"format {header['format']!r}, and {FORMAT} is read")
        return Header(
            find_kind(header["kind"]),
            str(header["name"]),
            int(header["seed"]),
            bool(header["trained"]),
            dict(header["settings"]),
            dict(header[MADE_WITH]) if MADE_WITH in header else None,
            header.get("data"),
            header,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except GARBAGE as error:
        raise InputError(
            f"{path}: its header is not one of this project ({type(error).__name__}: {error}); "
            "delete it and run dvc repro"
        ) from None


def made_with_of(path: Path, data: PreparedData | None = None) -> Record:
    """What a model file says it was made with.

    Args:
        path: the file.
        data: recordings on which it must have been trained, if it was trained at all.

    Raises:
        InputError: as :func:`read_header`; or it does not say it, or was trained on others.
    """
    header = read_header(path)
    about = {} if header.made_with is None else {MADE_WITH: header.made_with}
    record = carried(about, path, "train")
    if data is not None and header.data not in (None, data.fingerprint):
        raise InputError(
            f"{path}: trained on other recordings than {data.folder} holds; run train again, and "
            "all that follows"
        )
    return record


def _old_header(header: Mapping[str, str]) -> Header:
    """The header of files that were written before there were kinds."""
    settings = parse_json(header["settings"])
    sizes = parse_json(header["model"])
    rate = int(header["sample_rate"])
    if settings.pop("stft", False):
        own = {"window": sizes["kernel"], "hop": sizes["hop"], "sample_rate": rate}
        return Header(find_kind("stft"), header["variant"], int(header["seed"]), False, own)
    published = settings.pop("published", None)
    # The segment is only the length that `decode` gives when none is named.
    own = {"sizes": sizes, "variant": settings, "sample_rate": rate, "segment_samples": rate}
    kind = find_kind("rsvm")
    return Header(kind, header["variant"], int(header["seed"]), published is None, own)


def load(
    path: Path,
    mask: MaskKind = "fixed",
    device: torch.device | str = "cpu",
    compiled: bool = False,
    identity: tuple[str, int] | None = None,
) -> Separator:
    """From a model file to a separator that is ready to be attacked: the only door.

    Args:
        path: file that :func:`save` wrote, now or under the project's old name.
        mask: where the mask of an informed separator comes from.
        device: where to compute.
        compiled: let ``torch.compile`` translate the model, where its kind can.
        identity: name and training seed that it must have; any when None.

    Raises:
        InputError: as :func:`read_header`, or it is another model, or the weights do not fit the
            header.
    """
    header = read_header(path)
    if identity is not None and (header.name, header.seed) != identity:
        raise InputError(
            f"{path}: holds {header.name} of seed {header.seed}, not {identity[0]} of seed "
            f"{identity[1]}; delete it and run dvc repro"
        )
    try:
        with opened(path):
            with _naming(path):
                model = _rebuilt(path, header)
            weights = load_file(str(path))
            _check_numbers(model, weights)
            if not is_as_written(weights, header.whole or {}):
                raise ValueError("they or it were changed since they were written")
            model.load_state_dict(weights)
    except (RuntimeError, safetensors.SafetensorError, *GARBAGE) as error:
        if out_of_memory(error):
            raise
        raise InputError(
            f"{path}: its weights do not fit its header ({error}); delete it and run dvc repro"
        ) from None
    model = model.to(device)
    if compiled:
        # Encoder and decoder, where a model has such parts, are what is called.
        for part in model.children():
            part.compile()
    with _naming(path):
        found = header.kind.separator(model, mask)
    if not isinstance(found, Separator):
        raise InputError(
            f"{path}: what the kind {header.kind.name} makes of it is no separator; it needs "
            "sample_rate, channels and separate(mixture, side)"
        )
    return found


def _rebuilt(path: Path, header: Header) -> nn.Module:
    """A model without its weights.

    Raises:
        InputError: memory has room for the file, and not for the model that its header asks for.
    """
    try:
        return header.kind.rebuild(header.settings)
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error) and has_room(path):
            raise InputError(
                "its header asks for more memory than there is; delete it and run dvc repro"
            ) from None
        raise


def _check_numbers(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """PyTorch takes complex numbers for real ones, and rounds to whole ones.

    Raises:
        ValueError: a tensor is of another sort of numbers than the model's, or a weight is not
            finite; buffers are the business of their kind.
    """
    trained = {key for key, _ in model.named_parameters()}
    for key, own in model.state_dict().items():
        found = weights.get(key)
        if found is None or not isinstance(own, Tensor):
            continue  # what is missing is said by whoever loads it
        if (found.is_complex(), found.is_floating_point()) != (
            own.is_complex(),
            own.is_floating_point(),
        ):
            raise ValueError(f"{key} is of {found.dtype}, not of {own.dtype}")
        if key in trained and not torch.isfinite(found).all():
            raise ValueError(f"{key} is not finite")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What a kind cannot make of a model file names the file."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error.__cause__
