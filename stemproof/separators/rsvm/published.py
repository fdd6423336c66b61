"""Checkpoints that the authors of RSVM published, as models of this project."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from stemproof.core.errors import InputError
from stemproof.core.files import fingerprint, sha256
from stemproof.core.states import as_numbers, read_state
from stemproof.separators.rsvm.encoder import CONTEXT_KERNEL
from stemproof.separators.rsvm.model import RSVM
from stemproof.separators.rsvm.params import RSVMSettings, Sizes

ENCODER_KEYS = ("conv_a1.weight", "conv_a2.weight")
CURE = "put the published checkpoint there"
MOST_CHANNELS = 16_384
DECODER_KEYS = ("norm_factor", "freq_mat", "phi")


def load_published(
    analysis_path: Path,
    synthesis_path: Path,
    *,
    kernel: int = 2048,
    hop: int = 256,
    sample_rate: int = 44_100,
    segment_seconds: float = 1,
) -> RSVM:
    """Load a published pair of state dicts as a model with ``encode`` and ``decode``.

    Args:
        analysis_path: ``analysis_*.pytorch``, with conv_a1.weight and conv_a2.weight.
        synthesis_path: ``synthesis_*.pytorch``, with norm_factor, freq_mat and phi.
        kernel: samples per filter.
        hop: samples between frames.
        sample_rate: in Hz.
        segment_seconds: length that ``decode`` gives by default.

    Raises:
        InputError: a file is missing, is no plain state dict, or has other keys or shapes.
    """
    analysis = _read_state(Path(analysis_path), ENCODER_KEYS)
    synthesis = _read_state(Path(synthesis_path), DECODER_KEYS)
    shape = analysis["conv_a1.weight"].shape
    channels = shape[0] if shape else 0
    if not 1 <= channels <= MOST_CHANNELS:
        raise InputError(f"{analysis_path}: conv_a1.weight is {tuple(shape)}; {CURE}")
    _expect(analysis_path, analysis, "conv_a1.weight", (channels, 1, kernel))
    _expect(analysis_path, analysis, "conv_a2.weight", (channels, channels, CONTEXT_KERNEL))
    # The code that made them also has a form with one modulation for all filters.
    if synthesis["norm_factor"].shape == (1, 1, kernel):
        synthesis["norm_factor"] = synthesis["norm_factor"].expand(channels, 1, kernel)
    _expect(synthesis_path, synthesis, "norm_factor", (channels, 1, kernel))
    _expect(synthesis_path, synthesis, "freq_mat", (channels, 1, 1))
    _expect(synthesis_path, synthesis, "phi", (channels, 1, 1))
    model = RSVM(
        Sizes(channels=channels, kernel=kernel, hop=hop),
        RSVMSettings(),
        sample_rate,
        round(segment_seconds * sample_rate),
    )
    model.load_state_dict(
        {f"encoder.{key}": analysis[key] for key in ENCODER_KEYS}
        | {f"decoder.{key}": synthesis[key] for key in DECODER_KEYS}
    )
    return model


def sha256_of_pair(analysis_path: Path, synthesis_path: Path) -> str:
    """One hash of both files of a published model."""
    return fingerprint(sha256(analysis_path), sha256(synthesis_path))


def _read_state(path: Path, keys: tuple[str, ...]) -> dict[str, Tensor]:
    found = read_state(path, CURE, f"no such file; {CURE}")
    missing = [key for key in keys if key not in found]
    if missing:
        raise InputError(f"{path}: it has no {', '.join(missing)}; {CURE}")
    return {key: as_numbers(path, key, found[key], CURE) for key in keys}


def _expect(path: Path, state: dict[str, Tensor], key: str, shape: tuple[int, ...]) -> None:
    if tuple(state[key].shape) != shape:
        raise InputError(
            f"{path}: {key} is {tuple(state[key].shape)}, {shape} was expected; "
            "set rsvm.sizes.kernel to that of the published model"
        )
